"""The audits of the runs, and the ledger that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....data.store import Store
from ...audit import AuditSettings, audit_each
from ...interventions import intervene, restricted, without_negative
from ...measured import Measured
from ...readings import apart
from ...result import Audit
from ..study import Settings, Study
from .checkpoints import Runs, find_runs, shipped_runs
from .claims_effects import cause_claim, effect_claims, head_claim, meta_init_claim, reuse_claim
from .claims_rates import rate_claims
from .evidence import Changes, changes, changes_of
from .figures import gallery_table, phase_figure, phase_table, rate_figure, rate_table
from .words import answer, rates_start

EPISODES = 600
QUICK_EPISODES = 60
QUICK_SEEDS = 2


def run(
    settings: Settings,
    *,
    checkpoints: Sequence[str] = (),
    arch: str | None = None,
    measured_on: Mapping[str, Any] | None = None,
    store: Store | None = None,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Study:
    """Re-run the study, on the shipped checkpoints and glyphs unless told otherwise.

    Args:
        settings: Quick takes fewer episodes, and two seeds of the shipped checkpoints; others
            are all taken.
        checkpoints: Files, folders or names, as for `find_runs`; the shipped ones when empty.
        arch: The architecture of strangers' files, where it cannot be guessed.
        measured_on: Settings of the audits, such as ``{"data": "mini-imagenet:DIR"}``.
        store: Where embeddings are kept.
        jobs: Blocks of episodes side by side.
        progress: Told of every block.

    Raises:
        MetaprobeError: If checkpoints or data cannot be used.
    """
    most = QUICK_SEEDS if settings.quick else None
    runs = find_runs(checkpoints, arch=arch) if checkpoints else shipped_runs(most)
    episodes = QUICK_EPISODES if settings.quick else EPISODES
    asked = AuditSettings(**{"episodes": episodes, "seed": settings.seed, **(measured_on or {})})
    clamped = [intervene(e, without_negative, "no negative rates") for e in runs.meta_sgd]
    body = [restricted(e, "body") for e in runs.maml]
    every = [*runs.every, *clamped, *body]
    audits, measured = audit_each(every, asked, store=store, jobs=jobs, progress=progress)
    n = len(runs.maml)
    maml, meta_sgd, without, alone = (audits[i : i + n] for i in range(0, len(every), n))
    fresh = _fresh(measured[:n]), _fresh(measured[n : 2 * n])
    return conclude(runs, Audits(maml, meta_sgd, without, alone, fresh))


def _fresh(measured: Sequence[Measured]) -> Changes:
    """The changes with fresh images as the gallery."""
    episodes = measured[0].measurement.episodes
    cells = [{str(name): bits for name, bits in m.cells["fresh"].items()} for m in measured]
    return changes_of(cells, episodes.on.classes, apart(episodes))


@dataclass(frozen=True, eq=False)
class Audits:
    """What was measured, on the same episodes.

    Args:
        maml: Runs of MAML.
        meta_sgd: Runs of Meta-SGD.
        clamped: The same Meta-SGD runs, with negative rates set to zero.
        body_only: The MAML runs, adapting the body alone.
        fresh: The changes of MAML and Meta-SGD with fresh images as the gallery.
    """

    maml: Sequence[Audit]
    meta_sgd: Sequence[Audit]
    clamped: Sequence[Audit]
    body_only: Sequence[Audit]
    fresh: tuple[Changes, Changes]


def conclude(runs: Runs, found: Audits) -> Study:
    """The ledger, from audits on the same episodes."""
    of_maml, of_sgd = changes(found.maml), changes(found.meta_sgd)
    effects = effect_claims(of_maml, of_sgd, paired=runs.paired)
    claims = (
        *rate_claims(found.meta_sgd, rates_start(runs.meta_sgd)),
        reuse_claim(found.maml, found.meta_sgd),
        *effects,
        meta_init_claim(found.maml, found.meta_sgd),
        cause_claim(of_sgd, changes(found.clamped)),
        head_claim(of_maml, changes(found.body_only)),
    )
    steps = " or ".join(map(str, sorted({a.rule.steps for a in (*found.maml, *found.meta_sgd)})))
    rates = rate_figure(found.meta_sgd)
    return Study(
        name="starshak2022",
        title="Negative Inner-Loop Learning Rates Learn Universal Features",
        citation="Tom Starshak (2022), arXiv:2203.10185",
        question=(
            "When an encoder adapts to one task, do its features get better or worse on that task "
            "and on others, and do learned negative rates (Meta-SGD) change the answer?"
        ),
        answer=answer(runs, claims, found.maml[0]),
        meaning=(
            "Read the off-task effect beside its own baseline on the same tasks, with the gallery "
            "named: one model and one unpaired accuracy cannot carry effects of this size. Judge a "
            "learner by several training runs of it, and learned rates by their densities, not "
            "by the sign of a mean; that they do something is shown only by changing them (C11)."
        ),
        claims=claims,
        tables={
            "galleries": gallery_table(effects, effect_claims(*found.fresh, paired=runs.paired)),
            "phases": phase_table(found.maml, found.meta_sgd),
            "rates": rate_table(found.meta_sgd),
        },
        figures={
            "phases": phase_figure(of_maml, of_sgd),
            **({} if rates is None else {"rates": rates}),
        },
        captions={
            "phases": (
                f"Change of nearest-neighbour accuracy after {steps} inner steps, on the task "
                "adapted to and on another; small marks are training runs, large ones their mean "
                "with a 95 % interval over runs, classes and episodes."
            ),
            "rates": (
                "The rates that Meta-SGD learned for the weights of each layer, run by run: "
                "densities, each to its own height, hatched orange below zero; the tick marks the "
                "mean, the number on the right is the share below zero."
            ),
        },
    )
