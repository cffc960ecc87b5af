"""Optimistic meta-gradients: rates, constants, bounds and warnings."""

import math

import numpy as np
import pytest

from metaprobe.analysis.studies.flennerhag2023 import optimise
from metaprobe.analysis.studies.flennerhag2023.problems import (
    Problem,
    conditioned_quadratic,
    log_uniform_quadratic,
    quadratic,
    rate_constant,
)
from metaprobe.analysis.studies.flennerhag2023.rates import (
    SETUPS,
    bound_ratios,
    conditioning_exponents,
    conditioning_table,
    gradient_descent_count,
    hint_values,
    logistic_runs,
    loglog_slope,
    preconditioned_curves,
    scale_values,
    stability_limit,
)


@pytest.fixture(scope="module")
def chain() -> Problem:
    return log_uniform_quadratic()


def slope_of(problem: Problem, label: str, first: int = 30, steps: int = 2000) -> float:
    return loglog_slope(SETUPS[label].values(problem, steps), first, steps)


@pytest.mark.parametrize(
    ("label", "slope", "width"),
    [
        ("GD", -1, 0.05),
        ("MG, constant weights", -1, 0.05),
        ("MG, growing weights, falling step", -1, 0.05),
        ("OMG", -2, 0.08),
        ("OMG, rising step", -2, 0.08),
        ("FISTA", -2, 0.1),
        ("AdaOMG", -2, 0.1),
    ],
)
def test_each_method_has_the_slope_its_theory_gives(
    chain: Problem, label: str, slope: float, width: float
) -> None:
    assert slope_of(chain, label) == pytest.approx(slope, abs=width)


@pytest.mark.parametrize("slope", [0.8, 1.2])
def test_slopes_follow_the_spectrum_of_the_problem(slope: float) -> None:
    problem = log_uniform_quadratic(600, 1e-10, slope)
    assert slope_of(problem, "MG, constant weights") == pytest.approx(-slope, abs=0.05)
    assert slope_of(problem, "OMG") == pytest.approx(-2 * slope, abs=0.1)


@pytest.mark.parametrize(("n", "lowest"), [(400, 1e-9), (300, 1e-10), (500, 1e-8)])
def test_the_constants_hold_at_other_sizes_too(n: int, lowest: float) -> None:
    problem, c, steps = log_uniform_quadratic(n, lowest), rate_constant(n, lowest), 1000
    end = {label: SETUPS[label].values(problem, steps)[-1] / c for label in SETUPS}
    assert end["MG, constant weights"] * steps == pytest.approx(1, abs=0.02)
    assert end["GD"] * steps == pytest.approx(0.5, abs=0.02)
    assert 7.5 <= end["OMG"] * steps**2 <= 8.0
    assert 3.75 <= end["OMG, rising step"] * steps**2 <= 4.0


def test_optimism_without_growing_weights_does_not_accelerate(chain: Problem) -> None:
    assert slope_of(chain, "OMG, constant weights") == pytest.approx(-1, abs=0.06)


def test_warning_growing_weights_without_optimism_look_accelerated_on_easy_problems(
    chain: Problem,
) -> None:
    assert slope_of(chain, "MG, growing weights") == pytest.approx(-2, abs=0.05)
    for run in logistic_runs(1, 0, 1000):
        assert loglog_slope(run["MG, growing weights"], 30, 1000) == pytest.approx(-2, abs=0.1)


def test_warning_adagrad_without_optimism_is_faster_than_its_guarantee(chain: Problem) -> None:
    assert -1.5 < slope_of(chain, "AdaMG") < -1.2


def test_logistic_regression_keeps_the_rates() -> None:
    for run in logistic_runs(1, 5, 2000):
        for label, slope in (("MG, constant weights", -1), ("OMG", -2), ("AdaOMG", -2)):
            assert loglog_slope(run[label], 30, 1000) == pytest.approx(slope, abs=0.1)
        assert run["MG, constant weights"][-1] > 100 * run["OMG"][-1]


def test_bounds_are_kept_and_the_first_is_tight() -> None:
    ratios = bound_ratios(1, 40, 100)
    assert ratios["B1"].max() <= 1 + 1e-9
    assert ratios["B2"].max() <= 1
    f = quadratic(np.array([0.7]), np.array([2.0]), np.zeros(1))
    first = optimise(f, f.start, method="mg", steps=1, beta=1 / 0.7).values[0]
    assert first == pytest.approx(0.7 * 2**2 / 2, rel=1e-12)


def test_adagrad_does_not_see_the_scale_of_the_function() -> None:
    values = scale_values((1e-3, 1.0, 1e3), 300)
    np.testing.assert_allclose(values, values[1], rtol=1e-9)


def test_the_condition_number_enters_by_its_root_only_with_momentum() -> None:
    exponents = conditioning_exponents(conditioning_table((100, 1000, 10000), 2, 11)).mean(axis=1)
    assert exponents["GD, step 1/L"] == pytest.approx(1, abs=0.05)
    assert exponents["GD, step 2/(L+m)"] == pytest.approx(1, abs=0.05)
    assert exponents["heavy ball = MG"] == pytest.approx(0.5, abs=0.06)
    assert exponents["Nesterov = OMG"] == pytest.approx(0.5, abs=0.03)


def test_the_closed_count_of_gradient_descent_is_the_walked_one() -> None:
    f = conditioned_quadratic(200, np.random.default_rng(2))
    count = gradient_descent_count(f, 1.0, 1e-8)
    values = optimise(f, f.start, method="gd", steps=count, beta=1.0).values
    assert values[-1] <= 1e-8 < values[-2]


def test_any_hint_that_is_not_opposed_will_do() -> None:
    ends = {scale: values[-1] for scale, values in hint_values((-1.0, 0, 0.5, 1, 2), 2000).items()}
    assert ends.pop(-1.0) == math.inf
    assert max(ends.values()) / min(ends.values()) < 1.05


def test_a_hint_costs_step_size() -> None:
    assert stability_limit("mg", 0.5, 3, 2000) == pytest.approx(2, abs=0.02)
    assert stability_limit("omg", 0.1, 2, 2000) == pytest.approx(2 / 3, abs=0.01)


def test_another_rule_changes_a_constant_and_not_the_rate(chain: Problem) -> None:
    ruled, smoothness = preconditioned_curves(2000)
    assert smoothness == pytest.approx(0.94939, abs=1e-5)
    ratio = ruled["OMG"] / SETUPS["OMG"].values(chain, 2000)
    np.testing.assert_allclose(ratio[[99, 499, 1999]], [2.37347, 2.37352, 2.37332], atol=1e-5)
    assert loglog_slope(ruled["OMG"], 100, 2000) == pytest.approx(-2, abs=0.08)
    slow = ruled["MG"] / SETUPS["MG, constant weights"].values(chain, 2000)
    np.testing.assert_allclose(slow[[99, 499, 1999]], [2.278, 2.330, 2.354], atol=1e-3)
