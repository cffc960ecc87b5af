"""Optimistic meta-gradients: the identities with momentum, and where momentum alone fails."""

import numpy as np
import pytest
import torch

from metaprobe.analysis.studies.flennerhag2023.counterexample import (
    CYCLE,
    distance_to_cycle,
    lessard_paths,
    race,
    reach,
)
from metaprobe.analysis.studies.flennerhag2023.identities import (
    fista_weights,
    heavy_ball,
    identity_table,
    nesterov,
    relative_gap,
    torch_sgd,
)
from metaprobe.analysis.studies.flennerhag2023.problems import (
    Problem,
    log_uniform_quadratic,
    soft_label_logistic,
)


@pytest.fixture(scope="module")
def chain() -> Problem:
    return log_uniform_quadratic()


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
