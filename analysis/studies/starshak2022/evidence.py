"""What the claims read from audits: paired differences, learned rates, intervals over runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...result import Audit
from ...statistics import t_interval

Which = Literal["on", "off"]
WHICH: tuple[Which, ...] = ("on", "off")

BODY = ("block1", "block2", "block3", "block4")


def differences(audits: Sequence[Audit], which: Which) -> NDArray[np.float64]:
    """Paired differences of every run, ``(S, E)``."""
    return np.array([getattr(a.per_episode, which) for a in audits])


def block_rates(audit: Audit, part: str) -> tuple[float, float]:
    """Mean and share of negative values over the live rates of a block or the head."""
    assert audit.rates is not None
    layers = [x for x in audit.rates.layers if x.name.startswith(part + ".") and x.mean is not None]
    live = np.array([x.size - x.dead for x in layers], dtype=float)
    means = np.array([x.mean for x in layers], dtype=float)
    shares = np.array([x.share_negative for x in layers], dtype=float)
    return float(live @ means / live.sum()), float(live @ shares / live.sum())


def overall_share(audit: Audit) -> float:
    assert audit.rates is not None
    return float(audit.rates.overall.share_negative or 0.0)


def over_seeds(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """t interval over training runs; no width where all agree."""
    interval = t_interval(values, level)
    return interval.low, interval.high


def in_points(value: float, low: float, high: float) -> tuple[float, tuple[float, float]]:
    """An estimate and its interval, shares to percentage points."""
    return 100 * value, (100 * low, 100 * high)
