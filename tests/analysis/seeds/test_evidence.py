"""Every question can be asked of the encoders it is about; what is read is what sections say."""

from __future__ import annotations

import numpy as np
import pytest

from metaprobe.analysis.audit import AuditSettings, audit_each
from metaprobe.analysis.sections.context import Context
from metaprobe.analysis.sections.distance import run as distance_section
from metaprobe.analysis.seeds.agreement import agreements, of_one_start
from metaprobe.analysis.seeds.evidence import Evidence, evidence
from metaprobe.analysis.seeds.question import AGREEMENT
from metaprobe.analysis.seeds.questions import QUESTIONS
from metaprobe.analysis.seeds.reduction import has, of_one
from metaprobe.data.store import Store
from metaprobe.models.encoder import load_encoder

SMALL = AuditSettings(episodes=4, query=3)


def measured(name: str, store: Store | None = None) -> tuple[Context, Evidence]:
    _, found = audit_each([load_encoder(name)], SMALL, store=store)
    context = Context(found[0], SMALL, store)
    return context, evidence(context)


def test_ids_are_unique_and_every_learner_is_asked_what_can_fail() -> None:
    assert len({(q.id, q.learner) for q in QUESTIONS}) == len(QUESTIONS)
    for q in QUESTIONS:
        assert q.yes != q.no
        assert sum(q.of.values()) == pytest.approx(0) or len(q.of) == 1
        assert (q.beyond is not None) == (q.expected == "RAISED OR LOWERED")
    others = [q for q in QUESTIONS if q.learner == "Meta-SGD"]
    assert {q.id for q in QUESTIONS if q.learner == "MAML"} < {q.id for q in others}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "name"), [("MAML", "maml-glyphs-s0"), ("Meta-SGD", "meta-sgd-glyphs-s0")]
)
def test_an_encoder_has_everything_its_questions_name(
    learner: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context, one = measured(name, Store(tmp_path_factory.mktemp("store")))
    for q in QUESTIONS:
        if q.learner == learner and AGREEMENT not in q.of:
            assert has(q.of, one), q
            assert q.beyond is None or has(q.beyond, one)
    levels = distance_section(context).lines
    x, y = (np.array([getattr(line, w) for line in levels]) for w in ("x", "value"))
    slope = sum(values.mean() for values, _ in one.slots["slope over distance"])
    assert slope == pytest.approx(0.1 * np.polyfit(x, y, 1)[0])
    apart = np.array([" shared" not in line.label and "same" not in line.label for line in levels])
    assert apart.sum() == 4
    rest = sum(values.mean() for values, _ in one.slots["slope over distance, classes apart"])
    assert rest == pytest.approx(0.1 * np.polyfit(x[apart], y[apart], 1)[0])
    gain = of_one({"learned, on": 1, "init, on": -1}, one)
    same = of_one({"step 5, on": 1, "step 0, on": -1}, one)
    assert gain == same
    assert context.found.cells["support"]["adapted_on"].mean() == pytest.approx(
        one.slots["learned, on"][0][0].mean()
    )
    assert one.cause is None or name.startswith("meta-sgd")


def test_pseudo_values_of_agreement_have_the_pairs_mean() -> None:
    names = [f"meta-sgd-glyphs-s{s}" for s in range(4)]
    encoders = [load_encoder(n) for n in names]
    values = agreements(encoders)
    pairs = [agreements([a, b, b]).mean() for a, b in ((encoders[0], encoders[1]),)]
    assert values.shape == (4,)
    assert abs(values.mean()) < 0.05
    assert agreements([encoders[0]] * 3).mean() > 0.05  # a run agrees with itself
    assert pairs[0] > values.mean()  # two of its three runs are one


def test_runs_of_one_start_are_found_by_their_recipes() -> None:
    names = ["meta-sgd-glyphs-s1", "meta-sgd-glyphs-s0", "meta-sgd-init0-glyphs-s1"]
    together = of_one_start([load_encoder(n) for n in names])
    assert [e.name for e in together] == names[1:]
    assert of_one_start([]) == []
