"""Geometry: blind to what it declares, equal to other people's code, right on known clouds."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import skdim.id
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from metaprobe.analysis.geometry import (
    MEASURES,
    alpha_req,
    dead_share,
    duplicated_share,
    effective_rank,
    participation_ratio,
    two_nn,
)
from metaprobe.data.errors import ProbeError
from metaprobe.probes.measure import CHANGES, Change, Measure

from ..changes import change

Array = NDArray[Any]
EACH = pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda m: m.name)


def cloud(random: np.random.Generator, n: int = 120, d: int = 60) -> Array:
    """Features off the origin, of a decaying spectrum, the last two dead, one repeated."""
    rows = random.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5 + 0.5
    rows[:, -2:] = [0.0, 0.7]
    rows[:, -3] = 2 - 3 * rows[:, 0]
    return rows


@EACH
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_measure_does_not_see_what_it_says_it_does_not_see(measure: Measure, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = cloud(random)
    before = measure(rows)
    assert measure.low <= before <= measure.high
    for name in CHANGES:
        moved = change(name, random, *rows.shape)(rows)
        if name in measure.invariant_to:
            assert measure(moved) == pytest.approx(before, rel=1e-6), name


@EACH
@pytest.mark.parametrize("name", CHANGES)
def test_a_measure_sees_everything_else(measure: Measure, name: Change) -> None:
    random = np.random.default_rng(1)
    rows = cloud(random)
    moved = change(name, random, *rows.shape)(rows)
    seen = abs(measure(moved) - measure(rows)) > 1e-4
    assert seen is (name not in measure.invariant_to)


@EACH
def test_neither_the_order_of_rows_nor_their_precision_matters(measure: Measure) -> None:
    rows = cloud(np.random.default_rng(2)).astype(np.float32)
    order = np.random.default_rng(3).permutation(len(rows))
    exact = measure(rows.astype(np.float64))
    assert measure(rows) == pytest.approx(exact, rel=1e-12)
    assert measure(rows[order]) == pytest.approx(exact, rel=1e-9)


def test_effective_rank_is_the_entropy_of_the_singular_values() -> None:
    rows = cloud(np.random.default_rng(0))
    sizes = np.linalg.svd(rows, compute_uv=False)
    assert effective_rank(rows) == pytest.approx(np.exp(scipy.stats.entropy(sizes)), rel=1e-4)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(50, 8)))[0]
    assert effective_rank(turned) == pytest.approx(8, rel=1e-5)
    assert effective_rank(np.ones((50, 8))) == pytest.approx(1, abs=1e-4)


def test_ranks_are_compared_at_one_number_of_rows() -> None:
    """One power law, more rows: the rank grows by itself, as published."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(1000, 1600)) * np.arange(1, 1601) ** -0.5
    ranks = [effective_rank(rows, at=n) for n in (25, 75, 300)]
    assert ranks == pytest.approx([24, 69, 252], rel=0.05)
    assert effective_rank(rows, at=75, seed=1) == pytest.approx(ranks[1], rel=0.05)
    assert effective_rank(rows, at=75, seed=1) != ranks[1]
    assert effective_rank(rows[:75], at=75) == pytest.approx(effective_rank(rows[:75]))


def test_participation_is_that_of_the_covariances_eigenvalues() -> None:
    for shape in ((120, 60), (30, 60)):
        rows = cloud(np.random.default_rng(0), *shape)
        values = np.linalg.eigvalsh(np.cov(rows.T))
        assert participation_ratio(rows) == pytest.approx(values.sum() ** 2 / (values**2).sum())
    line = np.outer(np.arange(5.0), [1.0, 2.0, 3.0])
    assert participation_ratio(line) == pytest.approx(1)
    assert participation_ratio(np.vstack([np.eye(4), -np.eye(4)])) == pytest.approx(4)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7])
def test_alpha_is_the_exponent_of_a_planted_power_law(alpha: float) -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(200, 60))
    base = np.linalg.qr(base - base.mean(0))[0]
    rows = base * np.arange(1, 61) ** (-alpha / 2)
    assert alpha_req(rows) == pytest.approx(alpha, abs=1e-9)
    assert alpha_req(rows, (11, 60)) == pytest.approx(alpha, abs=1e-9)


def test_alpha_is_scikit_learns_weighted_line() -> None:
    rows = cloud(np.random.default_rng(0))
    values = np.sort(np.linalg.eigvalsh(np.cov(rows.T)))[::-1]
    index = np.arange(5, 41)
    line = LinearRegression().fit(
        np.log(index)[:, None], np.log(values[4:40]), sample_weight=1 / index
    )
    assert alpha_req(rows, (5, 40)) == pytest.approx(-line.coef_[0], rel=1e-9)


@pytest.mark.parametrize("d", [3, 10, 30])
def test_two_nn_is_scikit_dimensions(d: int) -> None:
    rows = np.random.default_rng(0).normal(size=(300, d))
    theirs = skdim.id.TwoNN(discard_fraction=0.1).fit(rows).dimension_
    assert two_nn(rows) == pytest.approx(theirs, rel=1e-9)


def test_two_nn_finds_a_planted_dimension_and_falls_short_of_a_high_one() -> None:
    few = [two_nn(np.random.default_rng(seed).normal(size=(75, 10))) for seed in range(10)]
    assert 7 < np.mean(few) < 10
    assert 0.5 < np.std(few) < 2
    assert two_nn(np.random.default_rng(0).normal(size=(2000, 10))) == pytest.approx(9.6, abs=0.6)
    random = np.random.default_rng(0)
    plane = random.uniform(size=(1000, 2)) @ random.normal(size=(2, 40))
    assert two_nn(plane) == pytest.approx(2, abs=0.2)
    assert 24 < two_nn(random.normal(size=(2000, 40))) < 29


@pytest.mark.parametrize("d", [0.5, 2.5, 40.0])
def test_two_nn_of_rectangles_has_a_closed_form(d: float) -> None:
    """The corners of a rectangle far from others share the ratio of its sides, so any ratios fit.

    With ``log μ`` of each rectangle at the mean height of its four corners over d, the slope of
    least squares through the origin is d exactly.
    """
    n, kept = 40, 36
    heights = -np.log1p(-np.arange(1, kept + 1) / n).reshape(-1, 4).mean(axis=1)
    sides = np.exp(np.append(heights, 2 * heights[-1]) / d)  # the last lies beyond `discard`
    corners = [
        [(10 * sides.max() * i + x, y) for x in (0.0, 1.0) for y in (0.0, side)]
        for i, side in enumerate(sides)
    ]
    assert two_nn(np.reshape(corners, (n, 2)), discard=0.1) == pytest.approx(d, rel=1e-6)


def test_rows_that_repeat_another_do_not_count_as_neighbours() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 4))
    assert two_nn(np.vstack([rows, rows[:30]])) == two_nn(rows)


def test_dead_and_repeated_features_are_counted() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 6))
    rows[:, 1], rows[:, 4] = 0.0, 7.5
    rows[:, 5] = -2 * rows[:, 0] + 1
    assert dead_share(rows) == pytest.approx(2 / 6)
    assert duplicated_share(rows) == pytest.approx(1 / 6)
    assert dead_share(np.ones((3, 4))) == 1
    assert duplicated_share(np.ones((3, 4))) == 0


def test_repeats_are_found_across_blocks() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(20, 2500))
    rows[:, [1023, 1024, 2499]] = rows[:, [0, 0, 1500]]
    different = np.unique(rows, axis=1).shape[1]
    assert duplicated_share(rows) == (2500 - different) / 2500 == 3 / 2500


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("constant", lambda: effective_rank(np.zeros((5, 3)))),
        ("at", lambda: effective_rank(np.ones((5, 3)), at=6)),
        ("constant", lambda: participation_ratio(np.ones((5, 3)))),
        ("constant", lambda: alpha_req(np.ones((5, 3)))),
        ("window", lambda: alpha_req(np.random.default_rng(0).normal(size=(40, 60)))),
        ("window", lambda: alpha_req(np.eye(9), (0, 3))),
        ("window", lambda: alpha_req(np.eye(9), (4, 4))),
        ("discard", lambda: two_nn(np.eye(20), discard=1.0)),
        ("too-few-rows", lambda: two_nn(np.ones((50, 3)))),
        ("equidistant", lambda: two_nn(grid())),
        ("too-few-rows", lambda: dead_share(np.ones((1, 3)))),
        ("too-few-rows", lambda: duplicated_share(np.ones((2, 3)))),
        ("not-finite", lambda: dead_share([[np.nan], [1.0]])),
        ("shape", lambda: participation_ratio(np.ones(5))),
    ],
)
def test_what_is_undefined_is_refused(code: str, call: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        call()
    assert caught.value.code == code


def grid() -> Array:
    return np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0)), axis=-1).reshape(-1, 2)
