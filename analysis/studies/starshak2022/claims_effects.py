"""C4–C12: the phases, and causes by intervention, over runs, classes and episodes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...result import Audit
from ...statistics import holm
from ...verdicts import METHOD_SEEDS, SESOI, Expectation, Limb, conjunction, verdict
from ..study import Claim
from ..study import Verdict as Outcome
from ..writing import signed
from .evidence import Changes, Part, estimate, in_points, minus, over_seeds
from .words import not_measured

REUSE_MARGIN = 0.01
"""C4: features are reused when head-free and adapted accuracy agree within one point."""

FAMILY_LEVEL = 0.05
"""C5–C9 are one family: the error rate that Holm's correction holds over it."""

SINGLE = " One run: the interval speaks of new classes and episodes, not of new runs."


def reuse_claim(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Claim:
    """C4: is the head-free meta-init as good as adapting and classifying?"""
    asked = Claim(
        "C4",
        "The probe at meta-init, without head or adaptation, matches adapting and classifying "
        "(features are reused).",
        "§5.1, §5.3",
        "47.15 against about 46 (MAML), 47.57 against about 47 (Meta-SGD)",
        "read",
        "",
        "SUPPORTED if the 90 % interval over runs lies within ±1 point, REFUTED if the 95 % "
        "interval lies outside",
        "NOT SHOWN",
        note="Both accuracies are of the same queries of the same episodes.",
        unit="points",
        decimals=2,
    )
    every = (*maml, *meta_sgd)
    strange = [a.checkpoint.name for a in every if a.rule.head != "stored"]
    if strange:
        return not_measured(
            asked,
            f"{', '.join(strange)} adapted from a head that was not trained with the body, as the "
            f"stored one does not fit {maml[0].episodes.way} classes",
        )
    gaps = np.array(
        [
            a.cells.init_on.value - a.head_accuracy.adapted.value
            for a in every
            if a.head_accuracy is not None
        ]
    )
    wide, narrow = over_seeds(gaps), over_seeds(gaps, 0.90)
    outcome: Outcome = "NOT SHOWN"
    if len(maml) >= METHOD_SEEDS and wide is not None and narrow is not None:
        if narrow[0] > -REUSE_MARGIN and narrow[1] < REUSE_MARGIN:
            outcome = "SUPPORTED"
        elif wide[0] > REUSE_MARGIN or wide[1] < -REUSE_MARGIN:
            outcome = "REFUTED"
    return replace(
        asked,
        measured=f"meta-init minus adapted head {signed(100 * gaps.mean())} points",
        verdict=outcome,
        estimate=100 * float(gaps.mean()),
        interval=in_points(wide),
    )


def effect_claims(maml: Changes, meta_sgd: Changes, *, paired: bool = True) -> tuple[Claim, ...]:
    """C5–C9, one family: the phases.

    Args:
        maml: Changes of MAML's runs.
        meta_sgd: Changes of Meta-SGD's runs.
        paired: Whether partners were trained from the same seed.
    """
    on, off = minus(meta_sgd.on, maml.on), minus(meta_sgd.off, maml.off)
    asked: tuple[Asked, ...] = (
        Asked(
            "C5",
            "MAML: adapting to a task raises the features' accuracy on it.",
            "abstract (contradicted by §5.3 and Fig. 7)",
            "−0.05 points",
            (maml.on,),
            "RAISED",
            "The abstract says raised, the paper's own figure lowered.",
        ),
        Asked(
            "C6",
            "Meta-SGD: adapting to a task lowers the features' accuracy on it.",
            "§5.3, Fig. 7",
            "−0.05 points",
            (meta_sgd.on,),
            "LOWERED",
        ),
        Asked(
            "C7",
            "MAML: adapting to a task lowers accuracy on another.",
            "§5.3, Fig. 7",
            "−0.22 points",
            (maml.off,),
            "LOWERED",
            "Primary.",
        ),
        Asked(
            "C8",
            "Meta-SGD: adapting to a task raises accuracy on another.",
            "§5.3, Fig. 7",
            "+0.02 points",
            (meta_sgd.off,),
            "RAISED",
            "Primary.",
        ),
        Asked(
            "C9",
            "The change from on-task to off-task is more positive for Meta-SGD than for MAML.",
            "§5.3, Fig. 7",
            "+0.24 points (p = 0.00044)",
            (off, (-on[0], on[1])),
            "RAISED",
            f"Primary. Runs are paired {'by seed' if paired else 'in the order given'}; both learners "
            "saw the same episodes.",
        ),
    )
    corrected = holm([estimate(one.parts).p for one in asked])
    return tuple(effect_claim(one, float(p)) for one, p in zip(asked, corrected, strict=True))


def cause_claim(meta_sgd: Changes, clamped: Changes) -> Claim:
    """C11: does the off-task effect need the negative rates?"""
    return effect_claim(
        Asked(
            "C11",
            "Negative rates cause Meta-SGD's off-task gain: without them the off-task effect is "
            "lower.",
            "title and §6; the paper reports no intervention",
            None,
            (minus(meta_sgd.off, clamped.off),),
            "RAISED",
            "Measured: off-task effect with the learned rates minus that with negative rates set "
            "to zero at test time, on the same episodes. RAISED means that they help.",
        )
    )


def head_claim(maml: Changes, body_only: Changes) -> Claim:
    """C12: is the on-task change of the probe an artefact of the head's removal?"""
    return effect_claim(
        Asked(
            "C12",
            "MAML's on-task drop is due to removing the head: with the head frozen, adaptation "
            "serves the features more.",
            "§5.3, a conjecture",
            None,
            (minus(body_only.on, maml.on),),
            "RAISED",
            "Measured: on-task effect with the head frozen minus that with everything moving. "
            "Adapting the head alone cannot move the features. There is a drop to explain only if "
            "C5 is refuted.",
        )
    )


@dataclass(frozen=True)
class Asked:
    """A claim about an effect: what is said, the parts that add up to it, what it expects."""

    id: str
    statement: str
    source: str
    published: str | None
    parts: tuple[Part, ...]
    expected: Expectation
    note: str = ""


def effect_claim(asked: Asked, p_holm: float | None = None) -> Claim:
    """What the rule says of a claim.

    Args:
        asked: The claim.
        p_holm: Its p-value corrected for its family; None for a claim outside of it.
    """
    found = estimate(asked.parts)
    ci, ci90 = found.interval(0.95), found.interval(0.90)
    word = verdict(found.value, ci, ci90, SESOI)
    by_run = np.sum([values.mean(axis=(1, 2)) for values, _ in asked.parts], axis=0)
    outcome = conjunction(
        [Limb(word, asked.expected, tuple(map(float, by_run)))], minimum_seeds=METHOD_SEEDS
    )
    if p_holm is not None and p_holm >= FAMILY_LEVEL:
        outcome = "NOT SHOWN"
    corrected = "" if p_holm is None else f", {_p_holm(p_holm)}"
    family = f"; either only with p_Holm over C5–C9 below {FAMILY_LEVEL:g}"
    return Claim(
        asked.id,
        asked.statement,
        asked.source,
        asked.published,
        "digitised" if asked.published else "not obtainable",
        f"{signed(100 * found.value)} points: {word}{corrected}; runs "
        + ", ".join(signed(100 * v) for v in by_run),
        f"SUPPORTED if {asked.expected} over runs, classes and episodes with its sign in all runs "
        f"but at most one, REFUTED if the opposite{'' if p_holm is None else family}; smallest "
        f"effect of interest {100 * SESOI:g} points; fewer than {METHOD_SEEDS} runs: NOT SHOWN",
        outcome,
        100 * found.value,
        in_points(ci),
        note=asked.note + (SINGLE if len(by_run) == 1 else ""),
        unit="points",
        decimals=2,
    )


def _p_holm(p: float) -> str:
    return "p_Holm < 0.0001" if p < 0.0001 else f"p_Holm = {p:.4f}"


def meta_init_claim(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Claim:
    """C10: one number a run, so the unit is the run."""
    gaps = np.array(
        [b.cells.init_on.value - a.cells.init_on.value for a, b in zip(maml, meta_sgd, strict=True)]
    )
    asked = Claim(
        "C10",
        "Meta-SGD's features at meta-init are better than MAML's.",
        "Fig. 7",
        "47.57 against 47.15 %, +0.42 points",
        "digitised",
        f"{signed(100 * gaps.mean())} points",
        "as C11, but over runs alone",
        "NOT SHOWN",
        100 * float(gaps.mean()),
        note="" if len(gaps) > 1 else "A single run of each learner has no interval over runs.",
        unit="points",
        decimals=2,
    )
    ci, ci90 = over_seeds(gaps), over_seeds(gaps, 0.90)
    if ci is None or ci90 is None:
        return asked
    word = verdict(float(gaps.mean()), ci, ci90, SESOI)
    limb = Limb(word, "RAISED", tuple(map(float, gaps)))
    runs = ", ".join(signed(100 * g) for g in gaps)
    return replace(
        asked,
        measured=f"{asked.measured}: {word}; runs {runs}",
        verdict=conjunction([limb], minimum_seeds=METHOD_SEEDS),
        interval=in_points(ci),
    )
