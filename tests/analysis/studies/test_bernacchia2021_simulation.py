"""Bernacchia 2021: the exact simulation against independent numpy and against exact values."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from metaprobe.analysis.studies.bernacchia2021 import (
    expected_test_loss,
    simulate_test_loss,
    simulation,
)
from metaprobe.analysis.studies.bernacchia2021.closed_form import (
    loss_from_displacement,
)
from metaprobe.analysis.studies.bernacchia2021.experiment import draw, literal_test_loss
from metaprobe.analysis.studies.bernacchia2021.network import tangent
from metaprobe.analysis.studies.bernacchia2021.published import FIGURE_2, FIGURE_3
from metaprobe.analysis.studies.bernacchia2021.rates import (
    displacement_at_zero,
)
from metaprobe.analysis.studies.bernacchia2021.setting import Setting
from metaprobe.analysis.studies.bernacchia2021.simulation import mean_and_error, simulate
from metaprobe.analysis.studies.bernacchia2021.spectrum import Shape, power_law, simulate_spectrum

OVER: dict[str, Any] = asdict(FIGURE_2)
UNDER: dict[str, Any] = asdict(FIGURE_3)


def changed(sizes: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return sizes | changes


def numpy_losses(s: Setting, alpha_t: float, alpha_r: float, runs: int, seed: int) -> np.ndarray:
    """An independent derivation: draw tasks and labels, stack the meta-regression, pinv, F1 by hand."""
    rng = np.random.default_rng(seed)
    losses = np.empty(runs)
    for run_ in range(runs):
        centre = rng.standard_normal(s.dim)
        direction = rng.standard_normal(s.dim)
        start = centre + s.init_distance * direction / np.linalg.norm(direction)
        rows, targets = [], []
        for _ in range(s.tasks):
            w = centre + s.spread / math.sqrt(s.dim) * rng.standard_normal(s.dim)
            xt, xv = rng.standard_normal((s.n_train, s.dim)), rng.standard_normal((s.n_val, s.dim))
            yt = xt @ w + s.noise * rng.standard_normal(s.n_train)
            yv = xv @ w + s.noise * rng.standard_normal(s.n_val)
            step = np.eye(s.dim) - alpha_t / s.n_train * xt.T @ xt
            rows.append(xv @ step)
            targets.append(yv - alpha_t / s.n_train * xv @ xt.T @ yt)
        b, gamma = np.concatenate(rows), np.concatenate(targets)
        omega = start + np.linalg.pinv(b) @ (gamma - b @ start)
        distance = np.sum((omega - centre) ** 2)
        shrink = (1 - alpha_r) ** 2 + alpha_r**2 * (s.dim + 1) / s.n_test
        losses[run_] = 0.5 * s.noise**2 * (1 + alpha_r**2 * s.dim / s.n_test)
        losses[run_] += 0.5 * shrink * (s.spread**2 + distance)
    return losses


def small_settings(count: int, seed: int) -> list[tuple[Setting, float, float]]:
    rng = np.random.default_rng(seed)
    drawn: list[tuple[Setting, float, float]] = []
    while len(drawn) < count:
        p, n_val, tasks = (int(rng.integers(*ends)) for ends in ((4, 25), (1, 8), (2, 9)))
        if abs(n_val * tasks - p) < 5:
            continue
        noise, spread, far = rng.uniform(0.2, 1.5, 3)
        setting = Setting(
            int(rng.integers(2, 20)), n_val, int(rng.integers(2, 20)), tasks, p, noise, spread, far
        )
        if setting.margin(1.0) >= 5:
            drawn.append((setting, float(rng.uniform(-1, 0.6)), float(rng.uniform(-0.2, 0.6))))
    return drawn


@pytest.mark.parametrize("place", range(20))
def test_simulation_agrees_with_an_independent_numpy_derivation(place: int) -> None:
    setting, alpha_t, alpha_r = small_settings(20, seed=3)[place]
    mean, error = simulate_test_loss(
        alpha_train=alpha_t, alpha_test=alpha_r, **asdict(setting), runs=600, seed=place
    )
    losses = numpy_losses(setting, alpha_t, alpha_r, runs=400, seed=1000 + place)
    other = losses.std(ddof=1) / math.sqrt(len(losses))
    assert abs(mean - losses.mean()) <= 4 * math.hypot(error, other)


@pytest.mark.parametrize("place", range(20))
def test_simulation_meets_the_exact_values_at_rate_zero(place: int) -> None:
    setting, _, alpha_r = small_settings(20, seed=4)[place]
    mean, error = simulate_test_loss(
        alpha_train=0.0, alpha_test=alpha_r, **asdict(setting), runs=1500, seed=place
    )
    moved = np.array(displacement_at_zero(setting))
    exact = float(loss_from_displacement(setting, np.array(alpha_r), moved))
    assert abs(mean - exact) <= 4 * error


def test_the_refined_form_is_within_errors_of_simulation_where_it_is_trusted() -> None:
    rng = np.random.default_rng(5)
    tried = 0
    while tried < 20:
        n_val, tasks = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        if n_val * tasks > 8:
            continue
        s = Setting(int(rng.integers(30, 60)), n_val, 20, tasks, 60, 1.0, 0.5)
        alpha_t = float(rng.uniform(-2, 2))
        mean, error = simulate_test_loss(
            alpha_train=alpha_t, alpha_test=0.2, **asdict(s), runs=300, seed=tried
        )
        refined = expected_test_loss(
            alpha_train=alpha_t, alpha_test=0.2, **asdict(s), form="refined"
        )
        assert abs(mean - refined) <= 4 * error + 3e-4
        tried += 1


def test_a_run_does_not_depend_on_the_chunk_it_is_drawn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = np.array([-0.4, 0.3])
    for s in (replace(FIGURE_2, dim=20), Setting(6, 5, 5, 4, 8, 1.0, 1.0)):
        whole = simulate(s, rates, runs=7, seed=1).parts
        monkeypatch.setattr(simulation, "CHUNK_NUMBERS", 1)
        single = simulate(s, rates, runs=7, seed=1).parts
        monkeypatch.undo()
        np.testing.assert_allclose(single.noise, whole.noise, rtol=1e-10)
        np.testing.assert_allclose(single.spread, whole.spread, rtol=1e-10)


def test_many_rates_at_once_equal_rates_one_by_one() -> None:
    rates = np.linspace(-0.8, 0.7, 9)
    for s in (replace(FIGURE_2, dim=20), Setting(6, 5, 5, 4, 8, 1.0, 1.0)):
        together = simulate(s, rates, runs=5, seed=2)
        for place, rate in enumerate(rates):
            alone = simulate(s, np.array([rate]), runs=5, seed=2)
            for one, other in zip(
                (
                    alone.parts.spread,
                    alone.parts.noise,
                    alone.residual_spread,
                    alone.residual_noise,
                ),
                (
                    together.parts.spread,
                    together.parts.noise,
                    together.residual_spread,
                    together.residual_noise,
                ),
                strict=True,
            ):
                np.testing.assert_allclose(other[:, place], one[:, 0], rtol=1e-7, atol=1e-13)


def test_the_same_seed_gives_the_same_number_and_another_does_not() -> None:
    given_ = changed(OVER, {"alpha_train": -1.0, "alpha_test": 0.2, "runs": 5})
    assert simulate_test_loss(**given_, seed=1) == simulate_test_loss(**given_, seed=1)
    assert simulate_test_loss(**given_, seed=1) != simulate_test_loss(**given_, seed=2)


def test_the_standard_error_is_infinite_where_no_variance_exists() -> None:
    near = changed(OVER, {"dim": 9})
    mean, error = simulate_test_loss(alpha_train=0.1, alpha_test=0.1, **near, runs=5, seed=0)
    assert math.isfinite(mean)
    assert error == math.inf


def test_the_literal_experiment_gives_the_loss_with_the_test_task_integrated_out() -> None:
    s = Setting(8, 2, 6, 3, 15, 1.0, 0.8, 0.6)
    literal = literal_test_loss(
        s, alpha_train=-0.4, alpha_test=0.2, runs=150, seed=0, test_tasks=30
    )
    solved = simulate(s, np.array([-0.4]), runs=600, seed=1)
    averaged = mean_and_error(solved.loss(s, np.array(0.2))[:, 0])
    assert abs(literal[0] - averaged[0]) <= 4 * math.hypot(literal[1], averaged[1])


def test_gradient_descent_through_the_inner_step_ends_at_the_pseudo_inverse_solution() -> None:
    for s in (replace(FIGURE_2, init_distance=1.0), Setting(6, 9, 5, 6, 8, 1.0, 1.0)):
        problem = draw(s, -0.3, np.random.default_rng(0))
        assert np.abs(problem.descend(steps=4000) - problem.solution()).max() <= 1e-8


def test_the_gradient_of_the_experiment_is_the_gradient_of_its_loss() -> None:
    problem = draw(Setting(6, 3, 5, 4, 8, 1.0, 1.0), 0.4, np.random.default_rng(1))
    at, step = np.linspace(-1, 1, 8), 1e-5
    for place, expected in enumerate(problem.gradient(at)):
        shift = step * np.eye(8)[place]
        high, low = (0.5 * np.mean(problem.residuals(at + sign * shift) ** 2) for sign in (1, -1))
        assert (high - low) / (2 * step) == pytest.approx(expected, rel=1e-6)


def test_what_meta_training_leaves_is_zero_over_and_the_residual_under() -> None:
    assert not simulate(FIGURE_2, np.array([0.2]), runs=2, seed=0).training_loss(FIGURE_2).any()
    s, rate = Setting(6, 9, 5, 6, 8, 1.1, 0.9), -0.3
    averaged = mean_and_error(
        simulate(s, np.array([rate]), runs=400, seed=1).training_loss(s)[:, 0]
    )
    rng = np.random.default_rng(2)
    left = []
    for _ in range(400):
        problem = draw(s, rate, rng)
        left.append(0.5 * np.mean(problem.residuals(problem.solution()) ** 2))
    drawn = mean_and_error(np.array(left))
    assert abs(averaged[0] - drawn[0]) <= 4 * math.hypot(averaged[1], drawn[1])


def test_equal_variances_give_back_the_isotropic_simulation() -> None:
    rate, alpha_r = -0.4, 0.15
    for s in (Setting(9, 2, 7, 3, 14, 1.0, 0.8, 0.6), Setting(6, 9, 5, 6, 8, 1.0, 0.8, 0.6)):
        shape = Shape(s.n_train, s.n_val, s.n_test, s.tasks)
        alone = simulate_spectrum(
            power_law(s.dim, 0.0),
            np.array([rate]),
            alpha_test=alpha_r,
            shape=shape,
            runs=600,
            seed=0,
        )
        total = s.spread**2 * alone.spread + s.noise**2 * alone.noise
        one = mean_and_error((total + s.init_distance**2 * alone.start)[:, 0])
        solved = simulate(s, np.array([rate]), runs=600, seed=1)
        other = mean_and_error(solved.loss(s, np.array(alpha_r))[:, 0])
        assert abs(one[0] - other[0]) <= 4 * math.hypot(one[1], other[1])


def test_with_unequal_variances_the_causes_disagree_about_the_sign() -> None:
    values = power_law(30, 1.0)
    steps = np.array([-1.0, 0.0, 1.0])
    losses = simulate_spectrum(
        values, steps / values.max(), alpha_test=0.0, shape=Shape(15, 2, 10, 3), runs=150, seed=0
    )
    start, spread, noise = (part.mean(axis=0) for part in losses)
    assert noise[0] < noise[1] < noise[2]
    assert start[0] < start[1] < start[2]
    assert spread[0] > spread[1] > spread[2]


def test_the_tangent_features_are_the_gradient_of_the_network() -> None:
    rng = np.random.default_rng(3)
    first, bias, last = rng.standard_normal((7, 3)), rng.standard_normal(7), rng.standard_normal(7)
    x = rng.standard_normal((5, 3))
    output, phi = tangent(x, first, bias, last)
    assert phi.shape == (5, 7 * 5)
    flat, step = np.concatenate([first.ravel(), bias, last]), 1e-6

    def at(theta: np.ndarray) -> np.ndarray:
        return tangent(x, theta[:21].reshape(7, 3), theta[21:28], theta[28:])[0]

    np.testing.assert_allclose(at(flat), output)
    for place in range(len(flat)):
        shift = step * np.eye(len(flat))[place]
        np.testing.assert_allclose(
            (at(flat + shift) - at(flat - shift)) / (2 * step), phi[:, place], atol=1e-7
        )
