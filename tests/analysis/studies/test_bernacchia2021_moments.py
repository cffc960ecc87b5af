"""Bernacchia 2021: Wishart moments against known polynomials and sampled matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.analysis.studies.bernacchia2021.moments import (
    contraction,
    expected_traces,
    wishart_moment,
)


def test_moments_of_a_sample_covariance_match_the_known_polynomials() -> None:
    for n, p in [(5, 7), (3, 2), (11, 4), (1, 6)]:
        w2 = n * p * (n + p + 1)
        w3 = n * p * (n**2 + p**2 + 3 * n * p + 3 * n + 3 * p + 4)
        w4 = n**3 + p**3 + 6 * n**2 * p + 6 * n * p**2 + 6 * n**2 + 6 * p**2
        w4 = n * p * (w4 + 17 * n * p + 21 * n + 21 * p + 20)
        assert wishart_moment((1,), n, p) == n * p
        assert wishart_moment((2,), n, p) == w2
        assert wishart_moment((3,), n, p) == w3
        assert wishart_moment((4,), n, p) == w4
        assert wishart_moment((1, 1), n, p) == n * p * (n * p + 2)
        assert wishart_moment((1, 2), n, p) == (n * p + 4) * w2
        extra = 4 * n * p * (2 * n**2 + 2 * p**2 + 5 * n * p + 5 * n + 5 * p + 5)
        assert wishart_moment((2, 2), n, p) == w2**2 + extra


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_moments_reduce_to_chi_square_and_ignore_which_side_is_which(
    powers: list[int], n: int, p: int
) -> None:
    total = sum(powers)
    chi = math.prod(range(n, n + 2 * total, 2))
    assert wishart_moment(tuple(powers), n, 1) == chi
    assert wishart_moment(tuple(powers), 1, n) == chi
    assert wishart_moment(tuple(powers), n, p) == wishart_moment(tuple(powers), p, n)


def test_expected_traces_agree_with_sampled_matrices() -> None:
    rng = np.random.default_rng(0)
    n, p, alpha = 6, 4, -0.7
    x = rng.standard_normal((60000, n, p))
    s = x.swapaxes(1, 2) @ x / n
    a = np.eye(p) - alpha * s
    a2 = a @ a
    tr = {
        ((4, 0),): np.trace(a2 @ a2, axis1=1, axis2=2),
        ((2, 1),): np.trace(a2 @ s, axis1=1, axis2=2),
        ((2, 0), (0, 1)): np.trace(a2, axis1=1, axis2=2) * np.trace(s, axis1=1, axis2=2),
    }
    for factors, values in tr.items():
        exact = float(expected_traces(factors, np.array(alpha), n=n, p=p))
        assert abs(values.mean() - exact) <= 4 * values.std() / math.sqrt(len(values))
    assert contraction(np.array(alpha), n=n, p=p) == pytest.approx(
        float(expected_traces(((2, 0),), np.array(alpha), n=n, p=p)) / p
    )
