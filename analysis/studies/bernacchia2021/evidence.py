"""How a measurement becomes a verdict: z-scores, intervals, orders, and one rule for signs.

Standard errors come from independent runs. Rates of one simulation share their inputs, so two
rates are compared run by run. The best rate is chosen on half of the runs and judged on the
other half: choosing and judging on the same runs would flatter it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..study import Claim, Verdict
from .moments import Array
from .setting import Setting

FOUR_ERRORS = 4.0
"""Agreement with a simulation means within this many standard errors."""

CLEAR = 3.0
"""A sign is claimed where its paired z is at least this."""


@dataclass(frozen=True)
class Finding:
    """Claims that were measured together, the tables a reader wants, the curves figures want."""

    claims: tuple[Claim, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def verdict(*, supported: bool, refuted: bool) -> Verdict:
    """``NOT SHOWN`` unless a rule says one or the other."""
    if supported and refuted:
        raise AssertionError("a rule that supports and refutes at once is no rule")
    return "SUPPORTED" if supported else "REFUTED" if refuted else "NOT SHOWN"


class SignTest(NamedTuple):
    """Which sign of the training rate is better, judged on runs that did not choose it.

    Args:
        best: The best rate of all, over all runs.
        negative: The best negative rate, chosen on half of the runs.
        gain: Loss at 0 minus loss at ``negative`` on the other half; positive is better.
        z_zero: Paired z of ``negative`` against rate 0; below 0 where the negative rate wins.
        z_positive: Paired z of ``negative`` against the best positive rate.
    """

    best: float
    negative: float
    gain: float
    z_zero: float
    z_positive: float

    @property
    def negative_wins(self) -> bool:
        """The best negative rate beats zero and every positive rate clearly."""
        return self.z_zero <= -CLEAR and self.z_positive <= -CLEAR

    @property
    def negative_loses(self) -> bool:
        """Zero or a positive rate beats the best negative rate clearly."""
        return self.z_zero >= CLEAR or self.z_positive >= CLEAR


def sign_test(rates: Array, losses: Array) -> SignTest:
    """Compare negative, zero and positive ``rates (A,)`` by paired ``losses (R, A)``.

    ``rates`` must hold 0, a negative and a positive rate; at least 4 runs are needed.
    """
    choose, judge = losses[::2].mean(axis=0), losses[1::2]

    def best(mask: NDArray[np.bool_]) -> int:
        return int(np.flatnonzero(mask)[np.argmin(choose[mask])])

    zero = int(np.flatnonzero(rates == 0.0)[0])
    negative, positive = best(rates < 0.0), best(rates > 0.0)
    return SignTest(
        best=float(rates[np.argmin(losses.mean(axis=0))]),
        negative=float(rates[negative]),
        gain=float(np.mean(judge[:, zero] - judge[:, negative])),
        z_zero=z_score(judge[:, negative] - judge[:, zero]),
        z_positive=z_score(judge[:, negative] - judge[:, positive]),
    )


def z_score(differences: Array) -> float:
    """Mean of ``differences (R,)`` in units of its standard error; 0 where all are equal to 0."""
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    mean = float(differences.mean())
    if error == 0.0:
        return 0.0 if mean == 0.0 else math.copysign(math.inf, mean)
    return mean / error


def apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Difference of two (mean, standard error) pairs in units of their joint standard error."""
    return (one[0] - other[0]) / math.hypot(one[1], other[1])


def share_interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson 95 % interval of a share."""
    z = 1.959964
    p, scale = hits / of, 1 + z**2 / of
    centre = (p + z**2 / (2 * of)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    return max(0.0, centre - half), min(1.0, centre + half)


class Order(NamedTuple):
    """How fast an error falls as a size grows, ``error ~ size^(−value)``; 95 % interval."""

    value: float
    low: float
    high: float


def order_of(coarse: tuple[float, float], fine: tuple[float, float], *, growth: float) -> Order:
    """The order between two (error, standard error) pairs, ``fine`` at ``growth`` times the size.

    Unknown (an interval without ends) where the two errors' signs differ.
    """
    ratio = coarse[0] / fine[0]
    if ratio <= 0.0:
        return Order(math.nan, -math.inf, math.inf)
    half = 1.96 * math.hypot(coarse[1] / coarse[0], fine[1] / fine[0]) / math.log(growth)
    value = math.log(ratio) / math.log(growth)
    return Order(value, value - half, value + half)


def second_order(orders: list[Order], *, low: float = 1.7, high: float = 2.3) -> Verdict:
    """SUPPORTED if every interval lies in [low, high], REFUTED if one lies wholly outside it."""
    return verdict(
        supported=all(each.low >= low and each.high <= high for each in orders),
        refuted=any(each.high < low or each.low > high for each in orders),
    )


def random_over(rng: np.random.Generator, *, largest: int = 80) -> Setting:
    """A random over-parameterised setting with ``N/p`` between .04 and .77."""
    while True:
        p = int(rng.integers(23, largest))
        n_val = int(rng.integers(1, 8))
        tasks = int(rng.integers(1, max(2, p // n_val)))
        if 0.04 <= n_val * tasks / p <= 0.77:
            break
    return Setting(
        n_train=int(rng.integers(3, 60)),
        n_val=n_val,
        n_test=int(rng.integers(3, 60)),
        tasks=tasks,
        dim=p,
        noise=float(rng.uniform(0.3, 1.5)),
        spread=float(rng.uniform(0.3, 1.5)),
    )


def random_under(
    rng: np.random.Generator, *, largest: int = 100, contrast: float = 32.0
) -> Setting:
    """A random under-parameterised setting: ``N/p`` from 2, ``ν/σ`` in [1/contrast, contrast].

    Enough tasks for the loss to have a mean and a variance at rates of either sign.
    """
    p, n_val = int(rng.integers(2, largest)), int(rng.integers(1, 60))
    ratio = math.exp(rng.uniform(math.log(2.0), math.log(50.0)))
    tasks = max(math.ceil(ratio * p / n_val), math.ceil((p + 4) / min(n_val, p)))
    return Setting(
        n_train=int(rng.integers(2, 200)),
        n_val=n_val,
        n_test=int(rng.integers(3, 60)),
        tasks=tasks,
        dim=p,
        noise=1.0,
        spread=math.exp(rng.uniform(-math.log(contrast), math.log(contrast))),
    )
