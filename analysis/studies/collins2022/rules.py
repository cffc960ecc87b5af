"""How a number becomes a verdict: three rules, so that no claim decides for itself.

An exact statement holds or it does not. A measured one is held against a region: supported when
its whole interval lies inside, refuted when all of it lies outside, not shown in between. A claim
with several parts is as good as its weakest part.
"""

from __future__ import annotations

import math

from ..study import Verdict


def exact(holds: bool) -> Verdict:
    """The verdict on a statement without sampling error."""
    return "SUPPORTED" if holds else "REFUTED"


def inside(
    interval: tuple[float, float], *, low: float = -math.inf, high: float = math.inf
) -> Verdict:
    """The verdict on "the value lies between ``low`` and ``high``", given its interval."""
    if low <= interval[0] and interval[1] <= high:
        return "SUPPORTED"
    if interval[1] < low or interval[0] > high:
        return "REFUTED"
    return "NOT SHOWN"


def every(*verdicts: Verdict) -> Verdict:
    """The verdict on a claim all of whose parts must hold."""
    if "REFUTED" in verdicts:
        return "REFUTED"
    return "SUPPORTED" if all(v == "SUPPORTED" for v in verdicts) else "NOT SHOWN"
