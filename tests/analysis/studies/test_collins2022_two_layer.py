"""Collins 2022: the two-layer network against autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metaprobe.analysis.studies.collins2022.setting import LandscapeError
from metaprobe.analysis.studies.collins2022.two_layer import (
    SIGNS,
    Scenario,
    Training,
    adapt,
    median_interval,
    predict,
    train_and_test,
)


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
