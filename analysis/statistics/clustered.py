"""Means that generalise: to new classes, or to new training runs, as well as to new episodes.

For a mean over episodes e and class slots w, with slot scores r and episode scores D = Σ_w r,

.. math:: V = V_{episodes} + \\max(0, B_{own}, B_{whole})

B_own = Σ_c (Σ r of class c)² − Σ r² is the class part of the two-way variance
V_class + V_episode − V_slot (Cameron, Gelbach & Miller 2011, eq. 2.11). It takes a class to
matter only in its own slots. B_whole is the same sum with each r replaced by the D of its task,
times ((C−1)/(C−W))²: Arvesen's (1969) jackknife variance of a U-statistic over classes. It also
sees what a class does to its neighbours in the task, at the price of noise. Taking the larger
serves both worlds. Resampling classes alone ignores what the slots of an episode share (84 %
coverage at 100 episodes that differ much), and the pigeonhole bootstrap (Owen 2007) counts query
noise three times (99 %); tests/analysis/test_coverage.py holds them to the same audits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .intervals import t_interval
from .samples import BLOCK, FloatArray, Interval, StatisticsError, table, upper


@dataclass(frozen=True)
class Estimate:
    """A mean that generalises to new classes: ``value`` ± t(df) × ``se``.

    ``class_se`` is the part of ``se`` that more episodes over the same classes cannot remove.
    """

    value: float
    se: float
    df: float
    class_se: float

    def interval(self, level: float = 0.95) -> Interval:
        """The symmetric t interval."""
        half = float(special.stdtrit(self.df, upper(level))) * self.se
        return Interval(self.value - half, self.value + half)

    @property
    def p(self) -> float:
        """Two-sided p-value of "the mean is zero"; below 0.05 where the interval excludes 0."""
        if self.se == 0.0:
            return 1.0 if self.value == 0.0 else 0.0
        return float(2 * special.stdtr(self.df, -abs(self.value) / self.se))


def classes_by_episodes(parts: Sequence[tuple[ArrayLike, ArrayLike]]) -> Estimate:
    """Sum of means over slots, each part ``(values (E, W), class ids (E, W))``, clustered two ways.

    One part gives a mean; two parts over the same episodes, the second negated, a difference
    of means. Class ids say which slots share a class, across episodes and parts.
    Degrees of freedom after Satterthwaite (1946): between C − 1 or E − 1 and their sum.

    Raises:
        StatisticsError: Shapes that do not match, fewer than two episodes, or a single class.
    """
    value, own, whole, ids = 0.0, [], [], []
    for part_values, part_classes in parts:
        v = np.asarray(part_values, dtype=np.float64)
        c = np.asarray(part_classes)
        if v.ndim != 2 or v.shape != c.shape or v.size == 0 or not np.isfinite(v).all():
            raise StatisticsError(
                f"slot values {v.shape} and class ids {c.shape} must be two finite (E, W) arrays"
                " of one shape",
                code="slots-mismatch",
            )
        value += float(v.mean())
        own.append((v - v.mean()) / v.size)
        whole.append(np.broadcast_to(own[-1].sum(axis=1, keepdims=True), v.shape))
        ids.append(c)
    if len({len(column) for column in own}) != 1:
        raise StatisticsError("parts must cover the same episodes", code="slots-mismatch")
    scores = np.concatenate(own, axis=1)
    found, index = np.unique(np.concatenate(ids, axis=1), return_inverse=True)
    (episodes, slots), count, way = scores.shape, len(found), max(c.shape[1] for c in ids)
    if episodes < 2 or count < 2:
        raise StatisticsError(
            f"{episodes} episode(s) over {count} class(es): an interval needs two of each",
            code="too-few",
        )
    # A class seen twice in one episode, in both tasks, is one pair there.
    pair_of = np.repeat(np.arange(episodes), slots) * count + index.ravel()
    pairs, pair_index = np.unique(pair_of, return_inverse=True)

    def class_part(score: FloatArray) -> float:
        pair = np.bincount(pair_index, score.ravel())
        return _squares(np.bincount(pairs % count, pair)) * count / (count - 1) - _squares(pair)

    between = max(0.0, class_part(scores))
    if count > way:
        finite = ((count - 1) / (count - way)) ** 2
        between = max(between, class_part(np.concatenate(whole, axis=1)) * finite)
    variance = _squares(scores.sum(axis=1)) * episodes / (episodes - 1)
    spread = variance**2 / (episodes - 1) + between**2 / (count - 1)
    return Estimate(
        value=value,
        se=math.sqrt(variance + between),
        df=(variance + between) ** 2 / spread if spread > 0 else episodes - 1,
        class_se=math.sqrt(between),
    )


def seed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """t interval over training seeds, from ``differences (S, E)`` on shared episodes.

    The unit is the training run: S − 1 degrees of freedom however many episodes there are.
    It speaks of new seeds on these episodes; :func:`seeds_by_episodes` of new episodes too, and
    :func:`seeds_by_classes` of new classes as well.

    Raises:
        StatisticsError: Fewer than two seeds, or a value that is not finite.
    """
    return t_interval(table(differences).mean(axis=1), level)


def seeds_by_episodes(differences: ArrayLike) -> Estimate:
    """Mean over new seeds and new episodes at once, from ``differences (S, E)``.

    Seeds × episodes clustered two ways, as classes are in :func:`classes_by_episodes`; 94–96 %
    coverage from five seeds on. ``class_se`` is the part that only more seeds can remove.

    Raises:
        StatisticsError: Fewer than two seeds or episodes, or a value that is not finite.
    """
    d = table(differences)
    return classes_by_episodes([(d.T, np.broadcast_to(np.arange(len(d)), d.T.shape))])


def seeds_by_classes(parts: Sequence[tuple[ArrayLike, ArrayLike]]) -> Estimate:
    """Sum of means over new seeds, new classes and new episodes at once.

    Each part is ``(values (S, E, W), class ids (E, W))``: the seeds share episodes and classes.
    The variance is what only more seeds can remove, from :func:`seeds_by_episodes`, plus that of
    the mean over seeds, from :func:`classes_by_episodes`; the spread of episodes counts once.
    Degrees of freedom after Satterthwaite (1946). ``class_se`` is the part of the classes alone.

    Raises:
        StatisticsError: As those two functions.
    """
    tables = [np.asarray(values, dtype=np.float64) for values, _ in parts]
    if any(t.ndim != 3 for t in tables) or len({t.shape[:2] for t in tables}) != 1:
        raise StatisticsError(
            f"slot values {[t.shape for t in tables]} must be (S, E, W) arrays over the same seeds"
            " and episodes",
            code="slots-mismatch",
        )
    runs = seeds_by_episodes(np.sum([t.mean(axis=2) for t in tables], axis=0))
    mean = classes_by_episodes(
        [(t.mean(axis=0), ids) for t, (_, ids) in zip(tables, parts, strict=True)]
    )
    of_runs, of_mean = runs.class_se**2, mean.se**2
    spread = of_runs**2 / (len(tables[0]) - 1) + of_mean**2 / mean.df
    return Estimate(
        value=mean.value,
        se=math.sqrt(of_runs + of_mean),
        df=(of_runs + of_mean) ** 2 / spread if spread > 0 else mean.df,
        class_se=mean.class_se,
    )


def hierarchical_interval(
    differences: ArrayLike, level: float = 0.95, *, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile bootstrap over seeds × episodes, from ``differences (S, E)``.

    Seeds saw the same episodes, so the two are crossed: each resample draws S seeds and, once
    for all of them, E episodes. With few seeds it is too narrow (90 % coverage at S = 5 where
    seeds differ); report :func:`seed_interval` beside it.

    Raises:
        StatisticsError: Fewer than two seeds or episodes, or a value that is not finite.
    """
    d = table(differences)
    seeds, episodes = d.shape
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, BLOCK // episodes)
    for start in range(0, resamples, block):
        rows = means[start : start + block]
        weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=rows.size) / seeds
        drawn = rng.integers(0, episodes, (rows.size, episodes), dtype=np.uint32)
        rows[:] = np.take_along_axis(weights @ d, drawn, axis=1).mean(axis=1)
    low, high = np.quantile(means, [1 - upper(level), upper(level)])
    return Interval(float(low), float(high))


def _squares(x: NDArray[Any]) -> float:
    return float(x @ x)
