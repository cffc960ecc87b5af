"""Collins 2022: raw samples against the closed forms, each written out afresh here."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from metaprobe.analysis.studies.collins2022 import closed_form
from metaprobe.analysis.studies.collins2022.closed_form import (
    gain,
    risk_at,
    starts,
    with_samples,
)
from metaprobe.analysis.studies.collins2022.examples import random_landscape
from metaprobe.analysis.studies.collins2022.mixture import (
    adapted_curvature,
    adapted_noise,
    mixture_risk,
    squared_length,
    weighted_centre,
)
from metaprobe.analysis.studies.collins2022.setting import Landscape
from metaprobe.analysis.studies.collins2022.simulation import (
    Estimate,
    fitted_position,
    fitted_start,
    simulate_curvature,
    simulate_risks,
)


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


def test_least_squares_over_sampled_tasks_ends_where_the_closed_form_says() -> None:
    """At twenty random settings, in standard errors that are neither too wide nor too narrow."""
    rng = np.random.default_rng(22)
    deviations = []
    for seed in range(20):
        land = with_samples(random_landscape(rng), float(rng.integers(5, 40)))
        land = replace(land, distance=2.0, dim=int(rng.integers(2, 8)))
        fit = fitted_position(land, tasks=2_000, seed=seed)
        deviations.append(fit.z(starts(land)[1]))
    assert np.abs(deviations).max() <= 4
    assert 0.5 <= np.std(deviations) <= 1.6


def test_any_covariance_leaves_the_curvature_of_the_closed_form() -> None:
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((4, 4))
    covariance = factor @ factor.T / 4
    mean, error, noise = simulate_curvature(
        covariance, alpha=0.3, n=6, noise=0.5, draws=20_000, seed=1
    )
    z = (mean - adapted_curvature(covariance, alpha=0.3, n=6)) / error
    assert np.abs(z).max() <= 4
    assert abs(noise.z(float(adapted_noise(covariance, alpha=0.3, n=6, noise=0.5)))) <= 4


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
    assert (np.abs(fitted - maml) <= 4 * error).all()
    assert (np.abs(fitted - nal) > 4 * error).any()
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
