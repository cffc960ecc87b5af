"""What a study is: one paper's claims, re-run, each ending in a verdict.

A claim keeps the published value and how it was obtained beside the value
measured here, the interval, and the rule that turned one into a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

Verdict = Literal["SUPPORTED", "REFUTED", "NOT SHOWN"]


@dataclass(frozen=True)
class Settings:
    """How a study is run.

    Args:
        quick: Fewer repeats and wider intervals, the same rules for verdicts.
        seed: The only source of randomness.
    """

    quick: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Claim:
    """One testable statement and what became of it.

    Args:
        id: Short name within the study, such as ``"C3"``.
        statement: The claim in one sentence.
        source: Where it is made: paper and section, equation, figure or table; or
            ``"derived"`` when it follows from the paper but is not stated in it.
        published: The published value as text, or None when it could not be obtained.
        published_status: How the published value is known: read in the paper, digitised
            from a figure, from a secondary source, derived, or not obtainable.
        measured: The value measured here, as text with its unit.
        estimate: The same value as a number where the claim has one.
        interval: A 95 % interval of the estimate where it has one.
        unit: Unit of estimate and interval, such as ``"points"``; empty for a plain number.
        decimals: Fixed decimals of the printed interval; four digits where None.
        rule: The rule, fixed beforehand, that decides the verdict.
        verdict: What the rule says.
        note: What a reader must know not to misread it.
    """

    id: str
    statement: str
    source: str
    published: str | None
    published_status: Literal["read", "digitised", "secondary", "derived", "not obtainable"]
    measured: str
    rule: str
    verdict: Verdict
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""
    unit: str = ""
    decimals: int | None = None


@dataclass(frozen=True)
class Study:
    """One paper re-run.

    Args:
        name: Author and year, such as ``"bernacchia2021"``.
        title: Title of the paper.
        citation: Authors, year, venue, link.
        question: The paper's question in one sentence a newcomer understands.
        answer: What was found here, in one or two sentences.
        meaning: What it means for someone who audits an encoder.
        claims: The ledger.
        tables: Named tables, in reading order.
        figures: Named figures (made without pyplot, so nothing stays open).
        captions: One sentence for each figure; also its text alternative.
    """

    name: str
    title: str
    citation: str
    question: str
    answer: str
    meaning: str
    claims: tuple[Claim, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
