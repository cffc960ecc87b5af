"""Ji 2020: the controlled problems, their closed forms and meta-training on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from metaprobe.analysis.studies.ji2020.problems import (
    Setup,
    deep_losses,
    draw_pool,
    features,
    meta_gradient,
    ridge_losses,
    through_body,
)
from metaprobe.analysis.studies.ji2020.recursion import (
    implicit_meta_gradient,
    unrolled_meta_gradient,
)
from metaprobe.analysis.studies.ji2020.ridge import (
    adapted_heads,
    head_smoothness,
    ridge_matrices,
    ridge_meta_gradient,
)
from metaprobe.analysis.studies.ji2020.simulation import (
    evaluations_to,
    meta_smoothness,
    meta_train,
)
from metaprobe.analysis.studies.ji2020.spectrum import top_curvature


@pytest.mark.parametrize("steps", [0, 1, 7, 40])
@pytest.mark.parametrize("bound", [2.0, None])
def test_the_closed_form_of_the_ridge_head_is_the_recursion(
    steps: int, bound: float | None
) -> None:
    pool = draw_pool(Setup(tasks=4, bound=bound), repeats=3, seed=steps)
    closed = ridge_meta_gradient(pool, ridge=0.3, alpha=0.05, steps=steps)
    general = meta_gradient(pool, ridge_losses(pool, ridge=0.3), alpha=0.05, steps=steps)
    for a, b in zip(
        closed(pool.body, pool.ridge_head), general(pool.body, pool.ridge_head), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_running_the_body_once_gives_the_same_meta_gradient_as_running_it_every_step() -> None:
    pool = draw_pool(Setup(tasks=3), repeats=2, seed=9)
    head = torch.from_numpy(np.repeat(pool.deep_head[:, None], 3, axis=1))
    expected = unrolled_meta_gradient(
        *through_body(pool, deep_losses(pool)),
        head,
        torch.from_numpy(pool.body),
        alpha_head=0.3,
        alpha_body=0.0,
        steps=6,
    )
    once = meta_gradient(pool, deep_losses(pool), alpha=0.3, steps=6)
    _, body, heads = once(pool.body, pool.deep_head)
    np.testing.assert_allclose(body, expected[1].numpy() / 3, atol=1e-13)
    np.testing.assert_allclose(heads, expected[0].numpy().mean(1), atol=1e-13)


def test_the_limit_of_many_steps_is_the_implicit_meta_gradient() -> None:
    pool = draw_pool(Setup(tasks=3), repeats=1, seed=4)
    losses = through_body(pool, ridge_losses(pool, ridge=0.4))
    gram, _ = ridge_matrices(pool, pool.body, ridge=0.4)
    optimum = adapted_heads(pool, pool.body, pool.ridge_head, ridge=0.4, alpha=0.2, steps=None)
    implicit = implicit_meta_gradient(
        *losses,
        torch.from_numpy(optimum),
        torch.from_numpy(pool.body),
        lambda u: torch.linalg.solve(torch.from_numpy(gram), u[..., None])[..., 0],
    )
    closed = ridge_meta_gradient(pool, ridge=0.4, alpha=0.2, steps=None)
    _, grad_body, _ = closed(pool.body, pool.ridge_head)
    np.testing.assert_allclose(implicit.numpy() / 3, grad_body, atol=1e-12)


def test_each_repeat_may_have_its_own_penalty_and_rate() -> None:
    pool = draw_pool(Setup(tasks=3), repeats=3, seed=0)
    ridge, alpha = np.array([0.1, 0.4, 0.9]), np.array([0.2, 0.1, 0.05])
    together = ridge_meta_gradient(pool, ridge=ridge, alpha=alpha, steps=6)
    _, body, head = together(pool.body, pool.ridge_head)
    for s in range(3):
        alone = pool.repeats(np.array([s]))
        one = ridge_meta_gradient(alone, ridge=ridge[s], alpha=alpha[s], steps=6)
        _, one_body, one_head = one(alone.body, alone.ridge_head)
        np.testing.assert_allclose(body[s], one_body[0], atol=1e-14)
        np.testing.assert_allclose(head[s], one_head[0], atol=1e-14)


def test_features_stay_within_their_bound_so_the_curvature_cannot_leave_the_theory() -> None:
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 100.0):
        h = features(rng.standard_normal((50, 10)), scale * rng.standard_normal((10, 4)), 2.0)
        assert np.linalg.norm(h, axis=1).max() <= 2 + 1e-12
    linear = features(np.eye(3), 5 * np.eye(3), None)
    assert np.linalg.norm(linear, axis=1).max() > 2


def test_more_repeats_extend_fewer_and_the_seed_decides() -> None:
    few, many = (draw_pool(Setup(), repeats=r, seed=7) for r in (2, 4))
    np.testing.assert_array_equal(few.x, many.x[:2])
    assert not np.array_equal(few.x, draw_pool(Setup(), repeats=2, seed=8).x)


def test_the_meta_smoothness_of_the_heads_block_is_its_closed_form() -> None:
    pool = draw_pool(Setup(), repeats=3, seed=1)
    for steps in (1, 5):
        gradient = ridge_meta_gradient(pool, ridge=0.4, alpha=1 / 4.4, steps=steps)
        measured = meta_smoothness(gradient, pool.body, pool.ridge_head)
        closed, _ = head_smoothness(pool, pool.body, ridge=0.4, alpha=1 / 4.4, steps=steps)
        np.testing.assert_allclose(measured.head, closed, rtol=1e-6)
        assert np.all(measured.meta >= np.maximum(measured.head, measured.body) - 1e-9)


def test_the_whole_meta_hessian_and_lanczos_find_the_same_curvature() -> None:
    pool = draw_pool(Setup(tasks=3), repeats=1, seed=2)
    gradient = meta_gradient(pool, deep_losses(pool), alpha=0.3, steps=4)
    whole = meta_smoothness(gradient, pool.body, pool.deep_head).meta[0]

    def flat(point: Tensor) -> Tensor:
        values = point.numpy()
        _, body, head = gradient(values[:40].reshape(1, 10, 4), values[None, 40:])
        return torch.from_numpy(np.concatenate([body.ravel(), head.ravel()]))

    start = torch.from_numpy(np.concatenate([pool.body.ravel(), pool.deep_head.ravel()]))
    assert top_curvature(flat, start, iterations=60) == pytest.approx(whole, rel=1e-5)


def test_meta_training_descends_and_counts_its_evaluations() -> None:
    pool = draw_pool(Setup(), repeats=2, seed=3)
    gradient = ridge_meta_gradient(pool, ridge=0.4, alpha=1 / 4.4, steps=3)
    run = meta_train(gradient, pool.body, pool.ridge_head, beta=0.1, iterations=30)
    assert run.loss.shape == (31, 2)
    assert np.all(np.diff(run.loss, axis=0) < 0)
    final = gradient(run.body_end, run.head_end)[0]
    np.testing.assert_allclose(final, run.loss[-1])
    spent = evaluations_to(np.array([run.loss[7, 0], -1.0]), run.loss, 3)
    np.testing.assert_array_equal(spent, [7 * 5.0, np.inf])
