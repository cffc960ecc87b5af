"""C1–C3: the learned rates. A run is the unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from ...result import Audit
from ...statistics import Interval
from ...verdicts import METHOD_SEEDS
from ..study import Claim
from ..study import Verdict as Outcome
from .evidence import BODY, block_rates, over_seeds, overall_share


def rate_claims(audits: Sequence[Audit]) -> tuple[Claim, Claim, Claim]:
    """C1–C3: the learned rates."""
    means = np.array([[block_rates(a, part)[0] for part in (*BODY, "head")] for a in audits])
    shares = np.array([[block_rates(a, part)[1] for part in BODY] for a in audits])
    overall = np.array([overall_share(a) for a in audits])
    most = max(1, len(audits) - 1)
    body_down = bool(((means[:, :4] < 0).sum(axis=0) >= most).all())
    body_up = bool(((means[:, :4] > 0).sum(axis=0) >= most).all())
    head_up = bool((means[:, 4] > 0).sum() >= most)
    few = len(audits) < METHOD_SEEDS
    middle = Interval(*over_seeds(overall))
    depth = np.array([spearmanr(range(4), s).statistic if np.ptp(s) else 0.0 for s in shares])
    slope = Interval(*np.clip(over_seeds(depth), -1.0, 1.0))
    layers = ", ".join(
        f"{n} {m:+.4f}" for n, m in zip((*BODY, "head"), means.mean(axis=0), strict=True)
    )
    return (
        Claim(
            "C1",
            "Meta-SGD's mean learned rate is negative in every block of the body and positive in "
            "the head.",
            "Table 1",
            "conv1 −0.006, conv2 −0.004, conv3 −0.013, conv4 −0.018, head +0.043",
            "read",
            f"mean over runs: {layers}",
            "SUPPORTED if every block's mean has the stated sign in all runs but at most one; "
            f"REFUTED if every block of the body is positive instead; fewer than {METHOD_SEEDS} "
            "runs: NOT SHOWN",
            "NOT SHOWN"
            if few
            else "SUPPORTED"
            if body_down and head_up
            else "REFUTED"
            if body_up
            else "NOT SHOWN",
            note="Rates start at +0.1 here; the paper does not state its start.",
        ),
        Claim(
            "C2",
            "Most of Meta-SGD's learned rates are negative.",
            "§5.2",
            "most (about 64 % by integrating the density plot)",
            "digitised",
            f"{100 * overall.mean():.1f} % of the live rates",
            "SUPPORTED if the interval over runs lies above one half, REFUTED if below",
            _side(middle, 0.5, few),
            float(overall.mean()),
            (middle.low, middle.high),
            note="Dead rates (no gradient reaches them) are left out.",
        ),
        Claim(
            "C3",
            "Negative rates become more frequent with depth in the body.",
            "implied by Table 1",
            "ordered, but for conv1 and conv2",
            "digitised",
            f"rank correlation of depth and share, mean over runs {depth.mean():+.2f}",
            "SUPPORTED if the interval over runs lies above 0, REFUTED if below",
            _side(slope, 0.0, few),
            float(depth.mean()),
            (slope.low, slope.high),
        ),
    )


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
