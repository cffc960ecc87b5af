"""Tests of a difference, corrected for their number, and what a sample could have detected."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from .samples import BLOCK, FloatArray, sample, upper


def sign_flip_p(differences: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "each episode's difference is as likely as its negative".

    Signs are flipped at random, the sum compared; (hits + 1) / (resamples + 1) is never zero
    (Phipson & Smyth 2010).

    Raises:
        StatisticsError: Fewer than two values, or one that is not finite.
    """
    d = sample(differences)
    sizes, counts = np.unique(np.abs(d), return_counts=True)
    rng = np.random.default_rng(seed)
    if 8 * sizes.size < d.size:  # few distinct sizes: how many of each stay positive
        positive = rng.binomial(counts, 0.5, size=(resamples, sizes.size))
        sums = (2 * positive - counts) @ sizes
    else:
        sums = np.empty(resamples)
        block = max(1, BLOCK // d.size)
        for start in range(0, resamples, block):
            rows = sums[start : start + block]
            rows[:] = rng.integers(0, 2, (rows.size, d.size), dtype=np.int8) @ (2 * d) - d.sum()
    tie = 1e-9 * max(float(sizes[-1]), np.finfo(float).tiny)
    hits = int(np.count_nonzero(np.abs(sums) >= abs(float(d.sum())) - tie))
    return (hits + 1) / (resamples + 1)


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided McNemar test on queries that became right and that became wrong.

    It takes queries as independent, which those of an episode are not: a check, no headline.
    """
    flips = gained + lost
    return min(1.0, 2 * float(stats.binom.cdf(min(gained, lost), flips, 0.5))) if flips else 1.0


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    p = np.asarray(p_values, dtype=np.float64).ravel()
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(adjusted, 1.0)


def tost_p(value: float, se: float, df: float, margin: float) -> float:
    """p-value of two one-sided t tests of |mean| >= ``margin`` (Schuirmann 1987).

    Below 0.05 exactly where the 90 % interval lies inside (−margin, margin).
    """
    if se == 0.0:
        return 0.0 if abs(value) < margin else 1.0
    return float(special.stdtr(df, (abs(value) - margin) / se))


def minimum_detectable_effect(
    sd: float, n: int, *, power: float = 0.8, level: float = 0.95
) -> float:
    """Smallest true mean that ``n`` differences of this SD detect with this power, two-sided."""
    return power_factor(power, level) * sd / math.sqrt(n)


def power_factor(power: float = 0.8, level: float = 0.95) -> float:
    """How many standard errors a detectable effect must measure: 2.80 by default."""
    return float(special.ndtri(upper(level)) + special.ndtri(power))
