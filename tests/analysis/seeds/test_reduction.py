"""Statements over runs: planted effects are found, absent ones are not, one run says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from metaprobe.analysis.seeds.evidence import Evidence
from metaprobe.analysis.seeds.question import Question
from metaprobe.analysis.seeds.reduction import Answer, Told, answers, estimated, of_one, outcome
from metaprobe.analysis.statistics import FloatArray, seeds_by_classes

EPISODES, WAY = 120, 5
CLASSES = np.argsort(np.random.default_rng(1).random((EPISODES, 60)), axis=1)[:, :WAY]
OTHERS = CLASSES + 1000

QUESTION = Question(
    "Q", "section", "MAML", "it rises", "after minus before", {"after": 1, "before": -1},
    "RAISED", "It rises.", "It falls.",
)  # fmt: skip


def run(
    effect: float, seed: int, noise: float = 0.05, numbers: Mapping[str, float] | None = None
) -> Evidence:
    """A run whose accuracy rises by a planted effect."""
    draw = np.random.default_rng(seed)
    before = draw.random((EPISODES, WAY))
    change = draw.standard_normal((EPISODES, WAY))
    after = before + effect + noise * (change - change.mean())
    per_episode = effect + noise * draw.standard_normal(EPISODES)
    return Evidence(
        f"run {seed}",
        {"before": ((before, CLASSES),), "after": ((after, CLASSES),)},
        {"number": per_episode},
        dict(numbers or {}),
    )


def runs(*effects: float, noise: float = 0.05) -> list[Evidence]:
    return [run(e, seed, noise) for seed, e in enumerate(effects)]


def one(question: Question, *found: Evidence) -> Answer:
    return answers([question], {"MAML": found})[0]


def test_a_planted_effect_is_found_and_refutes_its_opposite() -> None:
    up = one(QUESTION, *runs(*[0.03] * 5))
    assert up.told is not None
    assert up.told.value == pytest.approx(0.03)
    assert (up.told.word, up.outcome, up.sentence) == ("RAISED", "SUPPORTED", "It rises.")
    down = one(QUESTION, *runs(*[-0.03] * 5))
    assert (down.outcome, down.sentence) == ("REFUTED", "It falls.")
    assert one(replace(QUESTION, expected="LOWERED"), *runs(*[-0.03] * 5)).outcome == "SUPPORTED"


def test_no_effect_supports_nothing_but_the_statement_that_there_is_none() -> None:
    still = runs(*[0.0] * 5, noise=0.005)
    assert one(QUESTION, *still).outcome == "NOT SHOWN"
    assert one(replace(QUESTION, expected="NO MATERIAL CHANGE"), *still).outcome == "SUPPORTED"
    assert one(replace(QUESTION, expected="RAISED OR LOWERED"), *still).outcome == "REFUTED"
    loud = runs(0.03, -0.03, 0.02, -0.02, 0.0)
    assert {
        one(replace(QUESTION, expected=expected), *loud).outcome
        for expected in ("RAISED", "NO MATERIAL CHANGE", "RAISED OR LOWERED")
    } == {"NOT SHOWN"}


def test_one_run_gives_no_verdict_and_four_give_none_on_a_method() -> None:
    alone = one(QUESTION, run(0.03, 0))
    assert (alone.told, alone.outcome) == (None, "NOT SHOWN")
    assert of_one(QUESTION.of, run(0.03, 0)) is not None
    few = one(QUESTION, *runs(*[0.03] * 4))
    assert few.told is not None
    assert (few.told.word, few.outcome) == ("RAISED", "NOT SHOWN")
    assert few.sentence == "Too few runs to speak of the method."
    nothing = one(replace(QUESTION, expected="RAISED OR LOWERED"), *runs(*[0.0] * 4, noise=0.005))
    assert nothing.outcome == "NOT SHOWN"


def test_an_effect_too_small_to_count_is_a_trace() -> None:
    trace = one(QUESTION, *runs(*[0.001] * 5, noise=0.002))
    assert trace.told is not None
    assert (trace.told.word, trace.outcome) == ("TRACE+", "NOT SHOWN")
    either = one(replace(QUESTION, expected="RAISED OR LOWERED"), *runs(*[0.001] * 5, noise=0.002))
    assert either.outcome == "NOT SHOWN"
    assert "too small" in either.sentence


def test_a_cause_must_beat_a_random_change_in_the_same_direction() -> None:
    asked = replace(QUESTION, expected="RAISED OR LOWERED", beyond={"after": 1, "control": -1})

    def controlled(shift: float) -> list[Evidence]:
        return [
            replace(e, slots={**e.slots, "control": ((e.slots["after"][0][0] + shift, CLASSES),)})
            for e in runs(*[-0.03] * 5)
        ]

    assert one(asked, *controlled(0.02)).outcome == "SUPPORTED"  # the control falls less
    for as_much in (0.0, -0.02):
        found = one(asked, *controlled(as_much))
        assert found.outcome == "NOT SHOWN"
        assert "random change" in found.sentence


def test_what_runs_do_not_agree_on_is_not_shown() -> None:
    one_against = one(QUESTION, *runs(0.03, 0.03, 0.03, 0.03, 0.03, -0.001, noise=0.01))
    assert one_against.outcome == "SUPPORTED"
    told = one_against.told
    assert told is not None
    two = replace(one_against, told=replace(told, by_run=(0.05, 0.05, 0.05, 0.05, -0.01, -0.01)))
    assert outcome(two) == "NOT SHOWN"


def test_questions_of_a_section_are_one_family() -> None:
    found = runs(*[0.004] * 5, noise=0.08)
    alone = one(QUESTION, *found)
    assert alone.told is not None
    many = [replace(QUESTION, id=str(i)) for i in range(40)]
    together = answers(many, {"MAML": found})
    apart = answers([replace(q, section=q.id) for q in many], {"MAML": found})
    assert together[0].p_holm == pytest.approx(min(1.0, 40 * alone.told.p))
    assert (alone.told.word, alone.outcome) == ("RAISED", "SUPPORTED")
    assert {a.outcome for a in together} == {"NOT SHOWN"}
    assert "so much is asked" in together[0].sentence
    assert {a.outcome for a in apart} == {"SUPPORTED"}


def test_learners_are_paired_by_seed() -> None:
    base, more = runs(0.0, 0.1, 0.2, 0.3, 0.4), []
    for i, e in enumerate(base):
        change = 0.02 + 0.001 * np.random.default_rng(50 + i).standard_normal((EPISODES, WAY))
        more.append(
            replace(e, slots={**e.slots, "after": ((e.slots["after"][0][0] + change, CLASSES),)})
        )
    asked = replace(QUESTION, learner="Meta-SGD − MAML")
    [found] = answers([asked], {"MAML": base, "Meta-SGD": more})
    assert found.told is not None
    assert found.told.value == pytest.approx(0.02, abs=1e-3)
    assert found.outcome == "SUPPORTED"


def test_a_sum_of_parts_is_what_the_study_computes() -> None:
    """Slopes weigh levels of other classes; estimates agree with the statistic they are made of."""
    draw = np.random.default_rng(4)
    near, far = (draw.standard_normal((5, EPISODES, WAY)) for _ in range(2))
    found = [
        Evidence(f"run {s}", {"slope": ((0.5 * near[s], CLASSES), (-0.5 * far[s], OTHERS)),
                              "more": ((near[s], CLASSES),)})
        for s in range(5)
    ]  # fmt: skip
    told = estimated({"slope": 1.0, "more": 0.5}, "MAML", {"MAML": found})
    same = seeds_by_classes([(near, CLASSES), (-0.5 * far, OTHERS)])
    assert told is not None
    assert (told.value, told.p) == pytest.approx((same.value, same.p))
    assert (told.low, told.high) == pytest.approx(same.interval(0.95))


def test_numbers_of_episodes_and_of_runs_have_runs_as_units() -> None:
    asked = replace(QUESTION, of={"number": 1}, unit="number", sesoi=0.01)
    per_episode = one(asked, *runs(*[0.03] * 5))
    assert per_episode.outcome == "SUPPORTED"
    values = (0.1, 0.2, 0.3, 0.2, 0.2)
    found = [run(0.0, s, numbers={"r": v}) for s, v in enumerate(values)]
    told = estimated({"r": 1.0}, "MAML", {"MAML": found}, 0.01)
    assert told is not None
    half = 2.7764451 * np.std(values, ddof=1) / np.sqrt(5)
    assert (told.low, told.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert told.by_run == values


def test_a_measurement_that_a_run_lacks_cannot_be_asked() -> None:
    found = runs(*[0.03] * 5)
    gone: FloatArray = found[2].slots["before"][0][0]
    found[2] = replace(found[2], slots={"before": ((gone, CLASSES),)})
    answer = one(QUESTION, *found)
    assert (answer.told, answer.p_holm, answer.outcome) == (None, None, "NOT SHOWN")
    assert isinstance(one(QUESTION, *found[:2]).told, Told)
