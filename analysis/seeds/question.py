"""What a statement over training runs is, and the rule that decides it.

A quantity is a sum of named measurements of one encoder (see `evidence`) with weights; accuracies
are shares. Names: ``init``, ``learned`` (adapted by the checkpoint's own inner loop) and names of
layers, steps, levels, changes and controls, each with its task: ``step 20, on``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..verdicts import METHOD_SEEDS, SESOI, Expectation

Learner = Literal["MAML", "Meta-SGD", "Meta-SGD − MAML", "Meta-SGD, one start"]
Unit = Literal["points", "share", "number"]
Expected = Expectation | Literal["RAISED OR LOWERED"]

FAMILY_LEVEL = 0.05
"""All questions of a section are one family: its error rate, held by Holm's correction."""

AGREEMENT = "agreement of signs beyond chance"
"""A measurement of runs among others of their group."""

RULES = (
    "An estimate is a mean over training runs that saw the same episodes; the interval of an "
    "accuracy speaks of new runs, classes and episodes at once, that of another number of new runs "
    "and episodes, that of a correlation or of agreeing signs of new runs. Its word is RAISED or LOWERED where "
    "the 95 % interval leaves out zero and the estimate reaches the smallest effect that counts; "
    "TRACE+ or TRACE− where it does not reach it; NO MATERIAL CHANGE where the 90 % interval lies "
    "within that effect around zero; else UNRESOLVED. SUPPORTED: the word that the statement "
    "expects, with its sign in all runs but at most one. REFUTED: RAISED or LOWERED where the "
    "statement expects otherwise, or NO MATERIAL CHANGE where it says that something changes. NOT "
    "SHOWN: neither, a trace included. RAISED and LOWERED decide only with p below "
    f"{FAMILY_LEVEL:g} after Holm's correction over the questions of the section. A cause must also "
    "do more than a random change of the same length, in the same direction. Fewer than "
    f"{METHOD_SEEDS} runs show nothing of a method."
)


@dataclass(frozen=True)
class Question:
    """One statement about a learner, and what decides it.

    Args:
        id: Short name; with the learner it is unique.
        section: Section of an audit that it belongs to, or ``controls``.
        learner: Whose runs; or the difference of runs of one seed.
        statement: What is claimed, so that it can fail.
        measured: The quantity in words.
        of: Weights of the measurements it is the sum of.
        expected: The word that supports the statement.
        yes: What a newcomer should take home if it is supported.
        no: The same if it is refuted.
        unit: Accuracies and shares are told in percentage points.
        sesoi: Smallest effect that counts, a share or number.
        beyond: What a random change as large leaves of the quantity; of causes only.
    """

    id: str
    section: str
    learner: Learner
    statement: str
    measured: str
    of: Mapping[str, float]
    expected: Expected
    yes: str
    no: str
    unit: Unit = "points"
    sesoi: float = SESOI
    beyond: Mapping[str, float] | None = None


def difference(more: str, less: str) -> dict[str, float]:
    """One measurement minus another."""
    return {more: 1.0, less: -1.0}


def of_both(question: Question) -> tuple[Question, ...]:
    """The question put to either learner."""
    return question, replace(question, learner="Meta-SGD")
