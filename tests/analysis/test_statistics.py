"""Every interval and test against an independent implementation, and at its edges."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metaprobe.analysis.statistics import (
    FloatArray,
    IntArray,
    Interval,
    StatisticsError,
    bca_interval,
    classes_by_episodes,
    hierarchical_interval,
    holm,
    intervals_agree,
    mcnemar_p,
    minimum_detectable_effect,
    seed_interval,
    seeds_by_classes,
    seeds_by_episodes,
    sign_flip_p,
    t_interval,
    tost_p,
    wilson_interval,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def slots(
    rng: np.random.Generator, episodes: int = 40, way: int = 3, classes: int = 9
) -> tuple[FloatArray, IntArray]:
    """Slot values (E, W) with class and episode effects, and their class ids."""
    ids = np.argsort(rng.random((episodes, classes)), axis=1)[:, :way]
    values = rng.normal(0, 1, classes)[ids] + rng.normal(0, 1, (episodes, way))
    return values + rng.normal(0, 1, (episodes, 1)), ids


# ---- t


def test_the_paired_t_interval_is_scipys(rng: np.random.Generator) -> None:
    before, after = rng.normal(0, 1, 50), rng.normal(0.2, 1, 50)
    theirs = stats.ttest_rel(after, before).confidence_interval(0.9)
    assert t_interval(after - before, 0.9) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_values_all_alike_have_an_interval_of_no_width() -> None:
    assert t_interval(np.zeros(600)) == (0.0, 0.0)
    assert bca_interval(np.zeros(600)) == (0.0, 0.0)
    assert t_interval(np.full(7, 0.1)) == pytest.approx((0.1, 0.1), abs=1e-15)
    assert bca_interval(np.full(7, 0.1)) == (0.1, 0.1)


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, np.nan], [[1.0, 2.0]], [np.inf, 0.0]])
def test_too_few_or_unfinished_differences_are_refused(bad: list[float]) -> None:
    for function in (t_interval, bca_interval, sign_flip_p):
        with pytest.raises(StatisticsError, match="at least two episodes"):
            function(bad)


# ---- BCa


@pytest.mark.parametrize("kind", ["skewed", "counts"])
def test_bca_is_scipys_up_to_resampling_noise(kind: str, rng: np.random.Generator) -> None:
    d = rng.exponential(1, 60) if kind == "skewed" else rng.poisson(0.7, 300) - 1.0
    theirs = stats.bootstrap(
        (d,), np.mean, method="BCa", n_resamples=40_000, vectorized=True, rng=1, batch=2_000
    ).confidence_interval
    ours = bca_interval(d, resamples=40_000)
    # An end of 40,000 resamples has a noise of about 1.4 % of the standard error.
    step = 1 / d.size if kind == "counts" else 0.0  # means of counts lie on a grid
    noise = 0.06 * d.std() / np.sqrt(d.size) + step
    assert ours == pytest.approx((theirs.low, theirs.high), abs=noise)
    assert ours.low - d.mean() > -(ours.high - d.mean())  # leans with the skew


def test_both_ways_of_resampling_give_the_same_interval(rng: np.random.Generator) -> None:
    d = rng.poisson(1.0, 400).astype(float)
    distinct = d + rng.normal(0, 1e-9, 400)  # no two alike: the histogram is of no help
    apart = np.subtract(bca_interval(d), bca_interval(distinct))
    assert np.abs(apart).max() < 0.06 * d.std() / 20 + 1 / 400


def test_bootstrap_intervals_follow_from_their_seed(rng: np.random.Generator) -> None:
    d = rng.normal(0, 1, 50)
    assert bca_interval(d, seed=3) == bca_interval(d, seed=3)
    assert bca_interval(d, seed=3) != bca_interval(d, seed=4)
    assert sign_flip_p(d, seed=3) == sign_flip_p(d, seed=3)


def test_a_single_changed_episode_is_no_trouble() -> None:
    d = np.zeros(600)
    d[17] = 1 / 75
    low, high = bca_interval(d)
    assert 0.0 <= low <= d.mean() <= high


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=40), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_mean_and_grow_with_the_level(counts: list[int], seed: int) -> None:
    d = np.array(counts) / 75
    for wide, narrow in (
        (t_interval(d, 0.95), t_interval(d, 0.9)),
        (bca_interval(d, 0.95, seed=seed), bca_interval(d, 0.9, seed=seed)),
    ):
        assert wide.low <= narrow.low <= narrow.high <= wide.high
    low, high = t_interval(d)
    assert low <= d.mean() <= high


def test_t_and_bca_agree_unless_the_differences_are_skewed(rng: np.random.Generator) -> None:
    plain = rng.normal(0, 1, 100)
    skewed = np.append(np.zeros(99), 50.0)
    assert intervals_agree(t_interval(plain), bca_interval(plain))
    assert not intervals_agree(t_interval(skewed), bca_interval(skewed))
    assert intervals_agree(Interval(0.0, 0.0), Interval(0.0, 0.0))


# ---- classes × episodes


def by_pairs(parts: list[tuple[FloatArray, IntArray]]) -> tuple[float, float]:
    """Standard error and its class part, by looking at every pair of slots."""
    cells = [  # (episode, class, own score, score of the task)
        (e, int(ids[e, w]), r[e, w], r[e].sum())
        for values, ids in parts
        for r in [(values - values.mean()) / values.size]
        for e in range(len(r))
        for w in range(r.shape[1])
    ]
    episodes = len(parts[0][0])
    classes = len({c for _, c, *_ in cells})
    way = parts[0][0].shape[1]
    small = classes / (classes - 1)
    variance, own, whole = 0.0, 0.0, 0.0
    for e, c, r, d in cells:
        for e2, c2, r2, d2 in cells:
            variance += (e == e2) * r * r2
            own += (c == c2) * r * r2 * (small - (e == e2))
            whole += (c == c2) * d * d2 * (small - (e == e2))
    finite = ((classes - 1) / (classes - way)) ** 2
    between = max(0.0, own, whole * finite)
    return (variance * episodes / (episodes - 1) + between) ** 0.5, between**0.5


@pytest.mark.parametrize("seed", range(4))
def test_two_way_clustering_is_the_sum_over_pairs_that_share_something(seed: int) -> None:
    rng = np.random.default_rng(seed)
    on, off = slots(rng), slots(rng)  # off draws its own classes: some episodes hold one twice
    for parts in ([on], [off, (-on[0], on[1])]):
        ours = classes_by_episodes(parts)
        assert (ours.se, ours.class_se) == pytest.approx(by_pairs(parts), rel=1e-9)
        assert ours.value == pytest.approx(sum(v.mean() for v, _ in parts), abs=1e-15)


def test_names_of_classes_and_order_of_episodes_do_not_matter(rng: np.random.Generator) -> None:
    values, ids = slots(rng)
    order, names = rng.permutation(len(ids)), rng.permutation(10_000)
    ours, theirs = (
        classes_by_episodes([(values, ids)]),
        classes_by_episodes([(values[order], names[ids[order]])]),
    )
    assert theirs.se == pytest.approx(ours.se, rel=1e-12)
    assert theirs.df == pytest.approx(ours.df, rel=1e-12)


def test_classes_that_never_return_leave_the_interval_over_episodes(
    rng: np.random.Generator,
) -> None:
    values, ids = rng.normal(0, 1, (300, 5)), np.arange(1500).reshape(300, 5)
    over_episodes = t_interval(values.mean(axis=1))
    assert classes_by_episodes([(values, ids)]).interval() == pytest.approx(over_episodes, rel=0.02)


def test_class_effects_widen_the_interval_and_episodes_do_not_narrow_it(
    rng: np.random.Generator,
) -> None:
    ids = np.argsort(rng.random((4000, 20)), axis=1)[:, :5]
    effect = rng.normal(0, 0.1, 20)
    values = effect[ids] + rng.normal(0, 0.1, ids.shape)
    few, many = (classes_by_episodes([(values[:n], ids[:n])]) for n in (400, 4000))
    planted = effect.std(ddof=1) / np.sqrt(20)
    assert many.class_se == pytest.approx(planted, rel=0.15)
    assert few.class_se == pytest.approx(planted, rel=0.25)
    low, high = t_interval(values.mean(axis=1))
    assert many.interval().high - many.interval().low > 5 * (high - low)


def test_every_episode_may_hold_every_class(rng: np.random.Generator) -> None:
    values, ids = rng.normal(0, 1, (50, 5)), np.tile(np.arange(5), (50, 1))
    ours = classes_by_episodes([(values, ids)])
    assert 0 < ours.se < 1
    assert 4 <= ours.df <= 53


def test_equal_slots_give_a_standard_error_of_zero() -> None:
    ids = np.arange(40).reshape(8, 5)
    nothing = classes_by_episodes([(np.zeros((8, 5)), ids)])
    assert (nothing.value, nothing.se, nothing.p) == (0.0, 0.0, 1.0)
    assert nothing.interval() == (0.0, 0.0)
    assert classes_by_episodes([(np.full((8, 5), 0.25), ids)]).p == 0.0


def test_the_p_value_and_the_interval_never_disagree(rng: np.random.Generator) -> None:
    for shift in np.linspace(-1.5, 1.5, 31):
        values, ids = slots(rng)
        ours = classes_by_episodes([(values - values.mean() + shift, ids)])
        low, high = ours.interval()
        assert (ours.p < 0.05) == (low > 0 or high < 0)


def test_slots_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    values, ids = slots(rng)
    for parts, word in (
        ([(values, ids[:, :2])], "one shape"),
        ([(values * np.nan, ids)], "finite"),
        ([(values[:1], ids[:1])], "an interval needs two of each"),
        ([(values, ids * 0)], "an interval needs two of each"),
        ([(values, ids), (values[:9], ids[:9])], "same episodes"),
    ):
        with pytest.raises(StatisticsError, match=word):
            classes_by_episodes(parts)


# ---- shares


@pytest.mark.parametrize(("k", "n"), [(0, 20), (20, 20), (7, 20), (431, 600)])
def test_wilsons_interval_is_scipys(k: int, n: int) -> None:
    theirs = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(k / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


# ---- tests


def test_sign_flips_reach_the_exact_permutation_p_value(rng: np.random.Generator) -> None:
    counts = np.repeat([1 / 75, -1 / 75], [11, 5])  # with a zero, two sizes among 17
    for d in (rng.normal(0.4, 1, 11), rng.integers(-2, 5, 12) / 75, np.append(counts, [0.0])):
        signs = np.array(list(product([-1, 1], repeat=d.size)))
        exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12)
        assert sign_flip_p(d, resamples=200_000) == pytest.approx(exact, abs=0.005)


def test_no_difference_has_a_sign_flip_p_of_one_and_a_clear_one_has_the_least() -> None:
    assert sign_flip_p(np.zeros(50)) == 1.0
    assert sign_flip_p(np.full(50, 0.01), resamples=999) == 0.001


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (3, 3), (10, 2), (0, 9), (400, 460)])
def test_mcnemar_is_the_binomial_test_on_flips(gained: int, lost: int) -> None:
    flips = gained + lost
    theirs = stats.binomtest(gained, flips).pvalue if flips else 1.0
    assert mcnemar_p(gained, lost) == pytest.approx(theirs, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferronis(p: list[float]) -> None:
    """A hypothesis is rejected when every set that holds it is: the definition, by brute force."""
    sets = [s for r in range(1, len(p) + 1) for s in combinations(range(len(p)), r)]
    closed = [
        max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(len(p))
    ]
    assert holm(p) == pytest.approx(closed, abs=1e-12)


def test_holm_of_a_worked_example_and_of_nothing() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)


def test_tost_is_the_worse_of_two_one_sided_tests(rng: np.random.Generator) -> None:
    d = rng.normal(0.1, 1, 40)
    for margin in (0.1, 0.3, 0.5):
        theirs = max(
            stats.ttest_1samp(d, -margin, alternative="greater").pvalue,
            stats.ttest_1samp(d, margin, alternative="less").pvalue,
        )
        ours = tost_p(d.mean(), d.std(ddof=1) / np.sqrt(40), 39, margin)
        assert ours == pytest.approx(theirs, abs=1e-12)
        low, high = t_interval(d, 0.9)
        assert (ours < 0.05) == (-margin < low and high < margin)
    assert (tost_p(0, 0, 9, 0.1), tost_p(0.1, 0, 9, 0.1)) == (0.0, 1.0)


def test_the_detectable_effect_is_found_four_times_in_five(rng: np.random.Generator) -> None:
    effect = minimum_detectable_effect(0.02, 300)
    p = np.asarray(stats.ttest_1samp(rng.normal(effect, 0.02, (4000, 300)), 0, axis=1).pvalue)
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.02)


# ---- seeds


def test_the_interval_over_seeds_counts_training_runs_only(rng: np.random.Generator) -> None:
    d = rng.normal(0, 1, (5, 400))
    theirs = stats.ttest_1samp(d.mean(axis=1), 0).confidence_interval(0.95)
    assert seed_interval(d) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert seed_interval(np.tile(d, 9)) == pytest.approx(seed_interval(d), abs=1e-12)


def test_the_hierarchical_bootstrap_is_the_plain_loop(rng: np.random.Generator) -> None:
    d = rng.normal(0, 1, (6, 1)) + rng.normal(0, 2, (1, 30)) + rng.normal(0, 1, (6, 30))
    loop = [d[rng.integers(0, 6, 6)][:, rng.integers(0, 30, 30)].mean() for _ in range(10_000)]
    ours = hierarchical_interval(d)
    assert ours == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])), abs=0.06)
    assert ours == hierarchical_interval(d, seed=0)


def test_one_seed_says_nothing_about_a_method() -> None:
    for function in (seed_interval, hierarchical_interval, seeds_by_episodes):
        with pytest.raises(StatisticsError, match="one training run"):
            function(np.zeros((1, 50)))


def test_seeds_that_agree_exactly_give_no_width() -> None:
    assert seed_interval(np.zeros((5, 20))) == (0.0, 0.0)
    assert hierarchical_interval(np.zeros((5, 20))) == (0.0, 0.0)
    assert seeds_by_episodes(np.zeros((5, 20))).interval() == (0.0, 0.0)


# ---- seeds and classes


def test_seeds_that_agree_leave_the_interval_over_classes(rng: np.random.Generator) -> None:
    values, ids = rng.normal(0, 1, (60, 5)), np.argsort(rng.random((60, 20)), axis=1)[:, :5]
    ours = seeds_by_classes([(np.broadcast_to(values, (5, 60, 5)), ids)])
    theirs = classes_by_episodes([(values, ids)])
    assert ours.interval() == pytest.approx(theirs.interval(), abs=1e-12)
    assert ours.class_se == theirs.class_se


def test_seeds_that_differ_far_more_than_all_else_leave_the_interval_over_seeds(
    rng: np.random.Generator,
) -> None:
    seeds = rng.normal(0, 1, (5, 1, 1))
    values = seeds + rng.normal(0, 1e-4, (5, 60, 5))
    ids = np.argsort(rng.random((60, 20)), axis=1)[:, :5]
    ours = seeds_by_classes([(values, ids)]).interval()  # 1/E of the seeds is taken for noise
    theirs = seed_interval(values.mean(axis=2))
    assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.02)


def test_parts_over_other_episodes_are_refused(rng: np.random.Generator) -> None:
    ids = np.argsort(rng.random((60, 20)), axis=1)[:, :5]
    values = rng.normal(0, 1, (5, 60, 5))
    for parts in ([(values[0], ids)], [(values, ids), (values[:, :50], ids[:50])]):
        with pytest.raises(StatisticsError, match=r"\(S, E, W\) arrays"):
            seeds_by_classes(parts)
