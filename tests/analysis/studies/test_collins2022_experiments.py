"""The landscape beyond formulas: raw samples, a network, and the meeting with Bernacchia (2021).

Every simulation is held against one written out afresh here, or against a formula it does not use.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metaprobe.analysis.studies.bernacchia2021 import expected_test_loss
from metaprobe.analysis.studies.collins2022 import beyond, closed_form
from metaprobe.analysis.studies.collins2022.closed_form import (
    gain,
    risk_at,
    starts,
    with_samples,
)
from metaprobe.analysis.studies.collins2022.examples import random_landscape
from metaprobe.analysis.studies.collins2022.joint import (
    MetaTraining,
    best_rate,
    best_rate_with_many_tasks,
    learnt_risks,
)
from metaprobe.analysis.studies.collins2022.mixture import (
    adapted_curvature,
    adapted_noise,
    mixture_risk,
    squared_length,
    weighted_centre,
)
from metaprobe.analysis.studies.collins2022.setting import Landscape, LandscapeError
from metaprobe.analysis.studies.collins2022.simulation import (
    Estimate,
    fitted_position,
    fitted_start,
    simulate_curvature,
    simulate_risks,
)
from metaprobe.analysis.studies.collins2022.two_layer import (
    SIGNS,
    Scenario,
    Training,
    adapt,
    median_interval,
    predict,
    train_and_test,
)

Array = NDArray[np.float64]


def _literal_risk(
    rng: np.random.Generator, land: Landscape, position: float, tasks: int
) -> Estimate:
    """Rows and labels drawn, the gradient of the squared loss written out, the loss compared."""
    mean, variance = 0.0, 0.0
    rows = int(land.n_test)
    start = position * land.distance * np.eye(land.dim)[0]
    for kind, share, rho, radius in zip(
        (0, 1), land.shares, land.variances, (land.r_easy, land.r_hard), strict=True
    ):
        centre = kind * land.distance * np.eye(land.dim)[0]
        optima = centre + radius * rng.standard_normal((tasks, land.dim)) / math.sqrt(land.dim)
        x = math.sqrt(rho) * rng.standard_normal((tasks, rows, land.dim))
        y = (x * optima[:, None]).sum(2) + land.noise * rng.standard_normal((tasks, rows))
        wrong = (x * start).sum(2) - y
        adapted = start - land.alpha * (x * wrong[..., None]).mean(1)
        excess = 0.5 * rho * ((adapted - optima) ** 2).sum(1)
        mean += share * excess.mean()
        variance += share**2 * excess.var(ddof=1) / tasks
    return Estimate(mean, math.sqrt(variance))


def test_closed_forms_agree_with_literal_gradient_steps_at_twenty_random_settings() -> None:
    rng = np.random.default_rng(20)
    for _ in range(20):
        land = replace(
            random_landscape(rng),
            dim=int(rng.integers(1, 9)),
            n_train=float(rng.integers(5, 60)),
            n_test=float(rng.integers(5, 60)),
        )
        for position in starts(land):
            simulated = _literal_risk(rng, land, position, tasks=2_000)
            assert abs(simulated.z(risk_at(land, position))) <= 4


def test_the_studys_own_simulation_agrees_at_twenty_random_settings() -> None:
    rng = np.random.default_rng(21)
    for seed in range(20):
        land = with_samples(random_landscape(rng), float(rng.integers(5, 80)))
        found = simulate_risks(land, tasks=2_000, seed=seed)
        nal, maml = closed_form.risks(land)
        assert abs(found.nal.z(nal)) <= 4
        assert abs(found.maml.z(maml)) <= 4
        assert abs(found.gain.z(gain(land))) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_over_sampled_tasks_ends_where_the_closed_form_says(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    land = with_samples(random_landscape(rng), float(rng.integers(5, 40)))
    land = replace(land, distance=2.0, dim=int(rng.integers(2, 8)))
    fit = fitted_position(land, tasks=2_000, seed=seed)
    assert abs(fit.z(starts(land)[1])) <= 4.5


def test_any_covariance_leaves_the_curvature_of_the_closed_form() -> None:
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((4, 4))
    covariance = factor @ factor.T / 4
    mean, error, noise = simulate_curvature(
        covariance, alpha=0.3, n=6, noise=0.5, draws=20_000, seed=1
    )
    z = (mean - adapted_curvature(covariance, alpha=0.3, n=6)) / error
    assert np.abs(z).max() <= 4.5
    assert abs(noise.z(float(adapted_noise(covariance, alpha=0.3, n=6, noise=0.5)))) <= 4.5


def test_any_mixture_is_trained_to_the_weighted_centre_and_gains_a_squared_distance() -> None:
    rng = np.random.default_rng(5)
    factors = rng.standard_normal((5, 6, 6)) / 2
    covariances = factors @ factors.transpose(0, 2, 1)
    optima, shares = rng.standard_normal((5, 6)), np.full(5, 0.2)
    curvatures = adapted_curvature(covariances, alpha=0.4, n=8)
    nal = weighted_centre(covariances, optima, shares)
    maml = weighted_centre(curvatures, optima, shares)
    fitted, error = fitted_start(
        covariances, optima, alpha=0.4, n=8, noise=0.1, draws=5_000, seed=2
    )
    assert (np.abs(fitted - maml) <= 4.5 * error).all()
    assert (np.abs(fitted - nal) > 4.5 * error).any()
    difference = mixture_risk(nal, curvatures, optima, shares) - mixture_risk(
        maml, curvatures, optima, shares
    )
    metric = np.einsum("t,tij->ij", shares, curvatures)
    assert difference == pytest.approx(0.5 * squared_length(nal - maml, metric), rel=1e-10)


def test_the_two_type_formula_is_the_general_one_with_round_covariances() -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        land = random_landscape(rng)
        covariances = np.array(land.variances)[:, None, None] * np.eye(land.dim)
        optima = np.outer([0.0, 1.0], np.eye(land.dim)[0])
        shares = np.array(land.shares)
        curvatures = adapted_curvature(covariances, alpha=land.alpha, n=land.n_train)
        a = weighted_centre(covariances, optima, shares)[0]
        b = weighted_centre(curvatures, optima, shares)[0]
        assert (a, b) == pytest.approx(starts(land), rel=1e-9)


def test_written_out_inner_steps_and_their_meta_gradient_equal_autograd() -> None:
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    start, inner, outer = normal(3, 6), normal(20, 6), normal(20, 6)
    labels, truth = normal(20), normal(20)
    signs = torch.tensor(SIGNS, dtype=torch.float64)

    def plain(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(x @ weights.T) @ signs

    first = start.clone().requires_grad_()
    adapted = adapt(first, inner, labels, torch.tensor(0.8, dtype=torch.float64), 5)
    (fast,) = torch.autograd.grad((predict(adapted, outer) - truth).square().mean(), [first])

    second = start.clone().requires_grad_()
    weights: torch.Tensor = second
    for _ in range(5):
        loss = 0.5 * (plain(weights, inner) - labels).square().mean()
        (slope,) = torch.autograd.grad(loss, [weights], create_graph=True)
        weights = weights - 0.8 * slope
    (slow,) = torch.autograd.grad((plain(weights, outer) - truth).square().mean(), [second])
    torch.testing.assert_close(adapted, weights, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_worlds_trained_together_do_not_touch_each_other() -> None:
    training = Training(geometries=2, outer_steps=5, tasks=4, samples=16, test_tasks=20)
    many = [Scenario("base"), Scenario("flat", rho_hard=1.0), Scenario("slow", steps=2)]
    together = train_and_test(many, training)
    for scenario, outcome in zip(many, together, strict=True):
        (alone,) = train_and_test([scenario], training)
        np.testing.assert_allclose(alone.ratio, outcome.ratio, rtol=1e-4)
        np.testing.assert_allclose(alone.maml_position, outcome.maml_position, atol=1e-5)


def test_scenarios_need_their_own_names() -> None:
    with pytest.raises(LandscapeError, match="share a name"):
        train_and_test([Scenario("a"), Scenario("a")], Training(2, outer_steps=1, test_tasks=20))


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for size in (6, 9, 25):
        covers = 0
        for _ in range(2_000):
            middle, low, high = median_interval(rng.exponential(size=size))
            assert low <= middle <= high
            covers += low <= math.log(2) <= high
        assert covers / 2_000 >= 0.94
    with pytest.raises(LandscapeError, match="at least 6"):
        median_interval(np.arange(5.0))


def _literal_meta_training(
    rng: np.random.Generator, land: Landscape, plan: MetaTraining, rate: float, noise: float
) -> float:
    """Stack the outer rows of all tasks, solve least squares, score on the true risk."""
    rows, sides = [], []
    centre = land.distance * np.eye(land.dim)[0]
    for task in range(plan.tasks):
        kind = task % 2
        rho, radius = land.variances[kind], (land.r_easy, land.r_hard)[kind]
        w = kind * centre + radius / math.sqrt(land.dim) * rng.standard_normal(land.dim)
        x_in = math.sqrt(rho) * rng.standard_normal((plan.n_inner, land.dim))
        x_out = math.sqrt(rho) * rng.standard_normal((plan.n_outer, land.dim))
        y_in = x_in @ w + noise * rng.standard_normal(plan.n_inner)
        y_out = x_out @ w + noise * rng.standard_normal(plan.n_outer)
        pulled = rate / plan.n_inner * x_in.T
        rows.append(x_out - x_out @ pulled @ x_in)
        sides.append(y_out - x_out @ pulled @ y_in)
    start = np.linalg.lstsq(np.concatenate(rows), np.concatenate(sides), rcond=None)[0]
    risk = 0.0
    for share, rho, radius, kind in zip(
        land.shares, land.variances, (land.r_easy, land.r_hard), (0, 1), strict=True
    ):
        away = ((start - kind * centre) ** 2).sum() + radius**2
        left = (1 - land.alpha * rho) ** 2 + (land.alpha * rho) ** 2 * (land.dim + 1) / land.n_test
        fitted = land.alpha**2 * noise**2 * land.dim * rho**2 / land.n_test
        risk += 0.5 * share * (rho * left * away + fitted)
    return risk


def test_exact_meta_training_agrees_with_stacked_least_squares() -> None:
    land = replace(beyond.MEETING, dim=6, n_test=30)
    plan = MetaTraining(4, n_inner=8, n_outer=5, rates=(-0.7, 0.0, 0.6), runs=400, seed=3)
    fast = learnt_risks(land, plan, (0.2, 1.0))
    rng = np.random.default_rng(9)
    for noise, each in zip((0.2, 1.0), fast, strict=True):
        for rate, risk in zip(plan.rates, each.T, strict=True):
            slow = [_literal_meta_training(rng, land, plan, rate, noise) for _ in range(300)]
            error = math.hypot(risk.std() / math.sqrt(400), np.std(slow) / math.sqrt(300))
            assert abs(risk.mean() - np.mean(slow)) <= 4 * error


def test_the_sign_of_the_best_training_rate_flips_with_the_number_of_tasks() -> None:
    land = beyond.MEETING
    found = {}
    for tasks in (10, 40):
        plan = MetaTraining(tasks, runs=200, seed=1)
        quiet, loud = learnt_risks(land, plan, (0.1, 1.0))
        found[tasks] = best_rate(quiet, plan.rates), best_rate(loud, plan.rates)
    assert found[10][1].rate < 0 < found[40][1].rate
    assert (found[10][1].sign, found[40][1].sign) == (-1, 1)
    assert found[10][0].rate == found[40][0].rate == pytest.approx(0.6)
    assert best_rate_with_many_tasks(land, MetaTraining(2)) == pytest.approx(0.6)
    assert math.isnan(best_rate_with_many_tasks(replace(land, distance=0.0), MetaTraining(2)))


def test_one_kind_of_task_is_bernacchias_model() -> None:
    """Equal variances, one centre: the meta-training of the other paper, its formula as judge."""
    radius, noise, tasks, n_inner, n_outer, dim = 0.8, 0.7, 40, 12, 10, 8
    land = Landscape(
        dim=dim,
        alpha=0.3,
        rho_easy=1.0,
        rho_hard=1.0,
        p_hard=0.5,
        r_easy=radius,
        r_hard=radius,
        n_test=15,
    )
    rates = (-0.4, 0.0, 0.3)
    plan = MetaTraining(tasks, n_inner=n_inner, n_outer=n_outer, rates=rates, runs=1_500, seed=5)
    (risks,) = learnt_risks(land, plan, (noise,))
    for rate, risk in zip(rates, risks.T, strict=True):
        loss = expected_test_loss(
            alpha_train=rate,
            alpha_test=0.3,
            n_train=n_inner,
            n_val=n_outer,
            n_test=15,
            tasks=tasks,
            dim=dim,
            noise=noise,
            spread=radius,
            form="refined",
        )
        # Its loss counts the irreducible σ²/2; its next term, of order 1/m³, is well below 1e-3.
        expected = loss - noise**2 / 2
        error = float(risk.std() / math.sqrt(len(risk)))
        assert abs(risk.mean() - expected) <= 4 * error + 1e-3 * expected


def test_a_winner_is_judged_on_runs_that_did_not_choose_it() -> None:
    """Under pure noise the chosen rate is no better than any: its margin must not look real."""
    rng = np.random.default_rng(0)
    rates = tuple(round(0.1 * i, 1) for i in range(-5, 6))
    signs = [best_rate(rng.standard_normal((100, len(rates))), rates).sign for _ in range(200)]
    assert sum(sign != 0 for sign in signs) <= 4


def test_meta_training_that_does_not_determine_its_start_is_refused() -> None:
    with pytest.raises(LandscapeError, match="outer rows"):
        learnt_risks(beyond.MEETING, MetaTraining(2, n_outer=5), (1.0,))
