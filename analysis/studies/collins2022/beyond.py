"""The claims that leave the formulas: a network, features of tasks, finitely many training tasks.

Each experiment is run once by a function that returns plain results, and read by another that turns
them into a claim, so that a figure shows exactly what the verdict was computed from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..study import Claim, Settings
from .claims import ABSTRACT
from .examples import BASE
from .hardness import fit_heads, head_rates, measure_landscape, split_by_rate
from .joint import BestRate, MetaTraining, best_rate, best_rate_with_many_tasks, learnt_risks
from .mixture import Array
from .rules import every, exact, inside
from .setting import Landscape
from .simulation import Estimate, simulate_starts
from .two_layer import Outcome, Scenario, Training, median_interval, train_and_test

NETWORK = (
    Scenario("hard tasks far and packed"),
    Scenario("no hardness gap", rho_hard=1.0),
    Scenario("same centre", distance=0.0),
    Scenario("hard tasks scattered", r_hard=3.0),
)
"""The four landscapes on which the claim about networks rests."""

NETWORK_MORE = (
    Scenario("easy tasks scattered", r_easy=1.0),
    Scenario("ten steps", steps=10),
    Scenario("half the step size", alpha=0.4),
)
"""Three more for the full run: what the linear theory says about κ, K and α."""

FEATURES = replace(BASE, dim=16, noise=0.1, n_train=400, n_test=400)
"""Tasks of known hardness; each population draws its own hardness, distance and scatter."""

MEETING = Landscape(
    dim=20,
    alpha=1.0,
    rho_easy=1.0,
    rho_hard=0.1,
    p_hard=0.5,
    distance=2.0,
    r_easy=0.3,
    r_hard=0.3,
    n_test=400,
)
"""Where this paper and Bernacchia (2021) disagree on the sign of the training rate."""

NOISES = (0.1, 0.25, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
TASK_COUNTS = (4, 6, 10, 20, 40, 80, 160)


def run_network(settings: Settings) -> list[Outcome]:
    """Train the two-layer students."""
    if settings.quick:
        return train_and_test(NETWORK, Training(10, outer_steps=100, seed=settings.seed))
    return train_and_test(NETWORK + NETWORK_MORE, Training(25, seed=settings.seed))


def network_claim(outcomes: Sequence[Outcome]) -> Claim:
    """C-B9: the conditions on the landscape carry over to a two-layer network."""
    base, equal, together, scattered = outcomes[:4]
    shift = median_interval(base.maml_position - base.nal_position)
    ratios = [median_interval(o.ratio) for o in (base, equal, together, scattered)]
    pays = np.median(base.maml_easy / base.nal_easy), np.median(base.maml_hard / base.nal_hard)
    texts = [f"{m:.2f} [{low:.2f}, {high:.2f}]" for m, low, high in ratios]
    return Claim(
        id="C-B9",
        statement="In a two-layer network too, MAML gains much where hard tasks are packed and "
        "distant, and little where they are not harder, not distant, or scattered.",
        source=ABSTRACT + "; the experiment is derived",
        published="numerical and analytical results suggest that the insights apply to two-layer "
        "networks (no number in the abstract)",
        published_status="read",
        measured=f"median risk ratio over {len(base.ratio)} geometries: {texts[0]}; no hardness "
        f"gap {texts[1]}; same centre {texts[2]}; hard tasks scattered {texts[3]}; MAML lies "
        f"{shift[0]:.2f} of the way further to the hard centre",
        estimate=ratios[0][0],
        interval=ratios[0][1:],
        rule="medians over geometries with their 95 % intervals: ratio above 2.3; below 1.1 "
        "without hardness gap and with one centre; below 1.35 with hard tasks scattered; MAML "
        "more than 0.1 nearer the hard centre than NAL",
        verdict=every(
            inside(ratios[0][1:], low=2.3),
            inside(ratios[1][1:], high=1.1),
            inside(ratios[2][1:], high=1.1),
            inside(ratios[3][1:], high=1.35),
            inside(shift[1:], low=0.1),
        ),
        note=f"MAML pays on easy tasks (risk × {pays[0]:.1f}) to win on hard ones (× "
        f"{pays[1]:.2f}). Without a gap in input variance single geometries reach "
        f"{equal.ratio.max():.2f}: a network's curvature depends on where the centres lie, so "
        "equal variance is not quite equal hardness. One geometry alone would not have shown this.",
    )


def scattering_claim(outcomes: Sequence[Outcome]) -> Claim:
    """C-B9b: the part of C-B9 about scattered hard tasks, measured against the packed case."""
    base, scattered = outcomes[0], outcomes[3]
    kept = median_interval((scattered.ratio - 1) / (base.ratio - 1))
    return Claim(
        id="C-B9b",
        statement="In a two-layer network scattering the hard tasks takes most of MAML's relative "
        "gain away.",
        source="derived, after C-B9 had been measured",
        published=None,
        published_status="derived",
        measured=f"of the gain with packed hard tasks scattering keeps {kept[0]:.3f} "
        f"[{kept[1]:.3f}, {kept[2]:.3f}] (median over {len(base.ratio)} geometries)",
        estimate=kept[0],
        interval=kept[1:],
        rule="the 95 % interval of the median of (G − 1) scattered over (G − 1) packed wholly "
        "below 1/3",
        verdict=inside(kept[1:], high=1 / 3),
        note="Statement and rule are ours and were written after the absolute limit of 1.35 in "
        "C-B9 had turned out too close to call; it does not replace C-B9.",
    )


@dataclass(frozen=True)
class FeatureRun:
    """One population of 60 tasks: rates measured, gain predicted, gain realised.

    Args:
        land: The true landscape, for comparison only.
        rates: Rate of each task ``(60,)``.
        curvature: Its estimated input variance ``(60,)``.
        truly_hard: Which tasks were planted as hard ``(60,)``.
        found: Whether the split by rate is exactly that.
        predicted: Gain predicted from the 60 tasks.
        realised: Gain of the two predicted starts on fresh tasks.
        a: Estimated position of NAL.
        b: Estimated position of MAML.
    """

    land: Landscape
    rates: Array
    curvature: Array
    truly_hard: NDArray[np.bool_]
    found: bool
    predicted: float
    realised: Estimate
    a: float
    b: float


def run_features(settings: Settings) -> list[FeatureRun]:
    """Measure hardness on 60 tasks, predict the gain, and realise it on fresh tasks."""
    repeats, fresh = (8, 800) if settings.quick else (24, 4_000)
    return [_feature_run(settings.seed + i, tasks=60, fresh=fresh) for i in range(repeats)]


def _feature_run(seed: int, *, tasks: int, fresh: int) -> FeatureRun:
    rng = np.random.default_rng(seed)
    land = replace(
        FEATURES,
        rho_hard=float(rng.uniform(0.05, 0.3)),
        distance=float(rng.uniform(1, 3)),
        r_easy=float(rng.uniform(0.2, 0.8)),
        r_hard=float(rng.uniform(0.2, 0.8)),
    )
    rows = int(land.n_train)
    hard = np.arange(tasks) % 2 == 1
    scale = np.sqrt(np.where(hard, land.rho_hard, land.rho_easy))[:, None, None]
    radius = np.where(hard, land.r_hard, land.r_easy)[:, None] / np.sqrt(land.dim)
    optima = radius * rng.standard_normal((tasks, land.dim))
    optima[:, 0] += hard * land.distance
    support, query = (scale * rng.standard_normal((tasks, rows, land.dim)) for _ in range(2))
    labels = (support @ optima[..., None])[..., 0]
    labels = labels + land.noise * rng.standard_normal(labels.shape)

    rates = head_rates(support, labels, step=0.3, steps=3)
    split = split_by_rate(rates.rate)
    heads = fit_heads(support, labels)
    measured = measure_landscape(support, query, heads, split.hard, alpha=land.alpha)
    realised = simulate_starts(
        land, measured.nal[:, 0], measured.maml[:, 0], tasks=fresh, seed=seed + 10_000
    )
    return FeatureRun(
        land=land,
        rates=rates.rate,
        curvature=rates.curvature,
        truly_hard=hard,
        found=bool((split.hard == hard).all()),
        predicted=measured.gain,
        realised=realised.gain,
        a=measured.a,
        b=measured.b,
    )


def features_claim(runs: Sequence[FeatureRun]) -> Claim:
    """C-B10: hardness read from gradient descent on frozen features predicts the gain."""
    quotient = np.array([r.predicted / r.realised.mean for r in runs])
    half = float(stats.t.ppf(0.975, len(runs) - 1) * stats.sem(quotient))
    centre = float(quotient.mean())
    easy = np.concatenate([r.curvature[~r.truly_hard] / r.land.rho_easy for r in runs])
    hard = np.concatenate([r.curvature[r.truly_hard] / r.land.rho_hard for r in runs])
    found = sum(r.found for r in runs)
    return Claim(
        id="C-B10",
        statement="Hardness can be read from the rate at which gradient descent fits a head on "
        "frozen features, and with it the gain of training for adaptation predicted.",
        source=ABSTRACT + " (hardness as a rate); estimator and prediction are derived",
        published="hardness is related to the rate that gradient descent converges on the task",
        published_status="read",
        measured=f"input variance read from rates {easy.mean():.2f} ± {easy.std():.2f} times the "
        f"true one (easy), {hard.mean():.2f} ± {hard.std():.2f} (hard); all 60 tasks told apart in "
        f"{found} of {len(runs)} populations; predicted over realised gain {centre:.3f} ± "
        f"{half:.3f}",
        estimate=centre,
        interval=(centre - half, centre + half),
        rule="every task told apart in every population, and the interval of predicted over "
        "realised gain within [0.8, 1.2]",
        verdict=every(
            exact(found == len(runs)), inside((centre - half, centre + half), low=0.8, high=1.2)
        ),
        note="Planted tasks, whose hardness is known; each population has its own hardness, "
        "distance and scatter. 95 % interval (Student) over populations of 60 tasks.",
    )


@dataclass(frozen=True)
class Meeting:
    """The phase diagram: the best training rate for each distance, number of tasks and noise."""

    best: Mapping[tuple[float, int, float], BestRate]
    many_tasks: Mapping[float, float]
    runs: int


def run_meeting(settings: Settings) -> Meeting:
    """Meta-train exactly in every cell of the phase diagram."""
    runs = 100 if settings.quick else 600
    best: dict[tuple[float, int, float], BestRate] = {}
    limits: dict[float, float] = {}
    for distance in (0.0, 2.0):
        land = replace(MEETING, distance=distance)
        for tasks in TASK_COUNTS:
            # Few tasks scatter more and cost less, so they get more runs.
            repeats = 4 * runs if tasks <= 10 else runs
            training = MetaTraining(tasks, runs=repeats, seed=settings.seed)
            risks = learnt_risks(land, training, NOISES)
            for noise, each in zip(NOISES, risks, strict=True):
                best[distance, tasks, noise] = best_rate(each, training.rates)
        limits[distance] = best_rate_with_many_tasks(land, MetaTraining(2))
    return Meeting(best, limits, runs)


def meeting_claim(meeting: Meeting) -> Claim:
    """C-B11: the sign of the best training rate flips with the number of tasks."""
    few, many = meeting.best[2.0, 10, 1.0], meeting.best[2.0, 40, 1.0]
    together = [meeting.best[0.0, m, 1.0] for m in TASK_COUNTS]
    flips = few.sign == -1 and many.sign == 1
    contrary = few.sign == 1 or many.sign == -1
    return Claim(
        id="C-B11",
        statement="Label noise and few tasks make the best training rate negative (Bernacchia "
        "2021); a hard, distant, packed cluster seen through enough tasks makes it positive.",
        source="derived: the models of Bernacchia (2021) and of this paper in one simulation",
        published=None,
        published_status="derived",
        measured=f"σ = 1, R = 2: best rate {few.rate:+.1f} with 10 tasks (z {few.margin.z(0):.1f} "
        f"against 0), {many.rate:+.1f} with 40 (z {many.margin.z(0):.1f}), "
        f"{meeting.many_tasks[2.0]:+.1f} with infinitely many; R = 0: negative in "
        f"{sum(t.sign == -1 for t in together)} of {len(together)} task counts",
        estimate=many.rate,
        rule="at σ = 1 and R = 2 the best of the rates is below 0 with 10 tasks and above 0 with "
        "40, each better than 0 by 3 standard errors on runs that did not choose it",
        verdict="SUPPORTED" if flips else "REFUTED" if contrary else "NOT SHOWN",
        note=f"At least {meeting.runs} exact meta-trainings a cell. The test rate is held at α_r = "
        "1; a rate tied to it or learnt with it answers another question.",
    )
