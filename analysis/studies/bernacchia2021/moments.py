r"""Expected traces of a sample covariance: the only averages the closed forms need.

With ``W = XᵀX``, ``X (n, p)`` standard normal, Gaussian integration by parts turns one trace
into shorter ones,

.. math:: E[\operatorname{tr} W^k\, P] = (n + k - 1)\, E[\operatorname{tr} W^{k-1} P]
    + \sum_{r=0}^{k-2} E[\operatorname{tr} W^{r+1} \operatorname{tr} W^{k-2-r} P]
    + \sum_{l \in P} 2 l\, E[\operatorname{tr} W^{k+l-1} P / \operatorname{tr} W^l],

for any product of traces ``P``; with ``tr W⁰ = p`` it ends. The integers it returns are exact.
The inner step multiplies a distance from the task's weights by ``A = I − αS``, ``S = W/n``, so
every average used here is a polynomial in ``α`` whose coefficients are such moments.

Derived here (integration by parts is standard; the paper's own derivation was not obtainable).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

Factors = tuple[tuple[int, int], ...]
"""``((a, b), …)`` stands for the product of the traces ``tr(A^a S^b)``."""


@lru_cache(maxsize=65536)
def wishart_moment(powers: tuple[int, ...], n: int, p: int) -> int:
    """``E ∏ tr W^k`` over ``k`` in ``powers``, for ``W = XᵀX`` with ``X (n, p)`` standard normal.

    >>> wishart_moment((2,), n=5, p=7)  # n p (n + p + 1)
    455
    """
    powers = tuple(sorted(powers, reverse=True))
    if not powers:
        return 1
    if powers[-1] == 0:
        return p * wishart_moment(powers[:-1], n, p)
    k, rest = powers[0], powers[1:]
    total = (n + k - 1) * wishart_moment((k - 1, *rest), n, p)
    for r in range(k - 1):
        total += wishart_moment((r + 1, k - 2 - r, *rest), n, p)
    for place, power in enumerate(rest):
        others = rest[:place] + rest[place + 1 :]
        total += 2 * power * wishart_moment((k + power - 1, *others), n, p)
    return total


@lru_cache(maxsize=8192)
def trace_polynomial(factors: Factors, n: int, p: int) -> tuple[float, ...]:
    """Coefficients in ``α``, constant first, of ``E ∏ tr(A^a S^b)``; ``A = I − αS``, ``S = W/n``.

    >>> trace_polynomial(((1, 0),), n=5, p=7)  # E tr(I − αS) = p − α p
    (7.0, -7.0)
    """
    degree = sum(a for a, _ in factors)
    numerators = [0] * (degree + 1)
    shift = sum(b for _, b in factors)
    for steps in product(*(range(a + 1) for a, _ in factors)):
        weight = 1
        for (a, _), j in zip(factors, steps, strict=True):
            weight *= comb(a, j)
        powers = tuple(b + j for (_, b), j in zip(factors, steps, strict=True))
        order = sum(steps)
        numerators[order] += (
            (-1) ** order * weight * wishart_moment(tuple(sorted(powers, reverse=True)), n, p)
        )
    return tuple(value / n ** (order + shift) for order, value in enumerate(numerators))


def expected_traces(factors: Factors, alpha: Array, *, n: int, p: int) -> Array:
    """``E ∏ tr(A^a S^b)``, ``(a, b)`` over ``factors``, at every rate of ``alpha``."""
    coefficients = np.array(trace_polynomial(factors, n, p))
    values: Array = np.polynomial.polynomial.polyval(alpha, coefficients)
    return values


def contraction(alpha: Array, *, n: int, p: int) -> Array:
    """``h(α, n) = E tr(A²)/p = (1 − α)² + α²(p + 1)/n``: what a step does to a squared distance.

    Written as a sum of squares, so it is exact near its minimum and never negative.
    """
    return (1.0 - alpha) ** 2 + alpha**2 * ((p + 1) / n)
