"""Every measure is blind to exactly what it says it is blind to, and nothing else."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metaprobe.analysis.similarity import MEASURES
from metaprobe.probes.measure import CHANGES, Change, Measure

from ...changes import change

Array = NDArray[Any]
Changed = Callable[[Array], Array]

ALL = list(MEASURES.values())
EACH = pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)


def two_encoders(random: np.random.Generator, n: int = 100, d: int = 6) -> tuple[Array, Array]:
    """Features that have something, not everything, to do with each other."""
    x = random.normal(size=(n, d)) * np.geomspace(1, 3, d) + 1
    return x, 0.7 * x + random.normal(size=(n, d))


def said(measure: Measure, x: Array, y: Array) -> float:
    extra = [np.arange(len(x)) % 4] if "labels (N,)" in measure.takes else []
    return measure(x, y, *extra)


def twice(change: Changed, x: Array, y: Array) -> tuple[Array, Array]:
    return change(x), change(y)


@EACH
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_measure_does_not_see_what_it_says_it_does_not_see(measure: Measure, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = two_encoders(random)
    before = said(measure, x, y)
    assert measure.low <= before <= measure.high
    for name in CHANGES:
        moved = change(name, random, *x.shape)
        if name in measure.invariant_to:
            assert said(measure, moved(x), y) == pytest.approx(before, abs=1e-9), name
            assert said(measure, x, moved(y)) == pytest.approx(before, abs=1e-9), name
        if name in measure.invariant_to | measure.shared:
            assert said(measure, *twice(moved, x, y)) == pytest.approx(before, abs=1e-9), name


@EACH
@pytest.mark.parametrize("name", CHANGES)
def test_a_measure_sees_everything_else(measure: Measure, name: Change) -> None:
    random = np.random.default_rng(3)
    x, y = two_encoders(random)
    before, moved = said(measure, x, y), change(name, random, *x.shape)
    apart = max(abs(said(measure, moved(x), y) - before), abs(said(measure, x, moved(y)) - before))
    together = abs(said(measure, *twice(moved, x, y)) - before)
    assert (apart > 1e-5) is (name not in measure.invariant_to)
    if measure.shared:
        assert (together > 1e-5) is (name not in measure.invariant_to | measure.shared)


@EACH
def test_the_order_of_the_rows_is_nobodys_business(measure: Measure) -> None:
    if measure.name == "minibatch-cka":  # whose batches are cut from rows as they stand
        measure = MEASURES["minibatch-cka"]
        whole = partial(measure.function, batch=100)
        x, y = two_encoders(np.random.default_rng(0))
        order = np.random.default_rng(1).permutation(100)
        assert whole(x[order], y[order]) == pytest.approx(whole(x, y), abs=1e-12)
        assert measure(x[order], y[order], batch=10) != pytest.approx(measure(x, y, batch=10))
        return
    x, y = two_encoders(np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(x))
    labels = np.arange(len(x)) % 4
    extra = [labels] if len(measure.takes) > 2 else []
    turned = [labels[order]] if len(measure.takes) > 2 else []
    assert measure(x[order], y[order], *turned) == pytest.approx(measure(x, y, *extra), abs=1e-9)


@EACH
def test_the_two_sides_may_change_places_or_it_says_not(measure: Measure) -> None:
    x, y = two_encoders(np.random.default_rng(2))
    same = said(measure, y, x) == pytest.approx(said(measure, x, y), abs=1e-9)
    # the shift of means is in units of x's spread, and the change in units of x's size
    assert same is measure.symmetric


@EACH
@pytest.mark.parametrize("n", [60, 200])
def test_an_encoder_is_entirely_like_itself(measure: Measure, n: int) -> None:
    x, _ = two_encoders(np.random.default_rng(4), n)
    most = measure.high if measure.direction == "higher" else measure.low
    assert said(measure, x, x.copy()) == pytest.approx(most, abs=1e-9)
    other = np.random.default_rng(5).normal(size=x.shape)
    assert abs(said(measure, x, other) - most) > 0.1  # and not like any other


@EACH
def test_float32_features_are_measured_in_float64(measure: Measure) -> None:
    x, y = (side.astype(np.float32) for side in two_encoders(np.random.default_rng(6)))
    exact = said(measure, x.astype(np.float64), y.astype(np.float64))
    assert said(measure, x, y) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("measure", [m for m in ALL if m.reordered], ids=lambda m: m.name)
def test_the_quick_way_to_a_null_is_the_plain_one(measure: Measure) -> None:
    random = np.random.default_rng(7)
    for d in (5, 90):  # on either side of the rows
        x, y = two_encoders(random, 60, d)
        orders = np.stack([random.permutation(60) for _ in range(3)])
        plain = [said(measure, x, y[order]) for order in orders]
        assert measure.reordered is not None
        np.testing.assert_allclose(measure.reordered(x, y, orders), plain, atol=1e-9)
