"""What a statistic is given, checked once, and the interval it gives back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...data.errors import MetaprobeError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BLOCK = 2_000_000  # random numbers held at once


class StatisticsError(MetaprobeError):
    """A statistic that is undefined on what was given."""


class Interval(NamedTuple):
    """Two ends, low first."""

    low: float
    high: float


def sample(differences: ArrayLike) -> FloatArray:
    """One finite value for each of at least two episodes, ``(E,)``."""
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size < 2 or not np.isfinite(d).all():
        raise StatisticsError(
            f"differences of shape {d.shape} must be one finite value for each of at least two"
            " episodes",
            code="too-few",
        )
    return d


def table(differences: ArrayLike) -> FloatArray:
    """Finite values of at least two seeds on at least two episodes, ``(S, E)``."""
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or min(d.shape) < 2 or not np.isfinite(d).all():
        raise StatisticsError(
            f"differences of shape {d.shape} must be a finite (S, E) table of at least two seeds"
            " and two episodes; one training run says nothing about its method",
            code="too-few-seeds",
        )
    return d


def sd(d: FloatArray) -> float:
    """Sample standard deviation, exactly zero when all values are alike."""
    return float(d.std(ddof=1)) if np.ptp(d) > 0 else 0.0


def upper(level: float) -> float:
    """The upper quantile of a two-sided interval: 0.975 for 0.95."""
    return (1 + level) / 2
