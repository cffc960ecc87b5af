"""Exactly one word for every effect, and one outcome for every claim."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.analysis.statistics import StatisticsError
from metaprobe.analysis.verdicts import (
    METHOD_SEEDS,
    SESOI,
    Limb,
    Verdict,
    conjunction,
    episodes_needed,
    episodes_to_resolve,
    verdict,
)

NUMBERS = st.floats(-0.02, 0.02) | st.sampled_from([0.0, SESOI, -SESOI, -0.0, 5e-324])
ENDS = st.tuples(NUMBERS, NUMBERS).map(lambda ends: (min(ends), max(ends)))
OPPOSITE: dict[Verdict, Verdict] = {
    "RAISED": "LOWERED",
    "LOWERED": "RAISED",
    "TRACE+": "TRACE−",
    "TRACE−": "TRACE+",
    "NO MATERIAL CHANGE": "NO MATERIAL CHANGE",
    "UNRESOLVED": "UNRESOLVED",
}


@given(NUMBERS, ENDS, ENDS, st.floats(1e-6, 0.01))
def test_the_six_verdicts_are_exhaustive_and_exclusive(
    estimate: float, ci95: tuple[float, float], ci90: tuple[float, float], sesoi: float
) -> None:
    """Each rule written out by itself: one holds, and it is the one given."""
    holds_zero = ci95[0] <= 0 <= ci95[1]
    equivalent = -sesoi < ci90[0] and ci90[1] < sesoi
    rules: dict[Verdict, bool] = {
        "RAISED": ci95[0] > 0 and estimate >= sesoi,
        "TRACE+": ci95[0] > 0 and estimate < sesoi,
        "LOWERED": ci95[1] < 0 and estimate <= -sesoi,
        "TRACE−": ci95[1] < 0 and estimate > -sesoi,
        "NO MATERIAL CHANGE": holds_zero and equivalent,
        "UNRESOLVED": holds_zero and not equivalent,
    }
    assert set(rules) == set(get_args(Verdict))
    assert [word for word, holds in rules.items() if holds] == [
        verdict(estimate, ci95, ci90, sesoi)
    ]


@given(NUMBERS, ENDS, ENDS)
def test_turning_everything_round_turns_the_verdict_round(
    estimate: float, ci95: tuple[float, float], ci90: tuple[float, float]
) -> None:
    mirrored = verdict(-estimate, (-ci95[1], -ci95[0]), (-ci90[1], -ci90[0]))
    assert mirrored == OPPOSITE[verdict(estimate, ci95, ci90)]


@pytest.mark.parametrize(
    ("estimate", "ci95", "ci90", "word"),
    [
        (0.0025, (0.001, 0.004), (0.001, 0.004), "RAISED"),
        (0.0024, (0.001, 0.004), (0.001, 0.004), "TRACE+"),
        (-0.0025, (-0.004, -0.001), (-0.004, -0.001), "LOWERED"),
        (-0.0022, (-0.0035, -0.0009), (-0.0033, -0.0011), "TRACE\N{MINUS SIGN}"),
        (0.0, (0.0, 0.0), (0.0, 0.0), "NO MATERIAL CHANGE"),
        (0.001, (0.0, 0.002), (0.0002, 0.0018), "NO MATERIAL CHANGE"),
        (0.001, (-0.001, 0.003), (-0.0005, 0.0025), "UNRESOLVED"),
        (0.0002, (-0.004, 0.0044), (-0.003, 0.0034), "UNRESOLVED"),
    ],
)
def test_a_verdict_at_its_borders(
    estimate: float, ci95: tuple[float, float], ci90: tuple[float, float], word: str
) -> None:
    assert verdict(estimate, ci95, ci90) == word


@pytest.mark.parametrize("sesoi", [0.0, -0.01, math.nan, math.inf])
def test_a_smallest_effect_must_be_above_zero(sesoi: float) -> None:
    with pytest.raises(StatisticsError, match="sesoi"):
        verdict(0.0, (0.0, 0.0), (0.0, 0.0), sesoi)


def test_swapped_ends_and_missing_numbers_are_refused() -> None:
    with pytest.raises(StatisticsError, match="lower end first"):
        verdict(0.0, (0.1, -0.1), (0.0, 0.0))
    with pytest.raises(StatisticsError, match="finite"):
        verdict(math.nan, (0.0, 0.0), (0.0, 0.0))


# ---- how many episodes


@pytest.mark.parametrize(
    ("effect", "at_1", "at_3", "at_10"),
    [(0.0005, 4187, 12559, 41862), (0.001, 1047, 3140, 10466), (0.0025, 168, 503, 1675)],
)
def test_episodes_needed_at_75_queries_and_three_flip_rates(
    effect: float, at_1: int, at_3: int, at_10: int
) -> None:
    """Reference values worked out from variance = flip rate / queries, with 2.8016 rounded up."""
    for flip, episodes in ((0.01, at_1), (0.03, at_3), (0.10, at_10)):
        found = episodes_needed(math.sqrt(flip / 75), effect)
        assert found is not None
        assert 0 <= episodes - found <= 1
        assert episodes_needed(math.sqrt(flip / 75), -effect) == found


def test_classes_can_be_the_limit_however_many_episodes() -> None:
    alone, shared = episodes_needed(0.02, 0.002), episodes_needed(0.02, 0.002, class_se=0.0005)
    assert alone is not None
    assert shared is not None
    assert shared > alone
    assert episodes_needed(0.02, 0.002, class_se=0.002) is None
    assert episodes_to_resolve(0.02, 0.0, 0.0025, class_se=0.002) is None


def test_no_effect_cannot_be_detected() -> None:
    with pytest.raises(StatisticsError, match="not zero"):
        episodes_needed(0.02, 0.0)


@pytest.mark.parametrize("estimate", [0.0, 0.0008, -0.0012, 0.0025, 0.006])
def test_the_promised_episodes_settle_the_matter_four_times_in_five(estimate: float) -> None:
    sd, rng = 0.02, np.random.default_rng(11)
    episodes = episodes_to_resolve(sd, estimate)
    assert episodes is not None
    se = sd / math.sqrt(episodes)
    means = rng.normal(estimate, se, 4000)
    words = [
        verdict(m, (m - 1.96 * se, m + 1.96 * se), (m - 1.645 * se, m + 1.645 * se)) for m in means
    ]
    assert np.mean([word != "UNRESOLVED" for word in words]) == pytest.approx(0.8, abs=0.02)


def test_a_large_effect_is_settled_by_detecting_it() -> None:
    assert episodes_to_resolve(0.02, 0.02) == episodes_needed(0.02, 0.02)
    assert episodes_to_resolve(0.02, -0.02) == episodes_needed(0.02, 0.02)


# ---- claims


def test_a_claim_needs_every_limb() -> None:
    raised, lowered = Limb("RAISED", "RAISED"), Limb("LOWERED", "LOWERED")
    assert conjunction([raised, lowered]) == "SUPPORTED"
    for weak in ("TRACE−", "NO MATERIAL CHANGE", "UNRESOLVED", "TRACE+"):
        assert conjunction([raised, Limb(weak, "LOWERED")]) == "NOT SHOWN"


def test_one_limb_the_wrong_way_refutes_and_a_trace_does_not() -> None:
    assert conjunction([Limb("RAISED", "RAISED"), Limb("RAISED", "LOWERED")]) == "REFUTED"
    assert conjunction([Limb("UNRESOLVED", "RAISED"), Limb("LOWERED", "RAISED")]) == "REFUTED"
    assert conjunction([Limb("TRACE−", "RAISED")]) == "NOT SHOWN"


def test_no_change_can_be_what_a_claim_expects() -> None:
    same = Limb("NO MATERIAL CHANGE", "NO MATERIAL CHANGE", by_seed=(-0.001, 0.001, 0.0))
    assert conjunction([same]) == "SUPPORTED"
    assert conjunction([Limb("RAISED", "NO MATERIAL CHANGE")]) == "REFUTED"
    assert conjunction([Limb("TRACE+", "NO MATERIAL CHANGE")]) == "NOT SHOWN"


@pytest.mark.parametrize(
    ("by_seed", "outcome"),
    [
        ((0.01, 0.02, 0.01, 0.03, 0.01), "SUPPORTED"),
        ((0.01, 0.02, -0.01, 0.03, 0.01), "SUPPORTED"),
        ((0.01, 0.02, -0.01, 0.03, 0.0), "NOT SHOWN"),
        ((0.04, -0.01), "SUPPORTED"),
        ((0.01,), "SUPPORTED"),
        ((-0.01,), "NOT SHOWN"),
        ((), "SUPPORTED"),
    ],
)
def test_the_sign_must_hold_in_all_seeds_but_one(by_seed: tuple[float, ...], outcome: str) -> None:
    assert conjunction([Limb("RAISED", "RAISED", by_seed)]) == outcome
    turned = Limb("LOWERED", "LOWERED", tuple(-value for value in by_seed))
    assert conjunction([turned]) == outcome


def test_a_claim_about_a_method_needs_its_seeds() -> None:
    four, five = (0.01,) * 4, (0.01,) * 5
    few, enough = Limb("RAISED", "RAISED", four), Limb("RAISED", "RAISED", five)
    assert conjunction([few], minimum_seeds=METHOD_SEEDS) == "NOT SHOWN"
    assert conjunction([enough], minimum_seeds=METHOD_SEEDS) == "SUPPORTED"
    assert conjunction([enough, few], minimum_seeds=METHOD_SEEDS) == "NOT SHOWN"


def test_a_claim_without_limbs_is_refused() -> None:
    with pytest.raises(StatisticsError, match="at least one limb"):
        conjunction([])
