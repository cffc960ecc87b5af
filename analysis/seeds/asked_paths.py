"""Statements about directions, wandering and reliability of the rates."""

from __future__ import annotations

from dataclasses import replace

from .question import AGREEMENT, Question, difference, of_both


def directions() -> tuple[Question, ...]:
    """Do steps go downhill, and does that predict effects?"""
    return (
        Question(
            "R1", "directions", "Meta-SGD",
            "Meta-SGD's steps go down the support loss.",
            "cosine of the update with −g, all layers and steps",
            {"cosine with −g": 1}, "RAISED",
            "Whatever the signs of single rates, the steps as a whole go downhill.",
            "The steps do not go downhill.",
            unit="number", sesoi=0.05,
        ),
        Question(
            "R2", "directions", "Meta-SGD",
            "Negative rates act where gradients are: steps uphill carry over 1 % of g².",
            "share of g² under steps that go uphill",
            {"g² uphill": 1}, "RAISED",
            "Negative rates are not confined to weights without a gradient.",
            "Negative rates sit where there is hardly a gradient.",
            unit="share", sesoi=0.01,
        ),
        *of_both(Question(
            "R3", "directions", "MAML",
            "Episodes whose loss falls more gain more on-task.",
            "correlation over episodes of the first-order change with the on-task effect",
            {"r first-order change, on": 1}, "LOWERED",
            "How far the loss falls goes with what features gain: a correlation, no cause.",
            "Episodes whose loss falls more gain less.",
            unit="number", sesoi=0.1,
        )),
        *of_both(Question(
            "R4", "directions", "MAML",
            "Episodes whose loss falls more lose more off-task.",
            "correlation over episodes of the first-order change with the off-task effect",
            {"r first-order change, off": 1}, "RAISED",
            "How far the loss falls goes with what other tasks lose: a correlation, no cause.",
            "Episodes whose loss falls more lose less off-task.",
            unit="number", sesoi=0.1,
        )),
    )  # fmt: skip


def wandering() -> tuple[Question, ...]:
    """Do features fall from task to task?"""
    fall = Question(
        "W1", "wandering", "MAML",
        "Adapting to ten tasks in a row lowers accuracy on another: features are not universal.",
        "accuracy after ten tasks minus meta-init, off-task",
        difference("task 10, off", "task 0, off"), "LOWERED",
        "Features fall as they wander, so they are not universal.",
        "Features do not fall as they wander, as universal ones would not.",
    )  # fmt: skip
    return (
        *of_both(fall),
        *of_both(replace(
            fall, id="W2", statement="The nine tasks after the first cost another task more.",
            measured="accuracy after ten tasks minus after one, off-task",
            of=difference("task 10, off", "task 1, off"),
            yes="Harm adds up from task to task.", no="Harm does not add up from task to task.",
        )),
        replace(
            fall, id="W3", learner="Meta-SGD − MAML",
            statement="Meta-SGD's features fall less than MAML's as they wander.",
            measured="change after ten tasks, Meta-SGD's minus MAML's, runs paired by seed",
            expected="RAISED",
            yes="Meta-SGD's features hold better from task to task.",
            no="Meta-SGD's features hold no better from task to task.",
        ),
    )  # fmt: skip


def reliability() -> tuple[Question, ...]:
    """Are the signs of learned rates a finding or a draw?"""
    return (
        Question(
            "B1", "reliability", "Meta-SGD",
            "Runs from different first weights agree on the signs of their rates beyond chance.",
            "share of agreeing signs minus chance, mean over pairs of runs (jackknife over runs)",
            {AGREEMENT: 1}, "RAISED",
            "A weight's place decides its sign, whatever the run.",
            "Which rates are negative is particular to a run.",
            unit="share", sesoi=0.01,
        ),
        Question(
            "B2", "reliability", "Meta-SGD, one start",
            "Runs from the same first weights agree on the signs of their rates beyond chance.",
            "share of agreeing signs minus chance, mean over pairs of runs (jackknife over runs)",
            {AGREEMENT: 1}, "RAISED",
            "Signs follow from the first weights and are not a draw.",
            "Even from the same first weights, which rates are negative is a draw.",
            unit="share", sesoi=0.01,
        ),
    )  # fmt: skip
