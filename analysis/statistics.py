"""Intervals and tests for paired differences in accuracy.

Two questions, two kinds of interval. *This checkpoint on these classes*: episodes are the
sample, and :func:`t_interval` and :func:`bca_interval` answer. *This checkpoint on new classes*:
classes are a sample too, and :func:`classes_by_episodes` answers; it is the headline.

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

Everything is a share, never a percentage. Every draw comes from an explicit seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ..data.errors import MetaprobeError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_BLOCK = 2_000_000  # random numbers held at once


class StatisticsError(MetaprobeError):
    """A statistic that is undefined on what was given."""


class Interval(NamedTuple):
    """Two ends, low first."""

    low: float
    high: float


def t_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval for the mean of ``differences (E,)``, one per episode.

    Raises:
        StatisticsError: Fewer than two values, or one that is not finite.
    """
    d = _sample(differences)
    half = float(special.stdtrit(d.size - 1, _upper(level))) * _sd(d) / math.sqrt(d.size)
    return Interval(float(d.mean()) - half, float(d.mean()) + half)


def bca_interval(
    differences: ArrayLike, level: float = 0.95, *, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Bias-corrected, accelerated bootstrap interval for the mean of ``differences (E,)``.

    Efron (1987). The acceleration of a mean has a closed form, Σl³ / 6(Σl²)^1.5 with l the
    centred values. Values that are all alike give an interval of no width.

    Raises:
        StatisticsError: Fewer than two values, or one that is not finite.
    """
    d = _sample(differences)
    spread = float(np.ptp(d))
    if spread == 0.0:
        return Interval(float(d[0]), float(d[0]))
    centre = d.mean()
    means = _resampled_means(d, resamples, np.random.default_rng(seed))
    # Ties with the estimate are common in counts; half of them lie on either side.
    gap = means - centre
    below = np.mean((gap < -1e-12 * spread) + 0.5 * (np.abs(gap) <= 1e-12 * spread))
    bias = special.ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    scaled = (d - centre) / spread
    acceleration = np.sum(scaled**3) / (6 * np.sum(scaled**2) ** 1.5)
    z = bias + special.ndtri([1 - _upper(level), _upper(level)])
    low, high = np.quantile(means, special.ndtr(bias + z / (1 - acceleration * z)))
    return Interval(float(low), float(high))


def _resampled_means(d: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Means of ``resamples`` draws of E from ``d (E,)`` with replacement."""
    values, counts = np.unique(d, return_counts=True)
    if 8 * values.size < d.size:  # counts of few distinct values: resample their histogram
        weights = rng.multinomial(d.size, counts / d.size, size=resamples)
        return np.asarray(weights @ values / d.size, dtype=np.float64)
    means = np.empty(resamples)
    block = max(1, _BLOCK // d.size)
    for start in range(0, resamples, block):
        rows = means[start : start + block]
        rows[:] = d[rng.integers(0, d.size, (rows.size, d.size), dtype=np.uint32)].mean(axis=1)
    return means


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
        half = float(special.stdtrit(self.df, _upper(level))) * self.se
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


def wilson_interval(share: float, n: float, *, quantile: float = 1.959963984540054) -> Interval:
    """Wilson's (1927) score interval for a share of ``n`` trials; stays inside [0, 1].

    ``n`` may be an effective size, p(1 − p)/V, where trials are not independent.
    """
    q = quantile**2 / n
    centre = (share + q / 2) / (1 + q)
    half = math.sqrt(share * (1 - share) * q + q * q / 4) / (1 + q)
    return Interval(min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def intervals_agree(first: Interval, second: Interval, tolerance: float = 0.1) -> bool:
    """Do both ends agree to within ``tolerance`` of the wider interval's width?"""
    width = max(first.high - first.low, second.high - second.low)
    apart = max(abs(first.low - second.low), abs(first.high - second.high))
    return apart <= tolerance * width


def sign_flip_p(differences: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "each episode's difference is as likely as its negative".

    Signs are flipped at random, the sum compared; (hits + 1) / (resamples + 1) is never zero
    (Phipson & Smyth 2010).

    Raises:
        StatisticsError: Fewer than two values, or one that is not finite.
    """
    d = _sample(differences)
    sizes, counts = np.unique(np.abs(d), return_counts=True)
    rng = np.random.default_rng(seed)
    if 8 * sizes.size < d.size:  # few distinct sizes: how many of each stay positive
        positive = rng.binomial(counts, 0.5, size=(resamples, sizes.size))
        sums = (2 * positive - counts) @ sizes
    else:
        sums = np.empty(resamples)
        block = max(1, _BLOCK // d.size)
        for start in range(0, resamples, block):
            rows = sums[start : start + block]
            rows[:] = rng.integers(0, 2, (rows.size, d.size), dtype=np.int8) @ (2 * d) - d.sum()
    tie = 1e-9 * max(float(sizes[-1]), np.finfo(float).tiny)
    hits = int(np.count_nonzero(np.abs(sums) >= abs(float(d.sum())) - tie))
    return (hits + 1) / (resamples + 1)


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided McNemar test on queries that became right and that became wrong.

    It takes queries as independent, which those of an episode are not: a check, no headline.
    """
    flips = gained + lost
    return min(1.0, 2 * float(stats.binom.cdf(min(gained, lost), flips, 0.5))) if flips else 1.0


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    p = np.asarray(p_values, dtype=np.float64).ravel()
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(adjusted, 1.0)


def tost_p(value: float, se: float, df: float, margin: float) -> float:
    """p-value of two one-sided t tests of |mean| >= ``margin`` (Schuirmann 1987).

    Below 0.05 exactly where the 90 % interval lies inside (−margin, margin).
    """
    if se == 0.0:
        return 0.0 if abs(value) < margin else 1.0
    return float(special.stdtr(df, (abs(value) - margin) / se))


def minimum_detectable_effect(
    sd: float, n: int, *, power: float = 0.8, level: float = 0.95
) -> float:
    """Smallest true mean that ``n`` differences of this SD detect with this power, two-sided."""
    return power_factor(power, level) * sd / math.sqrt(n)


def power_factor(power: float = 0.8, level: float = 0.95) -> float:
    """How many standard errors a detectable effect must measure: 2.80 by default."""
    return float(special.ndtri(_upper(level)) + special.ndtri(power))


def seed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """t interval over training seeds, from ``differences (S, E)`` on shared episodes.

    The unit is the training run: S − 1 degrees of freedom however many episodes there are.
    It speaks of new seeds on these episodes; :func:`seeds_by_episodes` of new episodes too.

    Raises:
        StatisticsError: Fewer than two seeds, or a value that is not finite.
    """
    return t_interval(_table(differences).mean(axis=1), level)


def seeds_by_episodes(differences: ArrayLike) -> Estimate:
    """Mean over new seeds and new episodes at once, from ``differences (S, E)``.

    Seeds × episodes clustered two ways, as classes are in :func:`classes_by_episodes`; 94–96 %
    coverage from five seeds on. ``class_se`` is the part that only more seeds can remove.

    Raises:
        StatisticsError: Fewer than two seeds or episodes, or a value that is not finite.
    """
    d = _table(differences)
    return classes_by_episodes([(d.T, np.broadcast_to(np.arange(len(d)), d.T.shape))])


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
    d = _table(differences)
    seeds, episodes = d.shape
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, _BLOCK // episodes)
    for start in range(0, resamples, block):
        rows = means[start : start + block]
        weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=rows.size) / seeds
        drawn = rng.integers(0, episodes, (rows.size, episodes), dtype=np.uint32)
        rows[:] = np.take_along_axis(weights @ d, drawn, axis=1).mean(axis=1)
    low, high = np.quantile(means, [1 - _upper(level), _upper(level)])
    return Interval(float(low), float(high))


def _sample(differences: ArrayLike) -> FloatArray:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size < 2 or not np.isfinite(d).all():
        raise StatisticsError(
            f"differences of shape {d.shape} must be one finite value for each of at least two"
            " episodes",
            code="too-few",
        )
    return d


def _table(differences: ArrayLike) -> FloatArray:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or min(d.shape) < 2 or not np.isfinite(d).all():
        raise StatisticsError(
            f"differences of shape {d.shape} must be a finite (S, E) table of at least two seeds"
            " and two episodes; one training run says nothing about its method",
            code="too-few-seeds",
        )
    return d


def _sd(d: FloatArray) -> float:
    """Sample standard deviation, exactly zero when all values are alike."""
    return float(d.std(ddof=1)) if np.ptp(d) > 0 else 0.0


def _squares(x: NDArray[Any]) -> float:
    return float(x @ x)


def _upper(level: float) -> float:
    return (1 + level) / 2
