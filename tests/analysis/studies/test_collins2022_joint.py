"""Collins 2022 meets Bernacchia 2021: exact meta-training on finitely many tasks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from metaprobe.analysis.studies.bernacchia2021 import expected_test_loss
from metaprobe.analysis.studies.collins2022 import beyond
from metaprobe.analysis.studies.collins2022.joint import (
    MetaTraining,
    best_rate,
    best_rate_with_many_tasks,
    learnt_risks,
)
from metaprobe.analysis.studies.collins2022.setting import Landscape, LandscapeError


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
