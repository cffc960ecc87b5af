"""C1–C3: the learned rates. A run is the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ...result import Audit
from ...verdicts import METHOD_SEEDS
from ..study import Claim
from ..study import Verdict as Outcome
from ..writing import signed
from .evidence import HEAD, block_rates, over_seeds, overall_share, parts_with_rates
from .words import not_measured

PARTS_FOR_DEPTH = 3
"""C3: parts of the body below which rates have no trend with depth."""


def rate_claims(audits: Sequence[Audit], start: str) -> tuple[Claim, Claim, Claim]:
    """C1–C3: the learned rates.

    Args:
        audits: Runs of Meta-SGD.
        start: Where the rates start, in a sentence.
    """
    parts = parts_with_rates(audits)
    overall = np.array([overall_share(a) for a in audits])
    few = len(audits) < METHOD_SEEDS
    middle = over_seeds(overall)
    return (
        _sign_claim(audits, parts, start),
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
            None if middle is None else (max(100 * middle[0], 0.0), min(100 * middle[1], 100.0)),
            note="Dead rates (no gradient reaches them) are left out. A share lies within 0 and "
            "100 %, and its interval is cut there.",
            unit="%",
            decimals=2,
        ),
        _depth_claim(audits, tuple(p for p in parts if p != HEAD)),
    )


def _sign_claim(audits: Sequence[Audit], parts: tuple[str, ...], start: str) -> Claim:
    """C1: the sign of the mean, part by part."""
    asked = Claim(
        "C1",
        "Meta-SGD's mean learned rate is negative in every block of the body and positive in "
        "the head.",
        "Table 1",
        "conv1 −0.006, conv2 −0.004, conv3 −0.013, conv4 −0.018, head +0.043",
        "read",
        "",
        "a part stands where its 95 % t interval over runs lies on one side of 0, with that "
        "sign in all runs but at most one. SUPPORTED if all stand as stated; REFUTED if one "
        f"stands on the other side, there with a {100 * refuting_level(len(parts)):.3g} % interval "
        f"as {COUNTED.get(len(parts), len(parts))} parts are asked; fewer than {METHOD_SEEDS} runs: "
        "NOT SHOWN",
        "NOT SHOWN",
    )
    if HEAD not in parts or len(parts) < 2:
        missing = "the head has" if HEAD not in parts else "no block of the body has"
        return not_measured(asked, f"{missing} learned rates that a gradient reaches")
    means = np.array([[block_rates(a, part)[0] for part in parts] for a in audits])
    sides = [
        _part_side(m, 1 if p == HEAD else -1, len(parts))
        for p, m in zip(parts, means.T, strict=True)
    ]
    contrary = [part for part, side in zip(parts, sides, strict=True) if side == "contrary"]
    open_ = [part for part, side in zip(parts, sides, strict=True) if side == "unresolved"]
    outcome: Outcome = "REFUTED" if contrary else "NOT SHOWN" if open_ else "SUPPORTED"
    return replace(
        asked,
        measured="; ".join(_told(part, m) for part, m in zip(parts, means.T, strict=True)),
        verdict="NOT SHOWN" if len(audits) < METHOD_SEEDS else outcome,
        note=f"{start} "
        "That one contrary part refutes was settled after a first result; asking it of every "
        "block of the body, as before, gives NOT SHOWN where one is unresolved. "
        f"Against the claim: {', '.join(contrary) or 'none'}; "
        f"unresolved: {', '.join(open_) or 'none'}.",
    )


def _depth_claim(audits: Sequence[Audit], body: tuple[str, ...]) -> Claim:
    """C3: the share of negative rates along the body."""
    asked = Claim(
        "C3",
        "Negative rates become more frequent with depth in the body.",
        "implied by Table 1",
        "ordered, but for conv1 and conv2",
        "digitised",
        "",
        "SUPPORTED if the interval over runs lies above 0, REFUTED if below",
        "NOT SHOWN",
        note="A rank correlation lies within ±1, and its interval is cut there.",
        decimals=2,
    )
    if len(body) < PARTS_FOR_DEPTH:
        return not_measured(
            asked, f"a trend needs {PARTS_FOR_DEPTH} parts of the body with rates, not {len(body)}"
        )
    shares = np.array([[block_rates(a, part)[1] for part in body] for a in audits])
    depth = np.array(
        [spearmanr(range(len(body)), s).statistic if np.ptp(s) else 0.0 for s in shares]
    )
    slope = over_seeds(depth)
    if slope is not None:
        slope = (max(slope[0], -1.0), min(slope[1], 1.0))
    return replace(
        asked,
        measured=f"rank correlation of depth and share, mean over runs {signed(depth.mean())}",
        verdict=_side(slope, 0.0, len(audits) < METHOD_SEEDS),
        estimate=float(depth.mean()),
        interval=slope,
    )


def refuting_level(parts: int) -> float:
    """C1: one part is enough to refute, so its interval is corrected for those asked."""
    return 1 - 0.05 / max(parts, 1)


def _part_side(
    means: NDArray[np.float64], stated: int, parts: int
) -> Literal["stated", "contrary", "unresolved"]:
    """Where the mean rate of a part stands, from one number a run."""
    most = max(1, len(means) - 1)
    one, strict = over_seeds(stated * means), over_seeds(-stated * means, refuting_level(parts))
    if one is not None and one[0] > 0 and (stated * means > 0).sum() >= most:
        return "stated"
    if strict is not None and strict[0] > 0 and (stated * means < 0).sum() >= most:
        return "contrary"
    return "unresolved"


def _told(part: str, means: NDArray[np.float64]) -> str:
    ends = over_seeds(means)
    between = "" if ends is None else f" [{signed(ends[0], 4)}, {signed(ends[1], 4)}]"
    return f"{part} {signed(means.mean(), 4)}{between}"


def _side(interval: tuple[float, float] | None, middle: float, few: bool) -> Outcome:
    if few or interval is None:
        return "NOT SHOWN"
    low, high = interval
    return "SUPPORTED" if low > middle else "REFUTED" if high < middle else "NOT SHOWN"


COUNTED = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
