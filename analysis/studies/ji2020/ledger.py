"""How this study turns repeats into numbers: sizes, intervals, verdicts.

A repeat is one independently drawn meta-problem. Every interval is a percentile
bootstrap over repeats, and every verdict is a comparison made by code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..study import Settings, Verdict
from .problems import Array

PAPER = "Ji, Lee, Liang & Poor 2020"
DERIVED = "derived"


@dataclass(frozen=True)
class Sizes:
    """How much is run. Rules and problems are the same in both modes.

    Args:
        seed: The only source of randomness.
        exact: Repeats where a bound is checked on each.
        train: Repeats of the short training sweeps.
        smooth: Repeats of the meta-smoothness sweeps.
        long: Repeats of the long runs (best N, running average).
        floor: Repeats of the noise-floor runs.
        floor_iterations: Measured iterations of those.
        blow_up: Repeats of the divergence count.
        encoders: Episodes each shipped encoder is measured on.
    """

    seed: int
    exact: int
    train: int
    smooth: int
    long: int
    floor: int
    floor_iterations: int
    blow_up: int
    encoders: int


def sizes(settings: Settings) -> Sizes:
    """The sizes of the quick and of the full run; what must hold on every problem has as many."""
    if settings.quick:
        return Sizes(settings.seed, 64, 16, 8, 12, 8, 400, 24, 2)
    return Sizes(settings.seed, 64, 64, 32, 48, 16, 2000, 96, 10)


@dataclass(frozen=True)
class Estimate:
    """A statistic over repeats with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """``(low, high)``."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def geometric_mean(values: Array) -> Array:
    """Geometric mean over the first axis, the repeats."""
    return np.asarray(np.exp(np.log(values).mean(0)))


def median(values: Array) -> Array:
    """Median over the first axis, the repeats."""
    return np.asarray(np.median(values, axis=0))


def estimate(
    values: Array,
    statistic: Callable[[Array], Array] = geometric_mean,
    *,
    seed: int = 0,
    draws: int = 2000,
) -> Estimate:
    """A statistic of repeats and its percentile bootstrap interval.

    Args:
        values: One row for each repeat, ``(S, …)``.
        statistic: ``(S, …) -> scalar``, over the first axis.
        seed: Of the resampling.
        draws: Resamples.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(values), size=(draws, len(values)))
    spread = np.array([float(statistic(values[r])) for r in rows])
    low, high = np.quantile(spread, [0.025, 0.975])
    return Estimate(float(statistic(values)), float(low), float(high))


def verdict(*, supported: bool, refuted: bool = False) -> Verdict:
    """SUPPORTED if the rule holds, REFUTED if its opposite does, else NOT SHOWN."""
    if supported:
        return "SUPPORTED"
    return "REFUTED" if refuted else "NOT SHOWN"


def numbers(values: Sequence[float] | Array, digits: int = 3) -> str:
    """Numbers in a sentence: ``0.0407, 0.0145, 0.0111``."""
    return ", ".join(f"{float(v):.{digits}g}" for v in values)
