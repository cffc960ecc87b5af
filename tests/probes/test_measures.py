"""Every measure of quality is blind to exactly what it says it is blind to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metaprobe.probes.measure import CHANGES, Change, Measure
from metaprobe.probes.measures import MEASURES

from ..changes import change

Array = NDArray[Any]
EACH = pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda m: m.name)


def clusters(random: np.random.Generator, n: int = 140, d: int = 6) -> tuple[Array, Array]:
    """Overlapping classes of unequal size, off the origin, of unequal axes."""
    labels = np.sort(random.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1]))
    rows = random.normal(size=(4, d))[labels] + random.normal(size=(n, d))
    return rows * np.geomspace(0.1, 3, d) + 1, labels


def said(measure: Measure, rows: Array, labels: Array) -> float:
    if len(measure.takes) == 2:
        return measure(rows, labels)
    few = {"strengths": (0.1, 1.0)} if measure.name == "logistic" else {}  # the grid is slow
    return measure(rows[::2], labels[::2], rows[1::2], labels[1::2], **few)


@EACH
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_measure_does_not_see_what_it_says_it_does_not_see(measure: Measure, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, labels = clusters(random)
    before = said(measure, rows, labels)
    assert measure.low <= before <= measure.high
    for name in CHANGES:
        if name in measure.invariant_to:
            moved = change(name, random, *rows.shape)(rows)
            assert said(measure, moved, labels) == pytest.approx(before, rel=1e-7), name


@EACH
@pytest.mark.parametrize("name", CHANGES)
def test_a_measure_sees_everything_else(measure: Measure, name: Change) -> None:
    seen = False
    for seed in range(3):  # an accuracy may happen to be the same
        if seen:
            break
        random = np.random.default_rng(seed)
        rows, labels = clusters(random)
        moved = change(name, random, *rows.shape)(rows)
        seen |= abs(said(measure, moved, labels) - said(measure, rows, labels)) > 1e-5
    assert seen is (name not in measure.invariant_to)


@EACH
def test_better_features_score_better_in_the_direction_declared(measure: Measure) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    labels = labels[random.permutation(200)]
    noise, centres = random.normal(size=(200, 10)), random.normal(size=(4, 10))
    apart, mixed = (said(measure, noise + gap * centres[labels], labels) for gap in (4.0, 0.3))
    assert (apart > mixed) is (measure.direction == "higher")
    assert apart != mixed


@EACH
def test_names_serve_as_labels_and_float32_is_measured_in_float64(measure: Measure) -> None:
    rows, labels = clusters(np.random.default_rng(1))
    rows = rows.astype(np.float32)
    exact = said(measure, rows.astype(np.float64), labels)
    names = np.array(["ka", "kb", "kc", "kd"])[labels]
    assert said(measure, rows, names) == pytest.approx(exact, rel=1e-7)
