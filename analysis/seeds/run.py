"""Every shipped checkpoint asked, and what came out, as plain values that a page is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ...data.errors import MetaprobeError
from ...data.store import Store
from ...models.checkpoint import shipped
from ...models.encoder import Encoder, load_encoder
from ..audit import audit_each
from ..measured import Progress
from ..planning import AuditSettings
from ..sections.context import Context
from .agreement import agreements, of_one_start
from .evidence import Evidence, evidence
from .profiles import profiles
from .question import AGREEMENT
from .questions import QUESTIONS
from .reduction import Answer, answers, of_one

SCHEMA = "metaprobe.seeds/1"

EPISODES = 60
"""Paired episodes of every checkpoint, three blocks of them: more runs are worth more than more."""

LEARNERS = {"MAML": "maml-glyphs-s", "Meta-SGD": "meta-sgd-glyphs-s"}
"""How the names of a learner's shipped runs begin; their seeds follow."""


def run(
    *,
    episodes: int = EPISODES,
    seed: int = 0,
    store: Store | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask every question of the shipped checkpoints; what was measured before is read.

    Args:
        episodes: Paired episodes, the same for all; a section takes a hundred at most.
        seed: Seed of the episodes.
        store: Where measurements are looked up and kept: a run cut short goes on from there.
        jobs: Blocks side by side.
        progress: Told of every block.

    Raises:
        MetaprobeError: If fewer than two checkpoints of a learner are shipped.
    """
    names = list(shipped())
    groups = {learner: [n for n in names if n.startswith(s)] for learner, s in LEARNERS.items()}
    for learner, found in groups.items():
        if len(found) < 2:
            raise MetaprobeError(
                f"{len(found)} checkpoints of {learner} are shipped; runs are compared from two on",
                code="no-checkpoint",
            )
    asked = AuditSettings(episodes=episodes, seed=seed)
    encoders = {name: load_encoder(name) for name in names}
    told = {name: _evidence(e, asked, store, jobs, progress) for name, e in encoders.items()}
    runs: dict[str, Sequence[Evidence]] = {
        learner: [told[n] for n in found] for learner, found in groups.items()
    }
    runs["Meta-SGD"] = _agreeing([encoders[n] for n in groups["Meta-SGD"]], told)
    together = of_one_start([e for n, e in encoders.items() if n.startswith("meta-sgd-")])
    if len(together) > 2:
        runs["Meta-SGD, one start"] = _agreeing(together, told)
    return concluded(
        runs,
        list(told.values()),
        episodes=len(next(iter(told.values())).episodes["distance, classes apart"]),
    )


def concluded(
    runs: Mapping[str, Sequence[Evidence]], every: Sequence[Evidence], *, episodes: int
) -> dict[str, Any]:
    """Verdicts over runs, and every checkpoint's own numbers, from evidence alone."""
    found: dict[str, Any] = rounded(
        {
            "schema": SCHEMA,
            "episodes": episodes,
            "runs": {learner: [e.name for e in found] for learner, found in runs.items()},
            "answers": [_plain(a) for a in answers(QUESTIONS, runs)],
            "profiles": profiles(runs),
            "checkpoints": [_checkpoint(e) for e in every],
        }
    )
    return found


def rounded(found: Any) -> Any:
    """Plain values with their numbers to six digits, as they are kept beside a page."""
    if isinstance(found, Mapping):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(value) for value in found]
    return float(f"{found:.6g}") if isinstance(found, float) else found


def _evidence(
    encoder: Encoder,
    asked: AuditSettings,
    store: Store | None,
    jobs: int,
    progress: Progress | None,
) -> Evidence:
    _, found = audit_each([encoder], asked, store=store, jobs=jobs, progress=progress)
    return evidence(Context(found[0], asked, store, jobs, progress))


def _agreeing(encoders: Sequence[Encoder], told: Mapping[str, Evidence]) -> list[Evidence]:
    """The runs' evidence, with how far they agree on signs."""
    values = agreements(encoders)
    return [
        replace(told[e.name], numbers={**told[e.name].numbers, AGREEMENT: float(value)})
        for e, value in zip(encoders, values, strict=True)
    ]


def _plain(answer: Answer) -> dict[str, Any]:
    q = answer.question
    words = ("id", "section", "learner", "statement", "measured", "expected", "unit", "sesoi")
    return {
        **{word: getattr(q, word) for word in words},
        "told": None if answer.told is None else asdict(answer.told),
        "beyond": None if answer.beyond is None else asdict(answer.beyond),
        "p_holm": answer.p_holm,
        "outcome": answer.outcome,
        "sentence": answer.sentence,
    }


def _checkpoint(one: Evidence) -> dict[str, Any]:
    """One encoder's own value of every quantity, by question."""
    asked = {q.id: q for q in QUESTIONS if "−" not in q.learner}
    own = {name: of_one(q.of, one, q.sesoi) for name, q in asked.items()}
    return {
        "name": one.name,
        "cause": one.cause,
        "told": {
            n: {"value": t.value, "low": t.low, "high": t.high, "word": t.word}
            for n, t in own.items()
            if t is not None
        },
    }
