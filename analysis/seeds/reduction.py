"""From measurements of several runs to an estimate, its word, and a verdict for each statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..statistics import (
    Estimate,
    FloatArray,
    IntArray,
    classes_by_episodes,
    holm,
    seeds_by_classes,
    seeds_by_episodes,
)
from ..verdicts import METHOD_SEEDS, SESOI, Limb, Outcome, Verdict, conjunction, verdict
from .evidence import Evidence
from .question import FAMILY_LEVEL, Learner, Question

Part = tuple[FloatArray, IntArray]
"""Values ``(S, E, W)`` of runs that share classes ``(E, W)``."""

Runs = Mapping[str, Sequence[Evidence]]
"""Evidence by learner; the runs of every learner in the order of their seeds."""


@dataclass(frozen=True)
class Told:
    """An estimate with its intervals and word.

    Args:
        value: Mean over runs; a share or a number.
        low, high: 95 % interval.
        word: One of six.
        p: Two-sided, of "it is zero".
        by_run: One estimate a run.
    """

    value: float
    low: float
    high: float
    word: Verdict
    p: float
    by_run: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What became of a statement; ``told`` is None where it cannot be asked of these runs."""

    question: Question
    told: Told | None
    beyond: Told | None = None
    p_holm: float | None = None
    outcome: Outcome = "NOT SHOWN"

    @property
    def sentence(self) -> str:
        """What a newcomer should take home."""
        if self.outcome != "NOT SHOWN":
            return self.question.yes if self.outcome == "SUPPORTED" else self.question.no
        if self.told is None:
            return "These encoders cannot be asked."
        if len(self.told.by_run) < METHOD_SEEDS:
            return "Too few runs to speak of the method."
        if self.told.word == "UNRESOLVED":
            return "These runs, classes and episodes do not settle it."
        if self.told.word == "NO MATERIAL CHANGE":
            return "No difference that counts."
        if self.told.word in ("TRACE+", "TRACE−"):
            return "There is a difference, too small to count."
        if self.p_holm is not None and self.p_holm >= FAMILY_LEVEL:
            return "Seen, but not beyond what chance gives where so much is asked."
        if self.question.beyond is not None and not _same_way(self.told, self.beyond):
            return "It changes, but no more than by a random change as large."
        return "Seen on average, but runs differ in sign."


def answers(questions: Sequence[Question], runs: Runs) -> list[Answer]:
    """Every statement's verdict; those of a section are one family."""
    found = [
        Answer(
            q,
            estimated(q.of, q.learner, runs, q.sesoi),
            None if q.beyond is None else estimated(q.beyond, q.learner, runs, q.sesoi),
        )
        for q in questions
    ]
    for section in dict.fromkeys(q.section for q in questions):
        family = [
            i for i, a in enumerate(found) if a.question.section == section and a.told is not None
        ]
        if family:
            corrected = holm([a.told.p for i in family if (a := found[i]).told is not None])
            for i, p in zip(family, corrected, strict=True):
                found[i] = replace(found[i], p_holm=float(p))
    return [replace(a, outcome=outcome(a)) for a in found]


def outcome(answer: Answer) -> Outcome:
    """What the rule of `question.RULES` says of an answer."""
    told, question = answer.told, answer.question
    if told is None or answer.p_holm is None:
        return "NOT SHOWN"
    moved = told.word in ("RAISED", "LOWERED")
    if moved and answer.p_holm >= FAMILY_LEVEL:
        return "NOT SHOWN"
    if question.expected == "RAISED OR LOWERED":
        if len(told.by_run) >= METHOD_SEEDS and told.word == "NO MATERIAL CHANGE":
            return "REFUTED"
        if not moved:
            return "NOT SHOWN"
        if question.beyond is not None and not _same_way(told, answer.beyond):
            return "NOT SHOWN"
        limb = Limb(told.word, told.word, told.by_run)  # type: ignore[arg-type]
        return conjunction([limb], minimum_seeds=METHOD_SEEDS)
    limb = Limb(told.word, question.expected, told.by_run)
    return conjunction([limb], minimum_seeds=METHOD_SEEDS)


def estimated(
    of: Mapping[str, float], learner: Learner, runs: Runs, sesoi: float = SESOI
) -> Told | None:
    """A quantity over a learner's runs; None if some run lacks a measurement, or is alone."""
    sides = [side.strip() for side in learner.split("−")]
    chosen = [runs.get(side, ()) for side in sides]
    if any(len(c) < 2 or not all(has(of, e) for e in c) for c in chosen):
        return None
    name = next(iter(of))
    if name in chosen[0][0].numbers:
        values = _paired([np.array([_sum(of, e.numbers) for e in c]) for c in chosen])
        return told(over_runs(values), sesoi, tuple(map(float, values)))
    if name in chosen[0][0].episodes:
        table = _paired([np.stack([_episodes(of, e) for e in c]) for c in chosen])
        table = table[:, np.isfinite(table).all(axis=0)]
        if table.shape[1] < 2:
            return None
        by_run = tuple(map(float, table.mean(axis=1)))
        return told(seeds_by_episodes(table), sesoi, by_run)
    first, *others = ([_slots(of, e) for e in c] for c in chosen)
    parts = _stacked(first)
    for other in others:
        parts = [
            (values - less, ids)
            for (values, ids), (less, _) in zip(parts, _stacked(other), strict=True)
        ]
    by_run = tuple(map(float, np.sum([v.mean(axis=(1, 2)) for v, _ in parts], axis=0)))
    return told(seeds_by_classes(parts), sesoi, by_run)


def of_one(of: Mapping[str, float], one: Evidence, sesoi: float = SESOI) -> Told | None:
    """A quantity for one encoder, with new classes and episodes in mind; no verdict on a method."""
    if not has(of, one) or next(iter(of)) in one.numbers:
        return None
    if next(iter(of)) in one.episodes:
        values = _episodes(of, one)
        values = values[np.isfinite(values)]
        return told(over_runs(values), sesoi) if len(values) > 1 else None
    return told(classes_by_episodes(_slots(of, one)), sesoi)


def has(of: Mapping[str, float], one: Evidence) -> bool:
    """Whether an encoder has every measurement of a quantity."""
    return all(n in one.slots or n in one.episodes or n in one.numbers for n in of)


def over_runs(values: FloatArray) -> Estimate:
    """A mean of independent numbers."""
    se = float(values.std(ddof=1) / np.sqrt(len(values))) if np.ptp(values) > 0 else 0.0
    return Estimate(float(values.mean()), se, len(values) - 1, 0.0)


def told(estimate: Estimate, sesoi: float, by_run: tuple[float, ...] = ()) -> Told:
    """An estimate with its word."""
    low, high = estimate.interval(0.95)
    word = verdict(estimate.value, (low, high), estimate.interval(0.90), sesoi)
    return Told(estimate.value, low, high, word, estimate.p, by_run)


def _same_way(told: Told, beyond: Told | None) -> bool:
    """Whether the random change is beaten, in the direction of the effect."""
    resolved = beyond is not None and beyond.word not in ("NO MATERIAL CHANGE", "UNRESOLVED")
    return resolved and beyond is not None and told.value * beyond.value > 0


def _paired(sides: Sequence[FloatArray]) -> FloatArray:
    """The runs, or the first learner's minus the second's."""
    return sides[0] if len(sides) == 1 else sides[0] - sides[1]


def _sum(of: Mapping[str, float], numbers: Mapping[str, float]) -> float:
    return float(sum(weight * numbers[name] for name, weight in of.items()))


def _episodes(of: Mapping[str, float], one: Evidence) -> FloatArray:
    return np.asarray(sum(weight * one.episodes[name] for name, weight in of.items()))


def _slots(of: Mapping[str, float], one: Evidence) -> list[Part]:
    """The parts a quantity adds up from, those of the same classes added together."""
    parts: dict[bytes, Part] = {}
    for name, weight in of.items():
        for values, ids in one.slots[name]:
            so_far = parts.get(ids.tobytes())
            added = weight * values if so_far is None else so_far[0] + weight * values
            parts[ids.tobytes()] = (added, ids)
    return list(parts.values())


def _stacked(runs: Sequence[Sequence[Part]]) -> list[Part]:
    """The parts of every run, run by run."""
    return [
        (np.stack([values for values, _ in of_runs]), of_runs[0][1])
        for of_runs in zip(*runs, strict=True)
    ]
