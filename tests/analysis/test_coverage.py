"""Simulated audits: intervals hold the truth as often as they say, and no more.

Each audit draws its own classes, episodes and queries around a known effect. A query gains its
correctness with probability g + s/2 and loses it with l − s/2, where s = class effect + episode
effect (+ what the other classes of the task do, where a test says so); the truth for new classes
is g − l exactly, and for the classes drawn it is that plus the mean of their effects.

The rivals that were tried and left are measured on the same audits: resampling classes alone,
and the pigeonhole bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from metaprobe.analysis.effects import effects, shares
from metaprobe.analysis.statistics import (
    FloatArray,
    IntArray,
    bca_interval,
    classes_by_episodes,
    hierarchical_interval,
    seed_interval,
    seeds_by_classes,
    seeds_by_episodes,
    t_interval,
)
from metaprobe.analysis.verdicts import verdict
from metaprobe.probes.phases import CELLS

WAY, QUERY = 5, 15


@dataclass(frozen=True)
class World:
    """What audits are drawn from; effects are shares, ``*_sd`` their spread (uniform)."""

    episodes: int
    classes: int
    gain: float = 0.10
    loss: float = 0.08
    class_sd: float = 0.0
    episode_sd: float = 0.0
    neighbour: float = 0.0  # of each class's effect, spread over the other classes of its task

    @property
    def effect(self) -> float:
        return self.gain - self.loss


@dataclass(frozen=True)
class Drawn:
    """Changes per slot (E, 5) on T and T′, class ids, and the truth for the classes drawn."""

    on: FloatArray
    off: FloatArray
    classes_on: IntArray
    classes_off: IntArray
    here: float

    @property
    def parts(self) -> list[tuple[FloatArray, IntArray]]:
        return [(self.on, self.classes_on)]

    @property
    def interaction(self) -> list[tuple[FloatArray, IntArray]]:
        return [(self.off, self.classes_off), (-self.on, self.classes_on)]


def audits(world: World, count: int, seed: int = 0, *, off: bool = True) -> Iterator[Drawn]:
    """Audits of ``world``; without ``off``, T′ is a copy of T, for tests that look at T alone."""
    rng = np.random.default_rng(seed)
    size = (world.episodes, WAY)
    for _ in range(count):
        keys = rng.random((world.episodes, world.classes), dtype=np.float32)
        ids = np.argpartition(keys, [4, 9], axis=1)[:, :10]  # five, then the next five
        by_class = rng.uniform(-1, 1, world.classes) * world.class_sd * 3**0.5
        slots = []
        for classes in (ids[:, :WAY], ids[:, WAY:])[: 1 + off]:
            own = by_class[classes]
            others = (own.sum(axis=1, keepdims=True) - own) / (WAY - 1)
            by_episode = rng.uniform(-1, 1, (world.episodes, 1)) * world.episode_sd * 3**0.5
            shift = own + world.neighbour * others + by_episode
            gained = rng.binomial(QUERY, world.gain + shift / 2, size)
            keeps = 1 - world.gain - shift / 2
            lost = rng.binomial(QUERY - gained, (world.loss - shift / 2) / keeps, size)
            slots.append((gained - lost) / QUERY)
        here = world.effect + (1 + world.neighbour) * float(by_class.mean())
        yield Drawn(slots[0], slots[-1], ids[:, :WAY], ids[:, WAY:], here)


def holds(ends: tuple[float, float], truth: float) -> bool:
    return ends[0] <= truth <= ends[1]


FEW_EPISODES = World(100, 60, episode_sd=0.04)
FEW_FLIPS = World(100, 60, gain=0.02, loss=0.015, class_sd=0.004, episode_sd=0.004)
MIDDLE = World(200, 100, class_sd=0.03)
FULL = World(600, 60, class_sd=0.02, episode_sd=0.02)
MANY = [
    *(FEW_EPISODES, FEW_FLIPS, MIDDLE, FULL, World(100, 60), World(600, 60)),
    World(100, 60, class_sd=0.02, episode_sd=0.03),
    World(300, 100, class_sd=0.03),
    World(100, 600, class_sd=0.03),
    World(300, 600, class_sd=0.03, episode_sd=0.03),
    World(600, 200, class_sd=0.02, episode_sd=0.02),
    World(600, 600, gain=0.4, loss=0.3, class_sd=0.1, episode_sd=0.1),
]


def headline_coverage(world: World, count: int, seed: int = 0) -> dict[str, float]:
    """How often the headline interval holds the effect, and the interaction of zero."""
    found = [
        (
            holds(classes_by_episodes(drawn.parts).interval(), world.effect),
            holds(classes_by_episodes(drawn.interaction).interval(), 0.0),
        )
        for drawn in audits(world, count, seed)
    ]
    effect, interaction = np.mean(found, axis=0)
    return {"effect": float(effect), "interaction": float(interaction)}


@pytest.mark.parametrize("world", [FEW_EPISODES, FEW_FLIPS, MIDDLE], ids=str)
def test_the_headline_interval_holds_the_effect_on_new_classes(world: World) -> None:
    for name, share in headline_coverage(world, 2000).items():
        assert 0.93 <= share <= 0.97, name


@pytest.mark.slow
@pytest.mark.parametrize("world", MANY, ids=str)
def test_the_headline_interval_holds_in_many_more_audits(world: World) -> None:
    for name, share in headline_coverage(world, 20_000, seed=1).items():
        assert 0.93 <= share <= 0.97, name


@pytest.mark.parametrize("world", [FEW_EPISODES, FEW_FLIPS, MIDDLE], ids=str)
def test_the_episode_intervals_hold_the_effect_on_the_classes_drawn(world: World) -> None:
    check_episode_intervals(world, 1000, resamples=500)


@pytest.mark.slow
@pytest.mark.parametrize("world", MANY, ids=str)
def test_the_episode_intervals_hold_in_many_more_audits(world: World) -> None:
    check_episode_intervals(world, 3000, resamples=2000)


def check_episode_intervals(world: World, count: int, resamples: int) -> None:
    found = []
    for drawn in audits(world, count, seed=2, off=False):
        d = np.rint(drawn.on * QUERY).sum(axis=1) / (WAY * QUERY)
        bca = bca_interval(d, resamples=resamples)
        found.append((holds(t_interval(d), drawn.here), holds(bca, drawn.here)))
    t, bca_share = np.mean(found, axis=0)
    assert 0.93 <= t <= 0.97
    assert 0.93 <= bca_share <= 0.97


def test_episode_intervals_say_nothing_about_new_classes() -> None:
    """Why the headline is another one."""
    world = World(600, 60, class_sd=0.04)
    found = [
        holds(t_interval(drawn.on.mean(axis=1)), world.effect)
        for drawn in audits(world, 200, off=False)
    ]
    assert np.mean(found) < 0.7


# ---- the rivals, on the same audits


def rivals(world: World, count: int) -> tuple[float, float]:
    """Coverage of resampling classes alone, and of classes × episodes (the pigeonhole)."""
    rng = np.random.default_rng(5)
    flat = np.full(world.classes, 1 / world.classes), np.full(world.episodes, 1 / world.episodes)
    by_class = rng.multinomial(world.classes, flat[0], size=200).astype(float)
    by_episode = rng.multinomial(world.episodes, flat[1], size=200).astype(float)
    found = []
    for drawn in audits(world, count, seed=3, off=False):
        shape = (world.episodes, world.classes)
        total, seen = np.zeros(shape), np.zeros(shape)
        rows = np.arange(world.episodes)[:, None]
        total[rows, drawn.classes_on], seen[rows, drawn.classes_on] = drawn.on, 1.0
        alone = (by_class @ total.sum(axis=0)) / (by_class @ seen.sum(axis=0))
        both = ((by_episode @ total) * by_class).sum(1) / ((by_episode @ seen) * by_class).sum(1)
        found.append(
            [holds(tuple(np.quantile(x, [0.025, 0.975])), world.effect) for x in (alone, both)]
        )
    alone_share, both_share = np.mean(found, axis=0)
    return float(alone_share), float(both_share)


def test_resampling_classes_alone_is_too_narrow_when_episodes_are_few() -> None:
    alone, pigeonhole = rivals(World(100, 60, episode_sd=0.05), 200)
    assert alone < 0.9  # the slots of an episode share one adaptation
    assert pigeonhole > 0.975  # and this one counts the queries' noise three times


def test_neighbours_in_the_task_do_not_break_the_headline() -> None:
    """A class that is as hard on its neighbours as on itself: own slots show half its effect."""
    world = World(200, 60, class_sd=0.03, episode_sd=0.01, neighbour=1.0)
    assert headline_coverage(world, 600)["effect"] > 0.9
    assert rivals(world, 60)[0] < 0.8


# ---- verdicts


@pytest.mark.parametrize(
    "world", [World(100, 60, loss=0.1), World(200, 60, 0.1, 0.1, 0.02, 0.02)], ids=str
)
def test_no_effect_is_called_raised_or_lowered_at_most_once_in_twenty(world: World) -> None:
    words = []
    for drawn in audits(world, 1000, seed=4):
        for parts in (drawn.parts, drawn.interaction):
            e = classes_by_episodes(parts)
            words.append(verdict(e.value, e.interval(), e.interval(0.9)))
    assert np.mean([word in ("RAISED", "LOWERED") for word in words]) <= 0.05


def bits(rng: np.random.Generator, episodes: int, shift: float = 0.0) -> list[NDArray[np.bool_]]:
    """Before and after ``(E, 75)``: 5 % flip either way, and ``shift`` more gain."""
    u, right = rng.random((episodes, 75)), rng.random((episodes, 75)) < 0.6
    gained, lost = u < 0.05 + shift, (u >= 0.05 + shift) & (u < 0.1 + shift)
    return [lost | (right & ~gained), gained | (right & ~lost)]


def test_whole_audits_of_nothing_and_of_something() -> None:
    """From bits to verdicts: at most 5 % false alarms, two points nearly always found."""
    rng = np.random.default_rng(6)
    words: dict[float, list[str]] = {0.0: [], 0.02: []}
    for shift, count in ((0.0, 500), (0.02, 30)):
        for _ in range(count):
            ids = np.argsort(rng.random((100, 60)), axis=1)
            cells = dict(zip(CELLS, bits(rng, 100, shift) + bits(rng, 100), strict=True))
            found = effects(cells, ids[:, :5], ids[:, 5:10], resamples=50)
            words[shift].append(found["on"].verdict)
    assert np.mean([word in ("RAISED", "LOWERED") for word in words[0.0]]) <= 0.05
    assert np.mean([word == "RAISED" for word in words[0.02]]) >= 0.95


# ---- accuracies and seeds


def test_the_interval_of_an_accuracy_holds_it_for_new_classes() -> None:
    rng, found = np.random.default_rng(8), []
    for _ in range(800):
        ids = np.argsort(rng.random((100, 100)), axis=1)
        hard = rng.uniform(-0.2, 0.2, 100)[ids[:, :5]] + rng.uniform(-0.1, 0.1, (100, 1))
        cell = rng.random((100, 75)) < np.repeat(0.6 + hard, 15, axis=1)
        share = shares(dict.fromkeys(CELLS, cell), ids[:, :5], ids[:, 5:10])["init_on"]
        found.append(holds((share.ci_low, share.ci_high), 0.6))
    assert 0.93 <= np.mean(found) <= 0.97


def test_intervals_over_seeds_hold_what_they_speak_of() -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(1000):
        by_episode = rng.normal(0, 0.03, 200)
        d = rng.normal(0, 0.01, (5, 1)) + by_episode + rng.normal(0, 0.03, (5, 200))
        found.append(
            [
                holds(seed_interval(d), float(by_episode.mean())),  # these episodes
                holds(seeds_by_episodes(d).interval(), 0.0),  # new ones
                holds(hierarchical_interval(d, resamples=300), 0.0),
            ]
        )
    over_seeds, two_way, bootstrap = np.mean(found, axis=0)
    assert 0.93 <= over_seeds <= 0.97
    assert 0.92 <= two_way <= 0.97
    assert 0.86 <= bootstrap <= 0.95  # five seeds are too few for a percentile, as it says


@pytest.mark.parametrize("seed_sd", [0.0, 0.008], ids=["seeds alike", "seeds differ"])
def test_intervals_over_seeds_and_classes_hold_the_effect_on_both(seed_sd: float) -> None:
    """Class effects are planted; an interval over seeds and episodes alone does not see them."""
    rng = np.random.default_rng(10)
    found = []
    for _ in range(600):
        ids = np.argpartition(rng.random((200, 60), dtype=np.float32), 4, axis=1)[:, :WAY]
        by_class = rng.normal(0, 0.04, 60)
        d = (
            by_class[ids]
            + rng.normal(0, 0.03, (200, 1))
            + rng.normal(0, seed_sd, (5, 1, 1))
            + rng.normal(0, 0.06, (5, 200, WAY))
        )
        whole = seeds_by_classes([(d, ids)])
        found.append(
            [
                holds(whole.interval(), 0.0),
                holds(seeds_by_episodes(d.mean(axis=2)).interval(), 0.0),
            ]
        )
    both, without_classes = np.mean(found, axis=0)
    assert 0.92 <= both <= 0.985
    assert without_classes <= both - 0.04
