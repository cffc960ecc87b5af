"""Intervals for one sample: differences ``(E,)``, one per episode, or a share of trials.

They speak of this checkpoint on these classes; `clustered.py` of new classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .samples import BLOCK, FloatArray, Interval, sample, sd, upper


def t_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval for the mean of ``differences (E,)``, one per episode.

    Raises:
        StatisticsError: Fewer than two values, or one that is not finite.
    """
    d = sample(differences)
    half = float(special.stdtrit(d.size - 1, upper(level))) * sd(d) / math.sqrt(d.size)
    return Interval(float(d.mean()) - half, float(d.mean()) + half)


def bca_interval(
    differences: ArrayLike, level: float = 0.95, *, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Bias-corrected, accelerated bootstrap interval for the mean of ``differences (E,)``.

    Efron (1987). The acceleration of a mean has a closed form, Σl³ / 6(Σl²)^1.5 with l the
    centred values. Values that are all alike give an interval of no width.

    Raises:
        StatisticsError: Fewer than two values, or one that is not finite.
    """
    d = sample(differences)
    spread = float(np.ptp(d))
    if spread == 0.0:
        return Interval(float(d[0]), float(d[0]))
    centre = d.mean()
    means = _resampled_means(d, resamples, np.random.default_rng(seed))
    # Ties with the estimate are common in counts; half of them lie on either side.
    gap = means - centre
    below = np.mean((gap < -1e-12 * spread) + 0.5 * (np.abs(gap) <= 1e-12 * spread))
    bias = special.ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    scaled = (d - centre) / spread
    acceleration = np.sum(scaled**3) / (6 * np.sum(scaled**2) ** 1.5)
    z = bias + special.ndtri([1 - upper(level), upper(level)])
    low, high = np.quantile(means, special.ndtr(bias + z / (1 - acceleration * z)))
    return Interval(float(low), float(high))


def _resampled_means(d: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Means of ``resamples`` draws of E from ``d (E,)`` with replacement."""
    values, counts = np.unique(d, return_counts=True)
    if 8 * values.size < d.size:  # counts of few distinct values: resample their histogram
        weights = rng.multinomial(d.size, counts / d.size, size=resamples)
        return np.asarray(weights @ values / d.size, dtype=np.float64)
    means = np.empty(resamples)
    block = max(1, BLOCK // d.size)
    for start in range(0, resamples, block):
        rows = means[start : start + block]
        rows[:] = d[rng.integers(0, d.size, (rows.size, d.size), dtype=np.uint32)].mean(axis=1)
    return means


def wilson_interval(share: float, n: float, *, quantile: float = 1.959963984540054) -> Interval:
    """Wilson's (1927) score interval for a share of ``n`` trials; stays inside [0, 1].

    ``n`` may be an effective size, p(1 − p)/V, where trials are not independent.
    """
    q = quantile**2 / n
    centre = (share + q / 2) / (1 + q)
    half = math.sqrt(share * (1 - share) * q + q * q / 4) / (1 + q)
    return Interval(min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def intervals_agree(first: Interval, second: Interval, tolerance: float = 0.1) -> bool:
    """Do both ends agree to within ``tolerance`` of the wider interval's width?"""
    width = max(first.high - first.low, second.high - second.low)
    apart = max(abs(first.low - second.low), abs(first.high - second.high))
    return apart <= tolerance * width
