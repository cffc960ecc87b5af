"""Verdicts: six words for an effect, three for a claim.

An effect gets exactly one word from its 95 % interval, its 90 % interval and the smallest
effect of interest s (SESOI), declared beforehand:

    RAISED                95 % interval above 0, estimate >= s
    TRACE+                95 % interval above 0, estimate < s
    LOWERED, TRACE−       the same below 0
    NO MATERIAL CHANGE    95 % interval holds 0, 90 % interval inside (−s, s): two one-sided tests
    UNRESOLVED            anything else; say how many episodes would settle it

A claim is a conjunction of limbs. All must pass, each at its own level: an intersection–union
test needs no correction inside (Berger 1982). Holm is for the family of claims.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special
from scipy.optimize import brentq

from .statistics import StatisticsError, power_factor

Verdict = Literal["RAISED", "LOWERED", "TRACE+", "TRACE−", "NO MATERIAL CHANGE", "UNRESOLVED"]
Outcome = Literal["SUPPORTED", "REFUTED", "NOT SHOWN"]
Expectation = Literal["RAISED", "LOWERED", "NO MATERIAL CHANGE"]

SESOI = 0.0025
"""Smallest effect of interest unless another is declared: a quarter of a percentage point."""

METHOD_SEEDS = 5
"""Training runs below which nothing is said about a method, only about its checkpoints."""


def verdict(
    estimate: float, ci95: tuple[float, float], ci90: tuple[float, float], sesoi: float = SESOI
) -> Verdict:
    """The one word for an effect; accuracies and ``sesoi`` are shares.

    Raises:
        StatisticsError: A number that is not finite, an interval whose ends are swapped, or a
            ``sesoi`` that is not positive.
    """
    if not all(map(math.isfinite, (estimate, *ci95, *ci90, sesoi))):
        raise StatisticsError(
            f"estimate {estimate}, intervals {ci95} and {ci90} and sesoi {sesoi} must be finite",
            code="not-finite",
        )
    if ci95[0] > ci95[1] or ci90[0] > ci90[1]:
        raise StatisticsError(
            f"intervals {ci95} and {ci90} must have their lower end first", code="interval-order"
        )
    _check_sesoi(sesoi)
    if ci95[0] > 0:
        return "RAISED" if estimate >= sesoi else "TRACE+"
    if ci95[1] < 0:
        return "LOWERED" if estimate <= -sesoi else "TRACE−"
    if -sesoi < ci90[0] and ci90[1] < sesoi:
        return "NO MATERIAL CHANGE"
    return "UNRESOLVED"


def episodes_needed(
    sd: float, effect: float, *, class_se: float = 0.0, power: float = 0.8, level: float = 0.95
) -> int | None:
    """Episodes that detect ``effect`` with this power, two-sided, at this SD of the differences.

    ``class_se`` is what sampling classes adds to the standard error and no number of episodes
    removes; None where it alone is too large, and only more classes help.

    Raises:
        StatisticsError: ``effect`` is zero or a number is not finite.
    """
    return _episodes_for(sd, abs(effect) / power_factor(power, level), class_se)


OPEN = "UNRESOLVED; "
"""In an effect's sentence: what would settle it follows."""


def episodes_to_resolve(
    sd: float, estimate: float, sesoi: float = SESOI, *, class_se: float = 0.0, power: float = 0.8
) -> int | None:
    """Episodes after which an effect this large is UNRESOLVED no more, with this power.

    Either the 95 % interval leaves zero or the 90 % interval fits inside (−sesoi, sesoi).
    None: more episodes over these classes would not settle it.

    Raises:
        StatisticsError: ``sesoi`` is not positive or a number is not finite.
    """
    _check_sesoi(sesoi)
    if not math.isfinite(estimate):
        raise StatisticsError(f"estimate {estimate} must be finite", code="not-finite")
    # Below this standard error no mean can be UNRESOLVED; far above it nearly every one is.
    always = sesoi / float(special.ndtri(0.975) + special.ndtri(0.95))
    never = 100 * max(sesoi, abs(estimate))
    se = brentq(lambda se: _share_resolved(se, estimate, sesoi) - power, always, never)
    return _episodes_for(sd, float(se), class_se)


def _share_resolved(se: float, estimate: float, sesoi: float) -> float:
    """How often a mean drawn around ``estimate`` with this standard error gets a verdict."""
    inner, outer = max(0.0, sesoi - special.ndtri(0.95) * se), special.ndtri(0.975) * se
    edges = np.array([-outer, -inner, inner, outer])
    below = special.ndtr((edges - estimate) / se)
    return 1.0 if inner >= outer else float(1 - (below[1] - below[0]) - (below[3] - below[2]))


@dataclass(frozen=True)
class Limb:
    """One effect a claim speaks of: its verdict, what the claim expects, and the seeds' estimates.

    ``by_seed`` holds one estimate per training run; empty where there was one checkpoint.
    """

    verdict: Verdict
    expected: Expectation
    by_seed: tuple[float, ...] = ()

    @property
    def passes(self) -> bool:
        """The expected verdict, with the expected sign in at least S − 1 of S seeds."""
        if self.verdict != self.expected:
            return False
        if self.expected == "NO MATERIAL CHANGE" or not self.by_seed:
            return True
        sign = 1 if self.expected == "RAISED" else -1
        return sum(sign * value > 0 for value in self.by_seed) >= max(1, len(self.by_seed) - 1)

    @property
    def contradicts(self) -> bool:
        """A material effect other than the one expected; a trace contradicts nothing."""
        return self.verdict in ("RAISED", "LOWERED") and self.verdict != self.expected


def conjunction(limbs: Sequence[Limb], *, minimum_seeds: int = 0) -> Outcome:
    """SUPPORTED if every limb passes, REFUTED if any contradicts, else NOT SHOWN.

    Args:
        limbs: At least one.
        minimum_seeds: Below this many seeds in any limb the claim is NOT SHOWN, whatever the
            verdicts: pass ``METHOD_SEEDS`` for a claim about a method.

    Raises:
        StatisticsError: No limb.
    """
    if not limbs:
        raise StatisticsError("a claim needs at least one limb", code="no-limbs")
    if any(len(limb.by_seed) < minimum_seeds for limb in limbs):
        return "NOT SHOWN"
    if any(limb.contradicts for limb in limbs):
        return "REFUTED"
    return "SUPPORTED" if all(limb.passes for limb in limbs) else "NOT SHOWN"


def _episodes_for(sd: float, se: float, class_se: float) -> int | None:
    if not all(map(math.isfinite, (sd, se, class_se))) or se <= 0 or sd < 0:
        raise StatisticsError(
            f"sd {sd}, class_se {class_se} and the effect looked for must be finite, and the"
            " effect not zero",
            code="not-finite",
        )
    room = se**2 - class_se**2
    # The tolerance keeps a whole number of episodes whole: 784.9999999 + rounding is 785.
    return max(2, math.ceil(sd**2 / room * (1 - 1e-12))) if room > 0 else None


def _check_sesoi(sesoi: float) -> None:
    if not sesoi > 0:
        raise StatisticsError(
            f"sesoi={sesoi}: the smallest effect of interest must be above 0; declare one, such"
            f" as {SESOI}",
            code="sesoi",
        )
