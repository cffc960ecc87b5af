"""Optimistic meta-gradients: the optimiser against reference values and a second writing of it."""

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
    half_turn,
    path_radius,
)
from metaprobe.analysis.studies.flennerhag2023.element_wise import (
    quadratic_problem,
    tune_online,
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
    scale_values,
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
