"""Optimistic meta-gradients: reference values, identities, bounds and warnings."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprobe.analysis.studies.flennerhag2023 import optimise
from metaprobe.analysis.studies.flennerhag2023.counterexample import (
    CYCLE,
    distance_to_cycle,
    half_turn,
    lessard_paths,
    path_radius,
    race,
    reach,
)
from metaprobe.analysis.studies.flennerhag2023.element_wise import (
    quadratic_problem,
    tune_online,
)
from metaprobe.analysis.studies.flennerhag2023.identities import (
    fista_weights,
    heavy_ball,
    identity_table,
    nesterov,
    relative_gap,
    torch_sgd,
)
from metaprobe.analysis.studies.flennerhag2023.optimise import (
    Method,
    Schedule,
    Weights,
    linear_rule,
)
from metaprobe.analysis.studies.flennerhag2023.oracle import OptimiserError, Vector
from metaprobe.analysis.studies.flennerhag2023.problems import (
    Problem,
    conditioned_quadratic,
    huber,
    lessard,
    log_uniform_quadratic,
    one_sided_quadratic,
    quadratic,
    random_rule,
    rate_constant,
    soft_label_logistic,
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

AT = np.array([1, 10, 100, 1000, 2000]) - 1
REFERENCE: list[tuple[Method, Weights, float | Schedule, list[float]]] = [
    (
        "mg", "constant", 1.0,
        [9.879024992588, 1.007638733264, 9.680627057360e-2, 9.647625655999e-3, 4.822595202056e-3],
    ),
    (
        "omg", "linear", 0.25,
        [9.879024992588, 0.5635390779508, 6.968442400429e-3, 7.447611053134e-5, 1.878912992588e-5],
    ),
    (
        "omg", "linear", lambda t: max(t - 1, 1) / (2 * t),
        [9.879024992588, 0.3193211187747, 3.554113122103e-3, 3.734109875091e-5, 9.404883776275e-6],
    ),
    (
        "gd", "constant", 1.0,
        [3.208952496038, 0.4584219437411, 4.789482154397e-2, 4.811015616248e-3, 2.406104346442e-3],
    ),
    (
        "fista", "constant", 1.0,
        [9.879024992588, 0.2277818058258, 3.327541780378e-3, math.nan, 9.353372054604e-6],
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def chain() -> Problem:
    return log_uniform_quadratic()


def slope_of(problem: Problem, label: str, first: int = 30, steps: int = 2000) -> float:
    return loglog_slope(SETUPS[label].values(problem, steps), first, steps)


# Reference values


@pytest.mark.parametrize(("method", "weights", "beta", "expected"), REFERENCE)
def test_values_on_the_log_uniform_quadratic_match_the_reference_table(
    chain: Problem, method: Method, weights: Weights, beta: float | Schedule, expected: list[float]
) -> None:
    values = optimise(chain, chain.start, method=method, steps=2000, weights=weights, beta=beta)
    got, wanted = values.values[AT], np.array(expected)
    known = np.isfinite(wanted)
    np.testing.assert_allclose(got[known], wanted[known], rtol=1e-9)


def test_the_rate_constant_matches_its_reference() -> None:
    assert rate_constant() == pytest.approx(9.65098848673893, rel=1e-12)


def test_the_adagrad_value_matches_its_reference() -> None:
    assert scale_values((1.0,), 2000)[0] == pytest.approx(1.162021e-5, rel=1e-6)


def test_half_turns_and_growth_of_the_counter_example_match_the_reference() -> None:
    assert half_turn(1.0) == pytest.approx(4.346815808292568, rel=1e-12)
    assert half_turn(0.33265) == pytest.approx(7.649171286270, rel=1e-11)
    assert path_radius(4, 8, 0.33265) == pytest.approx(1.041817, abs=1e-6)
    assert path_radius(5, 7, 0.33265) == pytest.approx(1.042700, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "loss", "rates"),
    [
        ("mg", 0.010537641300, (0.5639965877, 0.5268759074, 0.5084509748, 0.5001812225)),
        ("omg", 0.010554650799, (0.5, 0.5221208765, 0.5080046973, 0.5001803117)),
    ],
)
def test_element_wise_rates_match_the_reference(
    kind: str, loss: float, rates: tuple[float, ...]
) -> None:
    run = tune_online(
        quadratic_problem(np.array([1, 0.3, 0.1, 0.01])), np.ones(4), np.array([[0.5, 0.1]]),
        kind="mg" if kind == "mg" else "omg", steps=20, adagrad=False,
    )  # fmt: skip
    assert run.losses[-1, 0] == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(run.rates[0], rates, atol=1e-10)


# The optimiser itself


def plain_optimistic(problem: Problem, steps: int, beta: float, hinted: bool) -> list[float]:
    """The averaged meta-learner with linear weights, written out once more."""
    average = np.zeros_like(problem.start)
    w, total, values = problem.start.copy(), np.zeros_like(problem.start), []
    for t in range(1, steps + 1):
        average = average * (t - 1) / (t + 1) + w * 2 / (t + 1)
        g = problem.gradient(average)
        total += t * g
        w = problem.start - beta * (total + (t + 1) * g * hinted)
        values.append(problem.value(average))
    return values


@pytest.mark.parametrize("method", ["mg", "omg"])
def test_the_optimiser_agrees_with_a_second_writing_of_it(method: Method) -> None:
    f = soft_label_logistic(np.random.default_rng(7), 120, 12)
    got = optimise(f, f.start, method=method, steps=60, weights="linear", beta=1.0).values
    np.testing.assert_allclose(got, plain_optimistic(f, 60, 1.0, method == "omg"), rtol=1e-12)


def test_a_function_may_come_from_torch_from_numpy_or_with_its_gradient() -> None:
    h = np.geomspace(1e-3, 1, 6)
    rows: list[Callable[[Vector], object]] = [
        lambda x: 0.5 * (torch.from_numpy(h) * (torch.as_tensor(x) - 1) ** 2).sum(),
        lambda x: 0.5 * (h * (x - 1) ** 2).sum(),
        lambda x: float(0.5 * np.sum(h * (np.asarray(x) - 1) ** 2)),
        quadratic(h, np.ones(6), np.zeros(6)),
    ]
    starts = [torch.zeros(6), np.zeros(6), [0.0] * 6, [0] * 6]
    ends = [
        optimise(f, x0, method="omg", steps=80, weights="linear", beta=0.25).values
        for f, x0 in zip(rows, starts, strict=True)
    ]
    np.testing.assert_allclose(ends[0], ends[3], rtol=1e-12)
    np.testing.assert_allclose(ends[1], ends[3], rtol=1e-7)
    np.testing.assert_allclose(ends[2], ends[3], rtol=1e-7)
    given = optimise(
        lambda x: 0.5 * float(np.sum(h * (x - 1) ** 2)), np.zeros(6),
        gradient=lambda x: h * (x - 1), method="omg", steps=80, weights="linear", beta=0.25,
    )  # fmt: skip
    np.testing.assert_array_equal(given.values, ends[3])


def test_divergence_is_an_answer_and_not_a_fault() -> None:
    run = optimise(lambda x: (x**2).sum(), [1.0], method="gd", steps=3000, beta=5.0)
    assert np.isinf(run.values[-1])
    assert run.values.shape == (3000,)


def test_adagrad_parameters_never_leave_their_ball(chain: Problem) -> None:
    for method in ("ada-mg", "ada-omg"):
        run = optimise(chain, chain.start, method=method, steps=40, weights="linear", beta=3.0)
        assert np.linalg.norm(run.parameters - chain.start) <= 3.0 * (1 + 1e-12)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "adam"}, "method"),
        ({"steps": 0}, "steps"),
        ({"beta": 0.0}, "beta"),
        ({"weights": "square"}, "weights"),
        ({"rule": linear_rule(np.ones(2))}, "parameters"),
        ({"method": "gd", "w1": np.ones(2)}, "rule"),
        ({"x0": np.ones((2, 2))}, "point"),
        ({"x0": [math.nan]}, "point"),
        ({"f": lambda _: "three"}, "function"),
        ({"gradient": lambda _: np.ones(3)}, "gradient"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(change: dict[str, Any], code: str) -> None:
    def f(x: Vector) -> float:
        return float(np.sum(x**2))

    good: dict[str, Any] = {"f": f, "x0": np.ones(2), "method": "mg", "steps": 3, "beta": 0.1}
    with pytest.raises(OptimiserError) as caught:
        optimise(**{**good, **change})
    assert caught.value.code == code


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 60))
def test_the_bounds_hold_on_any_random_problem_and_rule(seed: int, steps: int) -> None:
    drawn = random_rule(np.random.default_rng(seed))
    f, scale = drawn.problem, drawn.rule_smoothness * drawn.problem.smoothness
    reach_ = scale * float(np.sum(drawn.best_parameters**2))
    rule, t = linear_rule(drawn.matrix), np.arange(1, steps + 1)
    plain = optimise(f, f.start, method="mg", steps=steps, beta=1 / scale, rule=rule, w1=f.start)
    hopeful = optimise(
        f, f.start, method="omg", steps=steps, beta=0.25 / scale, weights="linear", rule=rule,
        w1=f.start,
    )  # fmt: skip
    assert (plain.values <= reach_ / (2 * t) * (1 + 1e-9)).all()
    assert (hopeful.values <= 4 * reach_ / (t * (t + 1)) * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    "problem",
    [
        log_uniform_quadratic(30, 1e-4),
        conditioned_quadratic(50, np.random.default_rng(1), 10),
        soft_label_logistic(np.random.default_rng(0), 90, 9),
        one_sided_quadratic(0.3, np.linspace(-1, 1, 7)),
        lessard(1.7),
        huber(np.linspace(0.1, 2, 8), np.zeros(8), np.linspace(-3, 3, 8)),
    ],
)
def test_every_problem_knows_its_gradient_and_its_minimum(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    x = problem.start + rng.uniform(0.05, 0.2, problem.start.size)
    for i in range(x.size):
        step = 1e-6 * np.eye(x.size)[i]
        slope = (problem.value(x + step) - problem.value(x - step)) / 2e-6
        assert slope == pytest.approx(problem.gradient(x)[i], abs=1e-6)
    assert problem.value(problem.minimiser) == pytest.approx(problem.minimum, abs=1e-15)
    np.testing.assert_allclose(problem.gradient(problem.minimiser), 0, atol=1e-15)


# C1: momentum is a meta-gradient


def test_every_identity_holds_to_rounding_on_both_problems(chain: Problem) -> None:
    logistic = soft_label_logistic(np.random.default_rng(3), 150, 20)
    table = identity_table({"quadratic": chain, "logistic": logistic}, 200)
    assert len(table) == 10
    assert float(table[["quadratic", "logistic"]].to_numpy().max()) < 1e-12


def test_the_identities_are_not_true_of_any_momentum() -> None:
    f = log_uniform_quadratic(20, 1e-3)
    right = heavy_ball(f.gradient, f.start, 50, lambda _: 0.9, lambda _: 0.1)
    wrong = heavy_ball(f.gradient, f.start, 50, lambda _: 0.89, lambda _: 0.1)
    assert relative_gap(wrong, right) > 1e-3
    assert relative_gap(nesterov(f.gradient, f.start, 50, 0.9, 0.1), right) > 1e-3


def test_fista_weights_obey_their_recursion() -> None:
    pace = np.array(fista_weights(50))
    np.testing.assert_allclose(pace[1:] ** 2 - pace[1:], pace[:-1] ** 2, rtol=1e-12)


def test_full_autograd_through_a_torch_function_gives_torch_sgd() -> None:
    h = torch.linspace(0.1, 1, 5, dtype=torch.float64)
    x, w = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    beta, mu, path = 0.4, 0.8, []
    for _ in range(40):
        w = w.detach().requires_grad_()
        loss = 0.5 * (h * (x + w) ** 4).sum() + (1 - mu) / (2 * beta) * (w**2).sum()
        (slope,) = torch.autograd.grad(loss, [w])
        x, w = (x + w).detach(), w - beta * slope
        path.append(x.numpy())
    other = torch_sgd(lambda p: 2 * h.numpy() * p**3, np.ones(5), 40, mu, beta, nesterov=False)
    assert relative_gap(np.stack(path), other) < 1e-12


# C2 to C6: rates


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


# C7 to C11: momentum, conditioning, hints, rules


def test_growing_weights_diverge_where_optimism_converges() -> None:
    runs = race()
    for start in (1.0, -1.0):
        assert runs["growing", start].values[-1] > 1e6
        assert runs["optimistic", start].values[-1] < 1e-30
        steps = np.arange(1, 8001)
        assert (runs["constant", start].values * 2 * steps <= 1 + 1e-9).all()


def test_warning_the_diverging_run_looks_solved_for_hundreds_of_steps() -> None:
    for start in (1.0, -1.0):
        assert race(steps=500)["growing", start].values[-1] < 1e-6


def test_the_counter_example_is_a_window_and_not_every_kink() -> None:
    assert reach(np.linspace(0.3323, 0.3331, 5)).min() > 1e4
    assert reach(np.array([0.2, 0.5])).max() < 1e-6


def test_constant_momentum_circles_on_lessards_function() -> None:
    paths = lessard_paths()
    assert distance_to_cycle(paths["momentum"]) < 1e-12
    assert abs(paths["optimism"][-1]) < 1e-12
    assert distance_to_cycle(np.array(CYCLE)) == 0


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
