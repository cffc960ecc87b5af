"""The ledger of Starshak (2022): the rules decide, also against the paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from metaprobe.analysis.audit_parts import RateLayer
from metaprobe.analysis.statistics import FloatArray, seeds_by_classes
from metaprobe.analysis.studies import Settings, run_study
from metaprobe.analysis.studies.page import studies_html
from metaprobe.analysis.studies.starshak2022 import claims_rates
from metaprobe.analysis.studies.starshak2022 import figures as drawing
from metaprobe.analysis.studies.starshak2022.claims_effects import (
    Asked,
    effect_claim,
    effect_claims,
)
from metaprobe.analysis.studies.starshak2022.evidence import Changes, minus
from metaprobe.analysis.studies.writing import claim_interval, study_json, study_markdown
from metaprobe.analysis.verdicts import Expectation
from metaprobe.data.store import Store

CLASSES = np.argsort(np.random.default_rng(3).random((300, 40)), axis=1)[:, :5]

PARTS = ("block1", "block2", "block3", "block4", "head")


def asked(values: FloatArray, expected: Expectation = "RAISED") -> Asked:
    """A claim that the mean of ``values (S, E, W)`` is not zero."""
    return Asked("C5", "statement", "source", None, ((values, CLASSES),), expected)


def claim(shift: float, runs: int = 5, expected: Expectation = "RAISED") -> str:
    """The verdict of a claim about 300 episodes a run, of which the mean is planted."""
    noise = np.random.default_rng(0).standard_normal((runs, 300, 5))
    noise -= noise.mean()
    return effect_claim(asked(shift + 0.02 * noise, expected)).verdict


def test_a_planted_effect_supports_a_claim_and_its_opposite_refutes_it() -> None:
    assert claim(0.02) == "SUPPORTED"
    assert claim(-0.02) == "REFUTED"
    assert claim(0.0) == "NOT SHOWN"
    assert claim(-0.02, expected="LOWERED") == "SUPPORTED"


def test_fewer_than_five_runs_show_nothing_about_a_method() -> None:
    assert claim(0.02, runs=4) == "NOT SHOWN"


def test_one_run_against_the_others_is_forgiven_two_are_not() -> None:
    rng = np.random.default_rng(1)
    base = 0.002 * rng.standard_normal((6, 300, 5))
    for against, verdict in ((1, "SUPPORTED"), (2, "NOT SHOWN")):
        shifts = np.array([-0.001] * against + [0.02] * (6 - against))
        assert effect_claim(asked(base + shifts[:, None, None])).verdict == verdict


def test_classes_that_differ_widen_the_interval_of_a_claim() -> None:
    noise = 0.02 * np.random.default_rng(2).standard_normal((5, 300, 5))
    by_class = 0.05 * np.random.default_rng(4).standard_normal(40)
    same, differ = (effect_claim(asked(noise + e)) for e in (0.0, by_class[CLASSES]))
    assert same.interval is not None
    assert differ.interval is not None
    assert np.diff(differ.interval)[0] > 4 * np.diff(same.interval)[0]


def test_holm_can_take_a_verdict_away_and_gives_none() -> None:
    one = asked(0.02 + 0.002 * np.random.default_rng(5).standard_normal((5, 300, 5)))
    assert effect_claim(one, 0.01).verdict == "SUPPORTED"
    assert effect_claim(one, 0.06).verdict == "NOT SHOWN"
    assert effect_claim(replace(one, expected="LOWERED"), 0.01).verdict == "REFUTED"
    assert effect_claim(replace(one, expected="LOWERED"), 0.06).verdict == "NOT SHOWN"


def test_the_family_of_claims_is_corrected_together() -> None:
    rng = np.random.default_rng(6)
    parts = [(m + 0.1 * rng.standard_normal((5, 300, 5)), CLASSES) for m in (9e-3, 1e-3, -8e-3, 0)]
    maml, sgd = Changes(parts[0], parts[1]), Changes(parts[2], parts[3])
    claims = effect_claims(maml, sgd)
    nine = (minus(sgd.off, maml.off), minus(maml.on, sgd.on))
    single = [seeds_by_classes(p).p for p in ([parts[0]], [parts[2]], [parts[1]], [parts[3]], nine)]
    for one, p in zip(claims, single, strict=True):
        steps = [q * sum(other >= q for other in single) for q in single if q <= p]
        corrected = min(1.0, max(steps))
        told = "p_Holm < 0.0001" if corrected < 1e-4 else f"p_Holm = {corrected:.4f}"
        assert told in one.measured
        assert one.verdict == "NOT SHOWN" or corrected < 0.05


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        (-0.03, "SUPPORTED"),  # every block negative, the head positive
        (0.0, "NOT SHOWN"),  # one block stands on neither side
        (0.03, "REFUTED"),  # one block resolved against the claim
    ],
)
def test_rates_of_unresolved_blocks_refute_nothing(
    monkeypatch: pytest.MonkeyPatch, first: float, verdict: str
) -> None:
    middle: dict[str, float] = dict(zip(PARTS, (first, -0.02, -0.02, -0.02, 0.04), strict=True))
    spread = (-0.004, 0.004, -0.002, 0.002, 0.001)

    def rates(run: int, part: str) -> tuple[float, float]:
        return middle[part] + spread[run], 0.5

    monkeypatch.setattr(claims_rates, "parts_with_rates", lambda runs: PARTS)
    monkeypatch.setattr(claims_rates, "block_rates", rates)
    monkeypatch.setattr(claims_rates, "overall_share", lambda run: 0.4 + 0.01 * run)
    found = claims_rates.rate_claims(range(5), "They start somewhere.")  # type: ignore[arg-type]
    assert found[0].note.startswith("They start somewhere.")
    assert found[0].verdict == verdict
    assert ("unresolved: block1" in found[0].note) == (verdict == "NOT SHOWN")
    assert claim_interval(found[1]) == "+40.04 to +43.96 %"


def test_the_interval_of_a_share_stays_within_what_a_share_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims_rates, "parts_with_rates", lambda runs: PARTS)
    monkeypatch.setattr(claims_rates, "block_rates", lambda run, part: (0.1, 0.5))
    for shares, end in (((0.0, 0.0, 0.0, 0.0, 0.2), 0), ((1.0, 1.0, 1.0, 1.0, 0.8), 1)):
        monkeypatch.setattr(claims_rates, "overall_share", shares.__getitem__)
        found = claims_rates.rate_claims(range(5), "")[1]  # type: ignore[arg-type]
        assert found.interval is not None
        assert found.interval[end] == (0.0, 100.0)[end]


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("runs", [2, 3, 5])
def test_rates_of_several_runs_are_drawn_with_legible_titles_and_their_own_layers(
    monkeypatch: pytest.MonkeyPatch, runs: int, alike: bool
) -> None:
    def layers(audit: SimpleNamespace) -> list[RateLayer]:
        names = [f"block{i}.conv.weight" for i in range(1, 5)]
        if audit.checkpoint.name.endswith("s1") and not alike:
            names[0] = "stem.weight"
        return [
            RateLayer.model_construct(name=n, mean=0.1, share_negative=0.0, sd=0.0) for n in names
        ]

    monkeypatch.setattr(drawing, "_weights", layers)
    audits = [
        SimpleNamespace(checkpoint=SimpleNamespace(name=f"meta-sgd-glyphs-s{i}"))
        for i in range(runs)
    ]
    figure = drawing.rate_figure(audits)  # type: ignore[arg-type]
    assert figure is not None
    figure.draw_without_rendering()
    boxes = []
    for axis in figure.axes:
        heading = next(t for t in axis.texts if t.get_text() == "< 0")
        title = next(t for t in (axis.title, axis._left_title) if t.get_text())  # type: ignore[attr-defined]
        boxes += [heading.get_window_extent(), title.get_window_extent()]
        shown = [t.get_text() for t in axis.get_yticklabels() if t.get_text()]
        assert bool(shown) == (axis is figure.axes[0] or not alike)
    assert boxes[-1].x1 <= figure.bbox.width
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    store = Store(tmp_path_factory.mktemp("store") / "s")
    with pytest.MonkeyPatch.context() as patch:
        study = import_module("metaprobe.analysis.studies.starshak2022.run")
        patch.setattr(study, "QUICK_EPISODES", 12)
        yield run_study("starshak2022", Settings(quick=True), store=store, jobs=2)


def test_the_quick_run_has_every_claim_and_says_nothing_of_methods(quick: object) -> None:
    from metaprobe.analysis.studies import Study

    assert isinstance(quick, Study)
    assert [c.id for c in quick.claims] == [f"C{i}" for i in range(1, 13)]
    assert all(c.verdict == "NOT SHOWN" for c in quick.claims)  # two runs of each learner
    assert study_json(quick)["schema"] == "metaprobe.study/1"
    assert list(quick.tables["galleries"]["claim"]) == [f"C{i}" for i in range(5, 10)]
    page = study_markdown(quick)
    assert all(f"**{c.id}**" in page for c in quick.claims)
    html = studies_html([quick])
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<tr>") > 12
