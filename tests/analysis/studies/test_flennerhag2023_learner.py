"""Bootstrapped meta-gradients as a learner: Meta-SGD reproduced, element-wise rates, few-shot."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from metaprobe.analysis.studies.flennerhag2023.bmg_learner import (
    Bootstrap,
    LearnerError,
    adapt,
    bootstrap_target,
    meta_gradients,
)
from metaprobe.analysis.studies.flennerhag2023.bootstrapping import (
    divergence_gradient,
    first_order_ratio,
    optimistic_target,
    target_of_one_step,
)
from metaprobe.analysis.studies.flennerhag2023.element_wise import (
    KINDS,
    digits_problem,
    quadratic_problem,
    quadratic_table,
    tune_online,
    tuning_grid,
)
from metaprobe.analysis.studies.flennerhag2023.few_shot import Protocol, largest_parting, learn

# C12 and the learner


def small_task(seed: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    params = {"a": normal(3, 6) / 2, "b": normal(6) / 2, "c": normal(6, 4) / 2}
    labels = torch.randint(0, 4, (8,), generator=g)
    return params, normal(8, 3), labels, normal(8, 3), labels.roll(1)


def logits(params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return torch.tanh(x @ params["a"] + params["b"]) @ params["c"]


def cross_entropy(x: Tensor, y: Tensor) -> Callable[[Mapping[str, Tensor]], Tensor]:
    return lambda params: torch.nn.functional.cross_entropy(logits(params, x), y)


def plain_meta_sgd(seed: int, inner: int, outer: int, step: float) -> list[list[Tensor]]:
    """Meta-SGD on a small model, written plainly: init and element-wise rates by one SGD."""
    params, x, y, query_x, query_y = small_task(seed)
    theta = [params[n].clone().requires_grad_() for n in "abc"]
    alpha = [torch.full_like(t, 0.1).requires_grad_() for t in theta]
    path = []
    for _ in range(outer):
        now = list(theta)
        for _ in range(inner):
            loss = torch.nn.functional.cross_entropy(torch.tanh(x @ now[0] + now[1]) @ now[2], y)
            slopes = torch.autograd.grad(loss, now, create_graph=True)
            now = [p - a * s for p, a, s in zip(now, alpha, slopes, strict=True)]
        loss = torch.nn.functional.cross_entropy(
            torch.tanh(query_x @ now[0] + now[1]) @ now[2], query_y
        )
        slopes = torch.autograd.grad(loss, theta + alpha)
        moved = [
            (p - step * s).detach().requires_grad_()
            for p, s in zip(theta + alpha, slopes, strict=True)
        ]
        theta, alpha = moved[:3], moved[3:]
        path.append([p.detach() for p in moved])
    return path


@pytest.mark.parametrize("moves_init", [False, True])
@pytest.mark.parametrize("target_rate", [0.01, 0.7])
@pytest.mark.parametrize("inner", [1, 5])
def test_bootstrapping_one_step_ahead_reproduces_a_plain_meta_sgd_trajectory(
    inner: int, target_rate: float, moves_init: bool
) -> None:
    params, x, y, query_x, query_y = small_task(4)
    rates = {n: torch.full_like(v, 0.1) for n, v in params.items()}
    for expected in plain_meta_sgd(4, inner, 20, 0.3):
        slopes = meta_gradients(
            params, rates, cross_entropy(x, y), cross_entropy(query_x, query_y), steps=inner,
            bootstrap=Bootstrap(target_rate=target_rate, moves_init=moves_init),
        )  # fmt: skip
        params = {n: params[n] - 0.3 * slopes.init[n] for n in params}
        rates = {n: rates[n] - 0.3 * slopes.rates[n] for n in rates}
        for got, wanted in zip([*params.values(), *rates.values()], expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_farther_targets_are_not_meta_sgd() -> None:
    params, x, y, query_x, query_y = small_task(4)
    rates = {n: torch.tensor(0.1, dtype=torch.float64) for n in params}
    losses = cross_entropy(x, y), cross_entropy(query_x, query_y)
    plain = meta_gradients(params, rates, *losses, steps=2)
    far = meta_gradients(params, rates, *losses, steps=2, bootstrap=Bootstrap(5, 0.1))
    assert not torch.allclose(plain.rates["a"], far.rates["a"], rtol=1e-3)
    torch.testing.assert_close(plain.init["a"], far.init["a"], rtol=0, atol=0)


def test_the_target_is_where_the_student_would_be_and_carries_no_gradient() -> None:
    params, x, y, _, _ = small_task(2)
    rates = {n: torch.tensor(0.2, dtype=torch.float64, requires_grad=True) for n in params}
    loss = cross_entropy(x, y)
    student = adapt(
        {n: v.requires_grad_() for n, v in params.items()}, rates, loss, 1, differentiable=True
    )
    target = bootstrap_target(student, rates, loss, Bootstrap(3, 0.05))
    walked = adapt(student, rates, loss, 2, differentiable=False)
    held = {n: torch.tensor(0.05, dtype=torch.float64) for n in walked}
    last = adapt(walked, held, loss, 1, differentiable=False)
    for name, value in target.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, last[name].detach(), rtol=1e-12, atol=0)


def test_a_meta_batch_gives_the_mean_of_single_tasks() -> None:
    params, x, y, query_x, query_y = small_task(6)
    rates = {n: torch.tensor(0.3, dtype=torch.float64) for n in params}
    halves = [(slice(0, 4), slice(0, 4)), (slice(4, 8), slice(4, 8))]

    def summed(a: Tensor, b: Tensor) -> Callable[[Mapping[str, Tensor]], Tensor]:
        def loss(p: Mapping[str, Tensor]) -> Tensor:
            hidden = torch.tanh(a.reshape(2, 4, 3) @ p["a"] + p["b"].unsqueeze(-2))
            seen = (hidden @ p["c"]).flatten(0, 1)
            return torch.nn.functional.cross_entropy(seen, b, reduction="sum") / 4

        return loss

    for bootstrap in (None, Bootstrap(2, 0.1)):
        both = meta_gradients(
            params, rates, summed(x, y), summed(query_x, query_y), steps=2, tasks=2,
            bootstrap=bootstrap,
        )  # fmt: skip
        alone = [
            meta_gradients(
                params, rates, cross_entropy(x[s], y[s]), cross_entropy(query_x[q], query_y[q]),
                steps=2, bootstrap=bootstrap,
            )
            for s, q in halves
        ]  # fmt: skip
        for n in params:
            torch.testing.assert_close(both.init[n], (alone[0].init[n] + alone[1].init[n]) / 2)
            torch.testing.assert_close(both.rates[n], (alone[0].rates[n] + alone[1].rates[n]) / 2)
        assert both.query_loss == pytest.approx((alone[0].query_loss + alone[1].query_loss) / 2)


def test_learned_log_rates_follow_the_chain_rule() -> None:
    params, x, y, query_x, query_y = small_task(1)
    losses = cross_entropy(x, y), cross_entropy(query_x, query_y)
    rates = {n: torch.tensor(0.2, dtype=torch.float64) for n in params}
    logs = {n: v.log() for n, v in rates.items()}
    raw = meta_gradients(params, rates, *losses, steps=2, bootstrap=Bootstrap(3))
    log = meta_gradients(params, logs, *losses, steps=2, bootstrap=Bootstrap(3), rate_of=torch.exp)
    for n in params:
        torch.testing.assert_close(log.rates[n], 0.2 * raw.rates[n])


def test_bootstrapping_equals_what_it_should_to_the_last_digits() -> None:
    assert max(target_of_one_step(3).values()) < 1e-12
    assert optimistic_target(3, 200) < 1e-12
    assert divergence_gradient(3) < 1e-14
    for inner in (1, 5, 10):
        assert first_order_ratio(3, inner) == pytest.approx(1, abs=1e-3)


def test_a_learner_with_contradictory_settings_is_refused() -> None:
    params, x, y, _, _ = small_task(0)
    loss = cross_entropy(x, y)
    with pytest.raises(LearnerError, match="at least one step"):
        Bootstrap(target_steps=0)
    with pytest.raises(LearnerError, match="one rate each"):
        meta_gradients(params, {"a": torch.tensor(0.1)}, loss, loss, steps=1)
    with pytest.raises(LearnerError, match="give outputs="):
        meta_gradients(params, params, loss, loss, steps=1, bootstrap=Bootstrap(matching="kl"))


def test_the_few_shot_learner_with_one_step_targets_is_meta_sgd() -> None:
    assert largest_parting(0, 8) < 1e-12


def test_repeats_trained_side_by_side_do_not_touch_each_other() -> None:
    protocol = Protocol(iterations=4, tasks=3, test_tasks=5, dtype=torch.float64)
    both = learn("BMG, L=5", 3, 2, protocol)
    assert both.error.shape == (2, 4)
    assert both.rates.shape == (2, 6)
    assert not np.allclose(both.rates[0], both.rates[1])
    again = learn("BMG, L=5", 3, 2, protocol)
    np.testing.assert_array_equal(both.error, again.error)


# C13: element-wise rates


def test_element_wise_rates_rest_at_newton_and_hinted_ones_at_half_of_it() -> None:
    h = np.array([1.0, 0.5])
    for kind, rest in (("mg", 1 / h), ("omg", 1 / (2 * h))):
        _, slope = quadratic_problem(h)(0, np.ones((1, 2)))
        after = slope * (1 - h * rest)
        missed = after if kind == "mg" else 2 * after - slope
        np.testing.assert_allclose(missed, 0, atol=1e-15)


def test_the_online_tuner_agrees_with_a_second_writing_of_it() -> None:
    rng = np.random.default_rng(5)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    h, x = np.array([1.0, 0.5, 0.2, 0.1]), rng.standard_normal(4)
    matrix = turn @ np.diag(h) @ turn.T
    got = tune_online(
        quadratic_problem(h, turn), x, np.array([[0.7, 0.05]]), kind="bmg", steps=30, target_steps=2
    )
    w, squares = np.full(4, 0.7), np.zeros(4)
    for t in range(30):
        g = matrix @ x
        x = x - w * g
        assert got.losses[t, 0] == pytest.approx(0.5 * x @ matrix @ x, rel=1e-9)
        z = x - w * (matrix @ x)
        z = z - w * (matrix @ z)
        m = -g * (x - z)
        squares += m**2
        w = w - 0.05 * m / np.sqrt(squares)
    np.testing.assert_allclose(got.rates[0], w, rtol=1e-9)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return quadratic_table(5, 0)


def test_learned_rates_beat_the_best_fixed_one_and_a_single_hint_does_not_help(
    table: pd.DataFrame,
) -> None:
    assert (table["mg"] < table["fixed"]).all()
    aligned = table[table["orientation"] == "axis-aligned"]
    assert (aligned["bmg"] < aligned["mg"]).all()
    assert (table["omg"] > table["mg"]).all()
    best = aligned.groupby("kappa")[["fixed", "mg", "bmg"]].mean()
    np.testing.assert_allclose(best["mg"], [0.894, 1.077, 0.936], atol=1e-3)
    np.testing.assert_allclose(best["fixed"], [1.286, 2.107, 2.211], atol=1e-3)
    np.testing.assert_allclose(best["bmg"], [0.889, 1.036, 0.875], atol=1e-3)


def test_warning_rotated_curvature_takes_the_gain_of_bootstrapping_away(
    table: pd.DataFrame,
) -> None:
    turned = table[table["orientation"] == "rotated"]
    wins = (turned["bmg"] < turned["mg"]).groupby(turned["kappa"]).sum()
    assert wins.max() <= 2


def test_the_digits_gradient_is_the_slope_of_the_digits_loss() -> None:
    problem, start = digits_problem(0, hidden=4, batch=16)
    rng = np.random.default_rng(0)
    way = rng.standard_normal(start.size)
    points = np.stack([start + 1e-5 * way, start - 1e-5 * way, start])
    losses, slopes = problem(3, points)
    assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(slopes[2] @ way, rel=1e-5)
    np.testing.assert_array_equal(problem(3, points)[0], losses)


def test_all_kinds_start_alike_and_only_the_fixed_one_keeps_its_rates() -> None:
    problem, start = digits_problem(1, hidden=4)
    runs = {
        kind: tune_online(problem, start, tuning_grid((0.1,), (0.01,)), kind=kind, steps=5)
        for kind in KINDS
    }
    assert len({run.losses[0, 0] for run in runs.values()}) == 1
    for kind, run in runs.items():
        assert bool((run.rates == 0.1).all()) is (kind == "fixed")
