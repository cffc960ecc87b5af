"""C4–C12: the phases, and causes by intervention, over runs and episodes together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...result import Audit
from ...statistics import Interval, seeds_by_episodes
from ...verdicts import METHOD_SEEDS, SESOI, Expectation, Limb, conjunction, verdict
from ..study import Claim
from ..study import Verdict as Outcome
from .evidence import differences, in_points, over_seeds

REUSE_MARGIN = 0.01
"""C4: features are reused when head-free and adapted accuracy agree within one point."""


def reuse_claim(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Claim:
    """C4: is the head-free meta-init as good as adapting and classifying?"""
    gaps = np.array(
        [
            a.cells.init_on.value - a.head_accuracy.adapted.value
            for a in (*maml, *meta_sgd)
            if a.head_accuracy is not None
        ]
    )
    low, high = over_seeds(gaps)
    low90, high90 = over_seeds(gaps, 0.90)
    outcome: Outcome = "NOT SHOWN"
    if len(maml) >= METHOD_SEEDS:
        if low90 > -REUSE_MARGIN and high90 < REUSE_MARGIN:
            outcome = "SUPPORTED"
        elif low > REUSE_MARGIN or high < -REUSE_MARGIN:
            outcome = "REFUTED"
    return Claim(
        "C4",
        "The probe at meta-init, without head or adaptation, matches adapting and classifying "
        "(features are reused).",
        "§5.1, §5.3",
        "47.15 against about 46 (MAML), 47.57 against about 47 (Meta-SGD)",
        "read",
        f"meta-init minus adapted head {100 * gaps.mean():+.2f} points",
        "SUPPORTED if the 90 % interval over runs lies within ±1 point, REFUTED if the 95 % "
        "interval lies outside",
        outcome,
        *in_points(float(gaps.mean()), low, high),
        note="Both accuracies are of the same queries of the same episodes.",
        unit="points",
    )


def effect_claims(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> tuple[Claim, ...]:
    """C5–C10: the phases."""
    on_maml, off_maml = differences(maml, "on"), differences(maml, "off")
    on_sgd, off_sgd = differences(meta_sgd, "on"), differences(meta_sgd, "off")
    return (
        effect_claim(
            "C5",
            "MAML: adapting to a task raises the features' accuracy on it.",
            "abstract (contradicted by §5.3 and Fig. 7)",
            "−0.05 points",
            on_maml,
            "RAISED",
            "The abstract says raised, the paper's own figure lowered.",
        ),
        effect_claim(
            "C6",
            "Meta-SGD: adapting to a task lowers the features' accuracy on it.",
            "§5.3, Fig. 7",
            "−0.05 points",
            on_sgd,
            "LOWERED",
        ),
        effect_claim(
            "C7",
            "MAML: adapting to a task lowers accuracy on another.",
            "§5.3, Fig. 7",
            "−0.22 points",
            off_maml,
            "LOWERED",
        ),
        effect_claim(
            "C8",
            "Meta-SGD: adapting to a task raises accuracy on another.",
            "§5.3, Fig. 7",
            "+0.02 points",
            off_sgd,
            "RAISED",
        ),
        effect_claim(
            "C9",
            "The change from on-task to off-task is more positive for Meta-SGD than for MAML.",
            "§5.3, Fig. 7",
            "+0.24 points (p = 0.00044)",
            (off_sgd - on_sgd) - (off_maml - on_maml),
            "RAISED",
            "Runs are paired by seed; both learners saw the same episodes.",
        ),
        _meta_init_claim(maml, meta_sgd),
    )


def cause_claim(meta_sgd: Sequence[Audit], clamped: Sequence[Audit]) -> Claim:
    """C11: does the off-task effect need the negative rates?"""
    return effect_claim(
        "C11",
        "Negative rates cause Meta-SGD's off-task gain: without them the off-task effect is lower.",
        "title and §6; the paper reports no intervention",
        None,
        differences(meta_sgd, "off") - differences(clamped, "off"),
        "RAISED",
        "Measured: off-task effect with the learned rates minus that with negative rates set to "
        "zero at test time, on the same episodes. RAISED means that they help.",
    )


def head_claim(maml: Sequence[Audit], body_only: Sequence[Audit]) -> Claim:
    """C12: is the on-task change of the probe an artefact of the head's removal?"""
    whole, frozen = differences(maml, "on"), differences(body_only, "on")
    return effect_claim(
        "C12",
        "MAML's on-task drop is due to removing the head: with the head frozen, adaptation serves "
        "the features more.",
        "§5.3, a conjecture",
        None,
        frozen - whole,
        "RAISED",
        "Measured: on-task effect with the head frozen minus that with everything moving. Adapting "
        "the head alone cannot move the features. There is a drop to explain only if C5 is "
        "refuted.",
    )


def effect_claim(
    id: str,
    statement: str,
    source: str,
    published: str | None,
    differences: NDArray[np.float64],
    expected: Expectation,
    note: str = "",
) -> Claim:
    """A claim about paired differences ``(S, E)``."""
    estimate = seeds_by_episodes(differences)
    ci, ci90 = estimate.interval(0.95), estimate.interval(0.90)
    word = verdict(estimate.value, ci, ci90, SESOI)
    limb = Limb(word, expected, tuple(map(float, differences.mean(axis=1))))
    return Claim(
        id,
        statement,
        source,
        published,
        "digitised" if published else "not obtainable",
        f"{100 * estimate.value:+.2f} points: {word}; runs "
        + ", ".join(f"{100 * v:+.2f}" for v in limb.by_seed),
        f"SUPPORTED if {expected} over runs and episodes with its sign in all runs but at most "
        f"one, REFUTED if the opposite; smallest effect of interest {100 * SESOI:g} points; "
        f"fewer than {METHOD_SEEDS} runs: NOT SHOWN",
        conjunction([limb], minimum_seeds=METHOD_SEEDS),
        *in_points(estimate.value, ci.low, ci.high),
        note=note,
        unit="points",
    )


def _meta_init_claim(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Claim:
    """C10: one number a run, so the unit is the run."""
    gaps = np.array(
        [b.cells.init_on.value - a.cells.init_on.value for a, b in zip(maml, meta_sgd, strict=True)]
    )
    ci, ci90 = Interval(*over_seeds(gaps)), Interval(*over_seeds(gaps, 0.90))
    word = verdict(float(gaps.mean()), ci, ci90, SESOI)
    limb = Limb(word, "RAISED", tuple(map(float, gaps)))
    return Claim(
        "C10",
        "Meta-SGD's features at meta-init are better than MAML's.",
        "Fig. 7",
        "47.57 against 47.15 %, +0.42 points",
        "digitised",
        f"{100 * gaps.mean():+.2f} points: {word}; runs "
        + ", ".join(f"{100 * g:+.2f}" for g in gaps),
        "as C5, over runs",
        conjunction([limb], minimum_seeds=METHOD_SEEDS),
        *in_points(float(gaps.mean()), ci.low, ci.high),
        unit="points",
    )
