"""Numbers of a section in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..audit_parts import Effect
from ..statistics.intervals import t_interval

RESOLVED = ("RAISED", "LOWERED", "TRACE+", "TRACE−")


def said(effect: Effect) -> str:
    """``+0.52 points (0.11 to 0.93)``."""
    ends = f"{100 * effect.ci_low:+.2f} to {100 * effect.ci_high:+.2f}"
    return f"{100 * effect.value:+.2f} points ({ends}; {effect.verdict})".replace("-", "−")


def mean_interval(values: ArrayLike) -> tuple[float | None, float | None, float | None, int]:
    """Mean over episodes with its 95 % interval and count; episodes without a value left out."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    if not len(array):
        return None, None, None, 0
    if len(array) < 2:
        return float(array[0]), None, None, 1
    low, high = t_interval(array)[:2]
    return float(array.mean()), float(low), float(high), len(array)


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
