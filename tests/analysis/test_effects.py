"""Effects from bits: by hand, against scipy, and with the truth planted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from metaprobe.analysis.effects import Cells, Effect, effects, shares
from metaprobe.analysis.statistics import StatisticsError
from metaprobe.probes.phases import CELLS, CellName

Bits = NDArray[np.bool_]
Ids = NDArray[np.int64]


def flipped(
    rng: np.random.Generator, size: tuple[int, int], gain: float, loss: float
) -> list[Bits]:
    """Bits before and after, a share ``gain`` becoming right and ``loss`` becoming wrong."""
    u, right = rng.random(size), rng.random(size) < 0.6
    gained, lost = u < gain, (gain <= u) & (u < gain + loss)
    return [lost | (right & ~gained), gained | (right & ~lost)]


def planted(
    seed: int = 0, *, episodes: int = 600, on: float = 0.0, off: float = 0.0, flip: float = 0.03
) -> tuple[dict[CellName, Bits], Ids, Ids]:
    """Five of 60 classes, 15 queries each; accuracy shifts by ``on`` and ``off``."""
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((episodes, 60)), axis=1)[:, :10]
    bits = [
        array
        for shift in (on, off)
        for array in flipped(
            rng, (episodes, 75), flip / 2 + max(shift, 0), flip / 2 - min(shift, 0)
        )
    ]
    return dict(zip(CELLS, bits, strict=True)), ids[:, :5], ids[:, 5:]


def numbers(effect: Effect) -> tuple[float, ...]:
    return (
        effect.value,
        *(effect.ci_low, effect.ci_high, effect.ci90_low, effect.ci90_high),
        *effect.t_interval,
        *effect.bca_interval,
        *(effect.sd, effect.se, effect.class_se, effect.mde, effect.flip_rate),
    )


def test_effects_by_hand() -> None:
    """Three episodes, two classes of two queries: every number worked out on paper."""
    cells = {
        "init_on": np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=bool),
        "adapted_on": np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]], dtype=bool),
        "init_off": np.array([[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=bool),
        "adapted_off": np.array([[0, 0, 1, 0], [1, 1, 0, 1], [0, 1, 0, 0]], dtype=bool),
    }
    found = effects(cells, [[0, 1], [2, 3], [4, 0]], [[2, 3], [0, 1], [1, 2]])
    on, off, both = (found[name] for name in ("on", "off", "interaction"))
    assert on.value == pytest.approx(2 / 12)  # +1, +1, 0 of 4
    assert off.value == pytest.approx(-1 / 12)  # −1, −1, +1 of 4
    assert both.value == pytest.approx(-3 / 12)
    assert (on.flip_rate, off.flip_rate, both.flip_rate) == (4 / 12, 3 / 12, 7 / 24)
    assert on.sd == pytest.approx(np.std([0.25, 0.25, 0.0], ddof=1))
    assert both.sd == pytest.approx(np.std([-0.5, -0.5, 0.25], ddof=1))
    assert on.mcnemar_p == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert both.mcnemar_p == pytest.approx(stats.binomtest(2, 7).pvalue)  # 1 + 1 up, 2 + 3 down
    assert {effect.n for effect in found.values()} == {3}


def test_identical_bits_have_no_effect_at_all() -> None:
    cells, on, off = planted()
    still = cells | {"adapted_on": cells["init_on"], "adapted_off": cells["init_off"]}
    for effect in effects(still, on, off).values():
        assert numbers(effect) == (0.0,) * 14
        assert effect.verdict == "NO MATERIAL CHANGE"
        assert effect.agree
        assert (effect.p_sign_flip, effect.mcnemar_p) == (1.0, 1.0)


def test_two_points_planted_at_600_episodes_are_raised() -> None:
    cells, on, off = planted(on=0.02, off=-0.02)
    found = effects(cells, on, off)
    assert [found[name].verdict for name in found] == ["RAISED", "LOWERED", "LOWERED"]
    for name, truth in (("on", 0.02), ("off", -0.02), ("interaction", -0.04)):
        assert abs(found[name].value - truth) < 4 * found[name].se
        assert found[name].p_sign_flip < 0.001
        assert found[name].mcnemar_p < 0.001


def test_small_effects_are_traces_and_equal_ones_no_material_change() -> None:
    cells, on, off = planted(3, episodes=4000, on=0.0018, off=0.0018, flip=0.004)
    found = effects(cells, on, off)
    assert found["on"].verdict == "TRACE+"
    assert found["interaction"].verdict == "NO MATERIAL CHANGE"
    turned = cells | {"init_on": cells["adapted_on"], "adapted_on": cells["init_on"]}
    assert effects(turned, on, off)["on"].verdict == "TRACE−"


def test_few_noisy_episodes_stay_unresolved_and_say_how_many_would_do() -> None:
    cells, on, off = planted(1, episodes=40, flip=0.2)
    effect = effects(cells, on, off)["on"]
    assert effect.verdict == "UNRESOLVED"
    needed = effect.episodes_to_resolve()
    assert needed is None or needed > 40


def test_the_episode_intervals_are_those_of_a_paired_test() -> None:
    cells, on, off = planted(5, on=0.01, off=0.0)
    accuracy = {cell: cells[cell].mean(axis=1) for cell in CELLS}
    change_on = accuracy["adapted_on"] - accuracy["init_on"]
    change_off = accuracy["adapted_off"] - accuracy["init_off"]
    found = effects(cells, on, off)
    for name, (after, before) in {
        "on": (accuracy["adapted_on"], accuracy["init_on"]),
        "off": (accuracy["adapted_off"], accuracy["init_off"]),
        "interaction": (change_off, change_on),
    }.items():
        theirs = stats.ttest_rel(after, before).confidence_interval(0.95)
        assert found[name].t_interval == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert found[name].value == pytest.approx((after - before).mean(), abs=1e-12)
        assert found[name].agree


def test_the_interaction_is_the_other_way_round_when_the_tasks_are_swapped() -> None:
    cells, on, off = planted(2, on=0.01)
    swapped: dict[CellName, Bits] = {
        "init_on": cells["init_off"],
        "adapted_on": cells["adapted_off"],
        "init_off": cells["init_on"],
        "adapted_off": cells["adapted_on"],
    }
    one = effects(cells, on, off)["interaction"]
    other = effects(swapped, off, on)["interaction"]
    assert other.value == pytest.approx(-one.value, abs=1e-15)
    assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-12)
    assert other.mcnemar_p == one.mcnemar_p


def test_queries_belong_to_classes_in_order() -> None:
    """One class gains everywhere: the interval for new classes sees it, that over episodes not."""
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((600, 10)), axis=1)
    lucky = np.repeat(ids[:, :5] == 3, 15, axis=1)
    still = rng.random((600, 75)) < 0.4
    cells = dict.fromkeys(CELLS, still) | {"adapted_on": still | lucky}
    effect = effects(cells, ids[:, :5], ids[:, 5:])["on"]
    assert effect.t_interval.low > 0
    assert effect.ci_low < 0 < effect.ci_high
    assert effect.verdict == "UNRESOLVED"
    assert effect.episodes_to_resolve() is None  # one class in ten: more episodes say the same


def test_effects_follow_from_their_seed() -> None:
    cells, on, off = planted(4, episodes=50)
    first, again = effects(cells, on, off, seed=9), effects(cells, on, off, seed=9)
    assert first == again
    other = effects(cells, on, off, seed=10)["on"]
    assert other.bca_interval != first["on"].bca_interval
    assert (other.ci_low, other.ci_high) == (first["on"].ci_low, first["on"].ci_high)


def test_the_detectable_effect_comes_from_the_spread_of_the_differences() -> None:
    cells, on, off = planted(6, flip=0.03)
    effect = effects(cells, on, off)["on"]
    assert effect.mde == pytest.approx(2.8016 * effect.sd / np.sqrt(600), rel=1e-4)
    assert effect.mde == pytest.approx(0.0023, rel=0.1)  # SD 2 points over 600 episodes
    assert effect.se >= effect.class_se


# ---- shares


def test_each_share_is_the_accuracy_of_its_cell() -> None:
    cells, on, off = planted(7, on=0.1)
    found = shares(cells, on, off)
    assert list(found) == list(CELLS)
    for cell in CELLS:
        share = found[cell]
        assert share.value == cells[cell].mean()
        assert share.ci_low < share.value < share.ci_high
        assert (share.n, share.queries) == (600, 45_000)
    # Independent queries: as wide as Wilson's interval for 45,000 of them, or a little wider.
    binomial = 1.96 * np.sqrt(0.6 * 0.4 / 45_000)
    half = (found["init_on"].ci_high - found["init_on"].ci_low) / 2
    assert binomial * 0.9 < half < binomial * 1.6


def test_all_right_and_all_wrong_keep_an_interval_inside_zero_and_one() -> None:
    cells, on, off = planted(episodes=100)
    extremes = cells | {"init_on": cells["init_on"] | True, "adapted_on": cells["init_on"] & False}
    found = shares(extremes, on, off)
    perfect, nothing = found["init_on"], found["adapted_on"]
    assert (perfect.value, perfect.ci_high) == (1.0, 1.0)
    assert (nothing.value, nothing.ci_low) == (0.0, 0.0)
    assert 0.95 < perfect.ci_low < 1.0
    assert nothing.ci_high == pytest.approx(1 - perfect.ci_low)


def test_one_wrong_query_among_thousands_is_not_certainty() -> None:
    cells, on, off = planted(episodes=100)
    almost = np.ones((100, 75), dtype=bool)
    almost[4, 20] = False
    share = shares(cells | {"init_on": almost}, on, off)["init_on"]
    assert share.ci_low < share.value < share.ci_high <= 1.0


# ---- what cannot be used


def test_cells_that_do_not_fit_are_refused() -> None:
    cells, on, off = planted(episodes=20)
    missing: dict[CellName, Bits] = {
        cell: bits for cell, bits in cells.items() if cell != "init_off"
    }
    cases: list[tuple[Cells, Ids, str]] = [
        (missing, on, "cell-missing"),
        (cells | {"init_on": cells["init_on"].astype(float)}, on, "cells-not-bits"),
        (cells | {"init_on": cells["init_on"][:9]}, on, "cells-mismatch"),
        (cells | {"init_on": cells["init_on"][:, :70]}, on, "cells-mismatch"),
        ({cell: bits[:, :74] for cell, bits in cells.items()}, on, "cells-mismatch"),
        ({cell: bits[:, :0] for cell, bits in cells.items()}, on, "cells-mismatch"),
        (cells, on[:, :4], "classes-mismatch"),
        (cells, on[0], "classes-mismatch"),
    ]
    for bad, ids, code in cases:
        with pytest.raises(StatisticsError) as caught:
            effects(bad, ids, off)
        assert caught.value.code == code


def test_one_episode_has_no_interval() -> None:
    cells, on, off = planted(episodes=1)
    with pytest.raises(StatisticsError, match="an interval needs two"):
        effects(cells, on, off)
