"""From measured numbers to verdicts: a claim is a few checks, and the checks decide.

A check holds a number (with a 95 % interval where random draws are behind it) against a
band fixed beforehand. Inside: it holds. Disjoint: it fails. Straddling: it is open. A claim is
SUPPORTED if every check holds, REFUTED if any fails, NOT SHOWN otherwise. The text of the
rule and the text of the measurement are written from the same checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from ...statistics import t_interval
from ..study import Claim, Verdict

Status = Literal["read", "digitised", "secondary", "derived", "not obtainable"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Check:
    """A number against its band.

    Args:
        label: What was measured.
        value: The number.
        low: Lower end of the band, ``-inf`` if it has none.
        high: Upper end, ``inf`` if it has none.
        interval: 95 % interval of the number, None if nothing random is behind it.
    """

    label: str
    value: float
    low: float = -np.inf
    high: float = np.inf
    interval: Interval | None = None

    @property
    def verdict(self) -> Verdict:
        """SUPPORTED inside the band, REFUTED outside it, NOT SHOWN across an edge."""
        low, high = self.interval or (self.value, self.value)
        if np.isnan(low) or np.isnan(high):
            return "NOT SHOWN"
        if self.low <= low and high <= self.high:
            return "SUPPORTED"
        if high < self.low or low > self.high:
            return "REFUTED"
        return "NOT SHOWN"

    @property
    def measured(self) -> str:
        """The label and the number, with its interval."""
        shown = f"{self.label} {self.value:.4g}"
        if self.interval is not None:
            shown += f" [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        return shown

    @property
    def rule(self) -> str:
        """The label and the band."""
        if np.isinf(self.low):
            return f"{self.label} ≤ {self.high:.4g}"
        if np.isinf(self.high):
            return f"{self.label} ≥ {self.low:.4g}"
        return f"{self.label} in [{self.low:.4g}, {self.high:.4g}]"


def judge(checks: Sequence[Check]) -> Verdict:
    """The verdict of several checks together."""
    verdicts = {check.verdict for check in checks}
    if "REFUTED" in verdicts:
        return "REFUTED"
    return "NOT SHOWN" if "NOT SHOWN" in verdicts else "SUPPORTED"


def claim(
    id: str,
    statement: str,
    checks: Sequence[Check],
    *,
    source: str = "derived",
    published: str | None = None,
    status: Status = "derived",
    note: str = "",
) -> Claim:
    """A claim whose measured value, rule and verdict all come from ``checks``; the first leads."""
    return Claim(
        id=id,
        statement=statement,
        source=source,
        published=published,
        published_status=status,
        measured="; ".join(check.measured for check in checks),
        rule="; ".join(check.rule for check in checks),
        verdict=judge(checks),
        estimate=float(checks[0].value),
        interval=checks[0].interval,
        note=note,
    )


def around(label: str, values: ArrayLike | float, middle: float, width: float) -> Check:
    """Number or draws within ``middle`` ± ``width``; draws bring a t interval of their mean."""
    return between(label, values, middle - width, middle + width)


def between(
    label: str, values: ArrayLike | float, low: float = -np.inf, high: float = np.inf
) -> Check:
    """A number, or the mean of draws with its t interval, between ``low`` and ``high``."""
    draws = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if draws.size == 1:
        return Check(label, float(draws[0]), low, high)
    return Check(label, float(draws.mean()), low, high, mean_interval(draws))


def mean_interval(draws: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of a mean over independent draws (R,)."""
    found = t_interval(draws, level)
    return found.low, found.high


def share_interval(hits: int, draws: int, level: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval of a share in [0, 1]."""
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, draws - hits + 1))
    high = 1.0 if hits == draws else float(stats.beta.ppf(1 - tail, hits + 1, draws - hits))
    return low, high


@dataclass(frozen=True)
class Section:
    """Claims that share their measurements, and what shows them.

    Args:
        claims: In ledger order.
        tables: By name.
        figures: By name.
        captions: One sentence per figure.
    """

    claims: tuple[Claim, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
