"""Numbers as a reader sees them.

Accuracies print as shares with three decimals (0.842), effects as percentage points with two
(+1.20).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .audit_parts import Effect, Interval

if TYPE_CHECKING:
    from .result import Contrast


def share(x: float) -> str:
    """0.8423 → ``0.842``."""
    return f"{x:.3f}"


def share_interval(x: Interval) -> str:
    """``[0.835, 0.849]``."""
    return f"[{x.ci_low:.3f}, {x.ci_high:.3f}]"


def points(x: float, digits: int = 2) -> str:
    """A share as signed percentage points: 0.012 → ``+1.20``.

    Only zero itself carries no sign: an interval that ends at −0.00 still excludes zero.
    """
    sign = "+" if x > 0 else "−" if x < 0 else ""
    return f"{sign}{abs(100 * x):.{digits}f}"


def points_interval(effect: Effect | Contrast) -> str:
    """``[+0.80, +1.60]``."""
    return f"[{points(effect.ci_low)}, {points(effect.ci_high)}]"


def magnitude(x: float, digits: int = 2) -> str:
    """A share as unsigned percentage points: 0.012 → ``1.20``."""
    size = abs(100 * x)
    text = f"{size:.{digits}f}"
    return f"under {10**-digits:.{digits}f}" if size and not float(text) else text


def plain_points(x: float) -> str:
    """A chosen number of percentage points, without idle zeros: 0.0025 → ``0.25``."""
    return f"{100 * x:.6g}"


def percent(x: float | None, digits: int = 0) -> str:
    """A share of things counted, not an accuracy: 0.553 → ``55 %``; None → ``–``."""
    return "–" if x is None else f"{100 * x:.{digits}f} %"


def join(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
