"""No measure stands in the register without its evidence: every kind of it, for every name."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metaprobe.analysis.measures import GEOMETRY, MEASURES, QUALITY, SIMILARITY
from metaprobe.data.errors import MetaprobeError
from metaprobe.probes.measure import CHANGES, Measure

from ..probes import test_measures as of_quality
from . import test_geometry as of_geometry
from .measure_cases import CASES
from .measure_rivals import RIVALS, SETTINGS
from .similarity import test_declarations as of_similarity

Array = NDArray[Any]
EACH = pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda m: m.name)
PAGE = Path(__file__).parents[2] / "docs" / "how-to-choose.md"

ASKED_FOR = {
    *("knn", "dino-knn", "class-mean", "nil", "ridge", "logistic", "leave-one-out"),
    *("silhouette", "class-separation", "cdnv", "nc1", "logme"),
    *("r-precision", "map-at-r", "recall-at-k"),
    *("cka", "minibatch-cka", "rbf-cka", "svcca", "pwcca", "procrustes", "rsa", "mutual-knn"),
    *("drift-cosine", "drift-change", "centroid-shift"),
    *("effective-rank", "participation-ratio", "alpha-req", "two-nn", "dead", "duplicated"),
}
"""What a report on feature reuse cannot do without."""


def sample(measure: Measure, seed: int, n: int = 120, d: int = 60) -> list[Array]:
    """Arrays for a measure: overlapping classes of unequal size, of a decaying spectrum."""
    random = np.random.default_rng(seed)
    labels = np.sort(random.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1]))[random.permutation(n)]
    rows = random.normal(size=(4, d))[labels] + random.normal(size=(n, d))
    rows = rows * np.arange(1, d + 1) ** -0.5 + 0.3
    if measure.kind == "geometry":
        rows[:, 7], rows[:, 9] = 0.0, 2 - 3 * rows[:, 0]
        return [rows if measure.name != "alpha-req" else rows[:, 10:]]
    if measure.kind == "similarity":
        same = measure.takes[1].endswith("(N, D)")
        other = (rows[:, :9] if not same else rows) + 0.5 * random.normal(
            size=(n, d if same else 9)
        )
        return [rows[:, : d if same else 12], other, *([labels] if len(measure.takes) > 2 else [])]
    if len(measure.takes) == 2:
        return [rows, labels]
    return [rows[::2], labels[::2], rows[1::2], labels[1::2]]


@EACH
def test_a_measure_gives_what_was_worked_out_by_hand(measure: Measure) -> None:
    for arrays, value, why in CASES[measure.name]:
        # RankMe adds 1e-7 to each share; sides of rectangles are rounded
        within = 1e-5 if measure.name == "effective-rank" else 1e-8
        assert measure(*arrays) == pytest.approx(value, rel=within), why


@EACH
@pytest.mark.parametrize("seed", [0, 1])
def test_a_measure_gives_what_another_implementation_gives(measure: Measure, seed: int) -> None:
    arrays = sample(measure, seed)
    before = [array.copy() for array in arrays]
    value = measure(*arrays, **SETTINGS.get(measure.name, {}))
    within = 1e-4 if measure.name == "effective-rank" else 1e-6
    assert value == pytest.approx(RIVALS[measure.name](*arrays), rel=within, abs=1e-9)
    for array, was in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, was)  # and leaves its arrays alone


def test_every_measure_has_each_kind_of_evidence() -> None:
    assert MEASURES.keys() >= ASKED_FOR
    assert len(MEASURES) == len(QUALITY) + len(SIMILARITY) + len(GEOMETRY)  # no name twice
    assert CASES.keys() == MEASURES.keys()
    assert RIVALS.keys() == MEASURES.keys()
    held = [
        measure
        for tests in (of_quality, of_similarity, of_geometry)
        for measure in tests.EACH.args[1]  # these tests hold declarations to it, both ways
    ]
    assert sorted(m.name for m in held) == sorted(MEASURES)
    for tests in (of_quality, of_similarity, of_geometry):
        for test in (
            tests.test_a_measure_does_not_see_what_it_says_it_does_not_see,
            tests.test_a_measure_sees_everything_else,
        ):
            assert tests.EACH.mark in test.pytestmark


@EACH
def test_a_case_by_hand_is_more_than_an_end_of_the_range(measure: Measure) -> None:
    assert any(value not in (measure.low, measure.high, 0) for _, value, _ in CASES[measure.name])
    assert all(why for _, _, why in CASES[measure.name])


@EACH
def test_a_measure_says_everything_of_itself_on_the_page(measure: Measure) -> None:
    [row] = re.findall(rf"^\| `{measure.name}`: (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    title, direction, span, blind, cost, misleads, source = row.split(" | ")
    assert title == measure.title
    assert direction == measure.direction
    low, high = (end.replace("−", "-").replace("∞", "inf") for end in span.split(" … "))
    assert (float(low), float(high)) == (measure.low, measure.high)
    assert measure.low < measure.high
    own, _, both = blind.partition("; on both sides alike: ")
    assert set(own.split(", ")) == (measure.invariant_to or {"nothing"})
    assert set(both.split(", ")) == (measure.shared or {""})
    assert measure.invariant_to | measure.shared <= set(CHANGES)
    assert cost.startswith("O(")
    assert len(misleads) > 20
    assert source


NOTHING = np.zeros((0, 5)), np.zeros(0, dtype=int)
FULL = np.random.default_rng(0).normal(size=(60, 55)), np.arange(60) % 4
SPOILT = {
    "no rows": (*NOTHING, {"too-few-rows", "empty"}),
    "no features": (np.zeros((60, 0)), FULL[1], {"shape"}),
    "one feature vector": (np.zeros(60), FULL[1], {"shape", "rows"}),
    "words": (np.array([["a", "b"]] * 60), FULL[1], {"shape"}),
    "complex": (FULL[0] * 1j, FULL[1], {"shape"}),
    "nan": (np.where(FULL[0] > 2, np.nan, FULL[0]), FULL[1], {"not-finite"}),
    "infinite": (np.where(FULL[0] > 2, np.inf, FULL[0]), FULL[1], {"not-finite"}),
}


def arrays_of(measure: Measure, rows: Any, labels: Any) -> list[Any]:
    if measure.kind == "geometry":
        return [rows]
    if measure.kind == "similarity":
        return [rows, rows, *([labels] if len(measure.takes) > 2 else [])]
    return [rows, labels] * (len(measure.takes) // 2)


@EACH
@pytest.mark.parametrize("name", SPOILT)
def test_what_is_no_features_is_refused_in_a_sentence(measure: Measure, name: str) -> None:
    rows, labels, codes = SPOILT[name]
    with pytest.raises(MetaprobeError) as caught:
        measure(*arrays_of(measure, rows, labels))
    assert caught.value.code in codes
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [np.arange(59) % 4, np.where(FULL[1] == 3, np.nan, FULL[1]), np.array([None, "a"] * 30)],
    ids=["one short", "some missing", "some none"],
)
@pytest.mark.parametrize(
    "measure", [m for m in MEASURES.values() if any("labels" in t for t in m.takes)],
    ids=lambda m: m.name,
)  # fmt: skip
def test_labels_that_are_none_are_refused_in_a_sentence(measure: Measure, labels: Any) -> None:
    with pytest.raises(MetaprobeError) as caught:
        measure(*arrays_of(measure, FULL[0], labels))
    assert caught.value.code == "labels"


@EACH
@pytest.mark.parametrize(
    "rows",
    [
        np.full((60, 55), 0.1),
        np.repeat(FULL[0][:15], 4, axis=0),
        FULL[0][:, :1],
        FULL[0][:2],
        FULL[0][:4],
        FULL[0].astype(np.float16),
        FULL[0] > 0,
        FULL[0] * 1e-310,
        FULL[0] * 1e140,
        FULL[0] + 1e8,
    ],
    ids=["constant", "repeats", "one feature", "two rows", "four rows", "float16", "bools", "tiny",
         "huge", "far off"],
)  # fmt: skip
def test_odd_features_are_measured_within_range_or_refused(measure: Measure, rows: Any) -> None:
    """Never a NaN, a warning, an error of another kind, or a value beyond what is declared."""
    labels, codes = np.arange(len(rows)) % 4, set()
    for classes in (labels, labels // 2, labels * 0):
        try:
            value = measure(*arrays_of(measure, rows, classes))
        except MetaprobeError as refusal:
            codes.add(refusal.code)
            continue
        assert isinstance(value, float)
        assert measure.low - 1e-12 <= value <= measure.high + 1e-12
        assert value < inf or measure.name in ("cdnv", "nc1")
    assert codes <= {
        "classes", "constant", "constant-row", "equidistant", "k-too-large",
        "too-few-rows", "window", "zero-norm",
    }  # fmt: skip
