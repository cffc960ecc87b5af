"""The study of ANIL over partial parameters: oracles, identities, costs, and its warnings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from metaprobe.analysis.studies import ji2020
from metaprobe.analysis.studies.ji2020 import anil_meta_gradient, flops
from metaprobe.analysis.studies.ji2020.adaptation import decrease_reached, finite_step_bias
from metaprobe.analysis.studies.ji2020.budget import (
    best_steps_table,
    moderate_steps_are_cheapest,
)
from metaprobe.analysis.studies.ji2020.contraction import (
    always_falling,
    body_gradient_reaches_the_limit,
    extremes,
    head_gradient_contracts,
)
from metaprobe.analysis.studies.ji2020.convergence import (
    average_gradient,
    geometry_alone_does_not_decide,
    loss_is_not_worse,
    nonconvex_converges_slower,
    ratio,
)
from metaprobe.analysis.studies.ji2020.encoder import (
    default_groups,
    encoder_geometry,
    episode_losses,
    layer_groups,
)
from metaprobe.analysis.studies.ji2020.flops import (
    Forward,
    Method,
    Shape,
    counted,
    measure_forward,
    meta_flops,
    one_meta_gradient,
    products,
)
from metaprobe.analysis.studies.ji2020.geometry import advise, head_geometry, steps_to
from metaprobe.analysis.studies.ji2020.ledger import Sizes, estimate, median, verdict
from metaprobe.analysis.studies.ji2020.problems import (
    Pool,
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
    inner_path,
    unrolled_meta_gradient,
)
from metaprobe.analysis.studies.ji2020.ridge import (
    adapted_heads,
    head_smoothness,
    ridge_matrices,
    ridge_meta_gradient,
)
from metaprobe.analysis.studies.ji2020.run import Measured, measure, report
from metaprobe.analysis.studies.ji2020.simulation import (
    evaluations_to,
    meta_smoothness,
    meta_train,
)
from metaprobe.analysis.studies.ji2020.spectrum import Curvature, curvature, top_curvature
from metaprobe.analysis.studies.study import Settings, Study
from metaprobe.data.errors import ProbeError

SMALL = Sizes(seed=5, exact=4, train=10, smooth=2, long=4, floor=2, floor_iterations=50, blow_up=6)


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    return float((ours - theirs).norm()) <= tolerance * max(1.0, float(theirs.norm()))


# ---------------------------------------------------------------- the recursion


def random_problem(
    seed: int, n: int, d: int, ways: int, kind: str
) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]:
    """Support and query loss of a random task, with a random head and a random body."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    x, xq, body = draw(n, 3), draw(2 * n, 3), draw(3, d)
    labels = torch.randint(ways, (n,), generator=g)
    query_labels = torch.randint(ways, (2 * n,), generator=g)
    y, yq = draw(n), draw(2 * n)
    if kind == "softmax":
        head = draw(d, ways)
        return (
            lambda w, f: cross_entropy(torch.tanh(x @ f) @ w, labels) + 0.05 * (w**2).sum(),
            lambda w, f: cross_entropy(torch.tanh(xq @ f) @ w, query_labels),
            head,
            body,
        )
    head = draw(2 * d + 2)

    def out(rows: Tensor, w: Tensor, f: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(rows @ f) @ w[: 2 * d].reshape(d, 2)) @ w[2 * d :]

    return (
        lambda w, f: ((out(x, w, f) - y) ** 2).mean(),
        lambda w, f: ((out(xq, w, f) - yq) ** 2).mean() + (f**2).sum() * (w**2).sum(),
        head,
        body,
    )


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    d=st.integers(1, 5),
    ways=st.integers(2, 4),
    kind=st.sampled_from(["softmax", "two-layer"]),
    alpha=st.floats(-0.3, 0.5),
    steps=st.integers(0, 8),
)
@settings(max_examples=20, deadline=None)
def test_the_recursion_is_autodiff_through_the_unrolled_loop(
    seed: int, n: int, d: int, ways: int, kind: str, alpha: float, steps: int
) -> None:
    inner, outer, head, body = random_problem(seed, n, d, ways, kind)
    w, f = head.clone().requires_grad_(), body.clone().requires_grad_()
    moved = w
    for _ in range(steps):
        (slope,) = torch.autograd.grad(inner(moved, f), moved, create_graph=True)
        moved = moved - alpha * slope
    expected = torch.autograd.grad(outer(moved, f), (w, f))
    ours = anil_meta_gradient(inner, outer, head, body, alpha=alpha, steps=steps)
    for a, b in zip(ours, expected, strict=True):
        assert a.shape == b.shape
        assert not a.requires_grad
        assert close(a, b, 1e-9)


def test_the_recursion_is_not_the_first_order_shortcut() -> None:
    inner, outer, head, body = random_problem(1, 5, 4, 3, "softmax")
    exact = anil_meta_gradient(inner, outer, head, body, alpha=0.5, steps=5)
    w = inner_path(inner, head, body, alpha=0.5, steps=5)[-1].requires_grad_()
    f = body.clone().requires_grad_()
    shortcut = torch.autograd.grad(outer(w, f), (w, f))
    assert all(
        float((a - b).norm() / a.norm()) > 0.02 for a, b in zip(exact, shortcut, strict=True)
    )


def test_losses_that_ignore_a_part_give_it_a_zero_gradient() -> None:
    head, body = torch.ones(2, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    linear = anil_meta_gradient(
        lambda w, f: w.sum(), lambda w, f: (w**2).sum(), head, body, alpha=0.1, steps=3
    )
    torch.testing.assert_close(linear[0], torch.full_like(head, 2 * 0.7))
    assert not linear[1].any()
    constant = anil_meta_gradient(
        lambda w, f: (w**2).sum(), lambda w, f: w.new_ones(()), head, body, alpha=0.1, steps=3
    )
    assert not constant[0].any()
    assert not constant[1].any()


def test_the_inputs_are_left_as_they_were_and_gradients_may_be_switched_off() -> None:
    inner, outer, head, body = random_problem(2, 4, 3, 2, "softmax")
    before = head.clone(), body.clone()
    with torch.no_grad():
        quiet = anil_meta_gradient(inner, outer, head, body, alpha=0.2, steps=2)
    loud = anil_meta_gradient(
        inner, outer, head.requires_grad_(), body.requires_grad_(), alpha=0.2, steps=2
    )
    assert all(torch.equal(a, b) for a, b in zip(quiet, loud, strict=True))
    assert torch.equal(head, before[0])
    assert head.grad is None
    assert body.grad is None


def test_a_negative_number_of_steps_is_refused() -> None:
    inner, outer, head, body = random_problem(0, 2, 2, 2, "softmax")
    with pytest.raises(ProbeError, match="-1 inner steps"):
        anil_meta_gradient(inner, outer, head, body, alpha=0.1, steps=-1)


def test_maml_with_a_frozen_body_is_anil_and_with_a_frozen_head_is_not_first_order() -> None:
    inner, outer, head, body = random_problem(3, 5, 3, 3, "two-layer")
    ours = anil_meta_gradient(inner, outer, head, body, alpha=0.3, steps=4)
    maml = unrolled_meta_gradient(inner, outer, head, body, alpha_head=0.3, alpha_body=0.0, steps=4)
    assert all(close(a, b, 1e-12) for a, b in zip(ours, maml, strict=True))
    boil = unrolled_meta_gradient(inner, outer, head, body, alpha_head=0.0, alpha_body=0.1, steps=4)
    moved = inner_path(lambda f, w: inner(w, f), body, head, alpha=0.1, steps=4)[-1]
    leaf = head.clone().requires_grad_()
    (short,) = torch.autograd.grad(outer(leaf, moved), leaf)
    assert float((boil[0] - short).norm() / boil[0].norm()) > 1e-3


# ---------------------------------------------------------------- oracles without randomness


def sines(shape: tuple[int, ...], k: float) -> np.ndarray:
    size = math.prod(shape)
    return np.asarray(np.sin(k * np.arange(1, size + 1)).reshape(shape))


def sine_pool(bound: float | None) -> Pool:
    head = np.array([0.3, -0.2])
    deep = np.concatenate([0.3 * sines((6,), 1.1), 0.3 * sines((3,), 1.9)])
    parts = (
        sines((3, 6, 4), 0.7),
        sines((3, 6), 1.3),
        sines((3, 8, 4), 0.9),
        sines((3, 8), 1.7),
        sines((4, 2), 0.5),
        head,
        deep,
    )
    x, y, xq, yq, body, head, deep = (p[None] for p in parts)
    return Pool(x, y, xq, yq, body, head, deep, bound)


@pytest.mark.parametrize(
    ("steps", "loss", "body_norm"),
    [
        (0, 0.255887126201, 0.039143007094),
        (1, 0.250520145411, 0.037114237903),
        (5, 0.252065953897, 0.021876700235),
        (50, 0.254382810688, 0.015517158184),
        (None, 0.254664941250, 0.013313321720),
    ],
)
def test_the_ridge_oracle_is_matched(steps: int | None, loss: float, body_norm: float) -> None:
    pool = sine_pool(None)
    gradient = ridge_meta_gradient(pool, ridge=0.1, alpha=0.2, steps=steps)
    value, grad_body, grad_head = gradient(pool.body, pool.ridge_head)
    assert value[0] == pytest.approx(loss, abs=1e-11)
    assert np.linalg.norm(grad_body) == pytest.approx(body_norm, abs=1e-11)
    heads = {1: (0.0478056543, -0.0246376639), 5: (0.0284505881, -0.0164646156)}
    if steps in heads:
        assert grad_head[0] == pytest.approx(heads[steps], abs=1e-9)
    if steps is None:
        assert not grad_head.any()
    sigma = np.linalg.eigvalsh(ridge_matrices(pool, pool.body, ridge=0.1)[0])
    assert sigma.max() == pytest.approx(4.446367570278, abs=1e-11)
    assert sigma.min() == pytest.approx(0.233386255145, abs=1e-11)


@pytest.mark.parametrize(
    ("steps", "loss", "body_norm", "last_layer_norm"),
    [
        (0, 0.255025402155, 0.012065683326, 0.042269417683),
        (1, 0.254094751585, 0.011484159972, 0.040010274820),
        (5, 0.252126879636, 0.010109976075, 0.038372596266),
        (20, 0.257089595827, 0.017331671072, 0.058386484079),
    ],
)
def test_the_two_layer_oracle_is_matched(
    steps: int, loss: float, body_norm: float, last_layer_norm: float
) -> None:
    pool = sine_pool(2.0)
    gradient = meta_gradient(pool, deep_losses(pool), alpha=0.2, steps=steps)
    value, grad_body, grad_head = gradient(pool.body, pool.deep_head)
    assert value[0] == pytest.approx(loss, abs=1e-11)
    assert np.linalg.norm(grad_body) == pytest.approx(body_norm, abs=1e-11)
    assert np.linalg.norm(grad_head[0, 6:]) == pytest.approx(last_layer_norm, abs=1e-11)


def scalar_pair(curve: float, alpha: float, steps: int) -> Callable[[Tensor], Tensor]:
    """The scalar oracle's meta-gradient in (w, φ); y = 3."""

    def gradient(point: Tensor) -> Tensor:
        return torch.cat(
            anil_meta_gradient(
                lambda w, f: curve / 2 * ((w - f) ** 2).sum(),
                lambda w, f: ((w - 3) ** 2).sum() / 2,
                point[:1],
                point[1:],
                alpha=alpha,
                steps=steps,
            )
        )

    return gradient


@pytest.mark.parametrize(
    ("curve", "values"),
    [
        (1.0, (1, 0.82, 0.6922, 0.516377, 0.545796, 0.786408, 0.989746)),
        (-1.0, (1, 1.22, 1.5082, 2.966465, 9.267515, 78.063511, 27327.442974)),
    ],
)
def test_the_scalar_pair_has_the_closed_form_meta_curvature(
    curve: float, values: tuple[float, ...]
) -> None:
    point = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for steps, value in zip((0, 1, 2, 5, 10, 20, 50), values, strict=True):
        shrink = (1 - 0.1 * curve) ** steps
        found = top_curvature(scalar_pair(curve, 0.1, steps), point, step=1e-4)
        assert found == pytest.approx(shrink**2 + (1 - shrink) ** 2, rel=1e-7)
        assert found == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_a_rate_cut_like_one_over_n_bounds_the_scalar_pairs_curvature() -> None:
    point = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for steps, value in ((1, 5), (2, 6.625), (5, 8.406833), (10, 9.267515), (20, 9.773382)):
        found = top_curvature(scalar_pair(-1.0, 1 / steps, steps), point)
        assert found == pytest.approx(value, rel=1e-6)
        assert found < math.e**2 + (math.e - 1) ** 2


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (1.0, {1: 27, 2: 33, 5: 45, 10: 43, 15: 35, 20: 30}),
        (-1.0, {1: 17, 2: 13, 5: 4, 10: math.inf, 15: math.inf, 20: math.inf}),
    ],
)
def test_the_scalar_pair_converges_in_the_known_number_of_iterations(
    curve: float, expected: dict[int, float]
) -> None:
    for steps, iterations in expected.items():
        gradient = scalar_pair(curve, 0.1, steps)
        point = torch.tensor([1.0, 0.0], dtype=torch.float64)
        taken = math.inf
        for k in range(50):
            slope = gradient(point)
            squared = float(slope @ slope)
            if squared <= 1e-6:
                taken = k
            if squared <= 1e-6 or squared > 1e6:
                break
            point = point - 0.3 * slope
        assert taken == iterations


# ---------------------------------------------------------------- the controlled problems


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


# ---------------------------------------------------------------- bounds of the convex case


def test_the_heads_gradient_obeys_its_bound_on_every_problem() -> None:
    data = measured().forgetting
    assert data.ratio.max() <= 1
    assert head_gradient_contracts(data).verdict == "SUPPORTED"
    assert np.all(np.diff(data.norm, axis=0) < 0)
    curved = measured().head
    assert curved.ratio.max() <= 1


def test_a_bound_that_fails_is_refuted_by_the_rule_itself() -> None:
    data = measured().forgetting
    broken = type(data)(data.steps, data.norm, data.ratio * 10, data.factor)
    assert head_gradient_contracts(broken).verdict == "REFUTED"


def test_the_body_gradient_obeys_its_derived_bound_and_the_bound_has_the_right_rate() -> None:
    data = measured().hypergradient
    for error, bound in ((data.error, data.bound), (data.faster, data.faster_bound)):
        assert np.all(error <= bound + 1e-9)
    broken = replace(data, bound=data.bound / 1e6)
    assert body_gradient_reaches_the_limit(broken).verdict == "REFUTED"


def test_a_monotone_error_ratio_is_not_claimed() -> None:
    """The error may dip below its rate and come back; only the bound is claimed."""
    steps = np.arange(6.0)[:, None]
    dip = np.array([1, 1, 1, 0.1, 1, 0.9])[:, None] * steps * 0.9**steps
    assert not always_falling(dip, 0.9)[0]
    assert "must not be made" in body_gradient_reaches_the_limit(measured().hypergradient).note


def test_without_strong_convexity_the_heads_gradient_does_not_vanish() -> None:
    """Fewer rows than features and no penalty: only the null space's part remains."""
    pool = draw_pool(Setup(support=2), repeats=4, seed=0)
    _, top = extremes(pool, 0.0)

    def norms(ridge: float) -> np.ndarray:
        losses = ridge_losses(pool, ridge=ridge)
        rate = float(1 / (top.max() + ridge))
        gradient = meta_gradient(pool, losses, alpha=rate, steps=200)
        return np.asarray(np.linalg.norm(gradient(pool.body, pool.ridge_head)[2], axis=-1))

    assert norms(0.0).min() > 1e-2
    assert norms(0.5).max() < 1e-10


def test_steps_beyond_twice_the_safe_rate_diverge_and_within_it_never() -> None:
    pool = sine_pool(None)
    losses = [
        ridge_meta_gradient(pool, ridge=0.1, alpha=0.5, steps=n)(pool.body, pool.ridge_head)[0][0]
        for n in (0, 50)
    ]
    assert losses[1] > 1e6 * losses[0]
    optimum = adapted_heads(pool, pool.body, pool.ridge_head, ridge=0.1, alpha=0.2, steps=None)
    away = [
        np.linalg.norm(
            adapted_heads(pool, pool.body, pool.ridge_head, ridge=0.1, alpha=0.2, steps=n) - optimum
        )
        for n in (0, 1, 5, 50, 400)
    ]
    assert np.all(np.diff(away) < 0)


# ---------------------------------------------------------------- what must not be claimed


@cache
def measured() -> Measured:
    return measure(SMALL)


def test_a_worse_nonconvex_loss_with_more_steps_is_not_claimed() -> None:
    data = measured().sweeps
    for run in (data.deep, data.ridge):
        assert run[12].loss[-1].mean() < run[1].loss[-1].mean()
    claim = loss_is_not_worse(data)
    assert claim.verdict == "REFUTED"
    assert claim.published is None
    assert "does not claim" in claim.note
    assert not any("worse" in c.statement for c in (nonconvex_converges_slower(data),))


def test_the_gradient_norm_alone_is_not_taken_for_the_geometry() -> None:
    data = measured().sweeps
    assert ratio(data.ridge_small, 12, 1).low > 1, "convex, yet rising: the start decides"
    assert geometry_alone_does_not_decide(data).verdict == "REFUTED"
    assert "W2" in nonconvex_converges_slower(data).note


def test_the_nonconvex_contrast_fades_later_and_the_claim_says_so() -> None:
    data = measured().sweeps
    assert ratio(data.deep, 12, 1).value > 1.5
    assert ratio(data.deep_later, 12, 1).value < 1.3
    assert "100 outer iterations" in nonconvex_converges_slower(data).note


def test_the_head_part_separates_the_geometries() -> None:
    data = measured().sweeps
    convex, bent = (average_gradient(run, "head") for run in (data.ridge, data.deep))
    assert convex[0] / convex[-1] > 10
    assert bent.max() / bent.min() < 4


def test_smoothness_of_the_convex_case_is_bounded_but_not_monotone() -> None:
    pool = draw_pool(Setup(), repeats=8, seed=0)
    meta = {
        n: meta_smoothness(
            ridge_meta_gradient(pool, ridge=0.4, alpha=1 / 4.4, steps=n),
            pool.body,
            pool.ridge_head,
        ).meta
        for n in (1, 40, 80)
    }
    assert np.median(meta[80] / meta[40]) < 1.03
    against_one = meta[80] / meta[1]
    assert against_one.min() < 1 < against_one.max()


def test_few_steps_never_reach_what_a_moderate_number_reaches() -> None:
    found = measured().budgets
    for budget in found:
        assert not np.isfinite(budget.evaluations[:3]).any()
    claim = moderate_steps_are_cheapest(found)
    assert claim.estimate is not None
    assert claim.estimate >= 1.5
    assert best_steps_table(found)["share where cheapest"].sum() == pytest.approx(2)


# ---------------------------------------------------------------- cost


@given(
    method=st.sampled_from(["anil", "maml", "fomaml"]),
    layers=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    ways=st.integers(2, 5),
    n_support=st.integers(1, 12),
    n_query=st.integers(1, 12),
    steps=st.integers(0, 4),
)
@settings(max_examples=20, deadline=None)
def test_the_cost_formulas_are_pytorchs_own_count(
    method: Method, layers: list[int], ways: int, n_support: int, n_query: int, steps: int
) -> None:
    run = one_meta_gradient(
        method,
        layers=layers,
        ways=ways,
        n_support=n_support,
        n_query=n_query,
        steps=steps,
        seed=0,
    )
    formula = flops(
        method, layers=layers, ways=ways, n_support=n_support, n_query=n_query, steps=steps
    )
    assert formula == counted(run)


def test_the_counted_computation_is_the_meta_gradient() -> None:
    """The counter must not be fed something cheaper than the real thing."""
    shape: Shape = {"layers": [4, 6, 3], "ways": 3, "n_support": 6, "n_query": 9}
    grads = one_meta_gradient("anil", **shape, steps=3, seed=1)()
    assert isinstance(grads, tuple)
    assert [tuple(g.shape) for g in grads] == [(3, 3), (4, 6), (6, 3)]
    assert all(bool(g.abs().sum() > 0) for g in grads)


def test_the_known_slopes_and_ratios_are_matched() -> None:
    def cost(method: Method, steps: int) -> int:
        return flops(
            method, layers=[64, 256, 256, 64], ways=5, n_support=25, n_query=75, steps=steps
        )

    slopes = [cost(m, 2) - cost(m, 1) for m in ("anil", "maml", "fomaml")]
    assert slopes == [96000, 40284800, 13974400]
    ratios = [cost("maml", n) / cost("anil", n) for n in (1, 5, 10, 20)]
    assert ratios == pytest.approx([1.469, 4.320, 7.829, 14.672], abs=5e-4)


def test_a_convolutional_body_is_measured_and_costed() -> None:
    body = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.Tanh(),
        nn.Sequential(nn.Conv2d(4, 3, 3, bias=False), nn.Flatten()),
    )
    images, queries = torch.randn(4, 1, 8, 8), torch.randn(6, 1, 8, 8)
    support = measure_forward(body, images, ways=2)
    first, second = 2 * 4 * 4 * 36 * 9, 2 * 4 * 3 * 16 * 36
    assert support == Forward(body=first + second, first=first, head=2 * 4 * 48 * 2)
    query = measure_forward(body, queries, ways=2)
    head = torch.randn(48, 2, requires_grad=True)

    def anil() -> object:
        h, w = body(images), head
        for _ in range(2):
            loss = cross_entropy(h @ w, torch.tensor([0, 1, 0, 1]))
            (slope,) = torch.autograd.grad(loss, w, create_graph=True)
            w = w - 0.1 * slope
        loss = cross_entropy(body(queries) @ w, torch.tensor([0, 1, 0, 1, 0, 1]))
        return torch.autograd.grad(loss, [head, *body.parameters()])

    assert meta_flops("anil", support=support, query=query, steps=2) == counted(anil)


def test_second_order_products_are_what_separates_the_methods() -> None:
    anil, maml, first = (
        products(m, steps=5, head=10, body=1000) for m in ("anil", "maml", "fomaml")
    )
    assert (anil.second_order, maml.second_order, first.second_order) == (10, 5, 0)
    assert maml.stored / anil.stored == 101
    assert first.stored == 1010


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"method": "reptile"}, "reptile"),
        ({"layers": [4]}, "two widths"),
        ({"layers": [4, 0]}, "two widths"),
        ({"ways": 0}, "ways=0"),
        ({"n_support": 0}, "n_support=0"),
        ({"steps": -2}, "-2 inner steps"),
    ],
)
def test_an_impossible_cost_is_refused_in_words(change: dict[str, object], word: str) -> None:
    arguments = {
        "method": "anil",
        "layers": [4, 3],
        "ways": 2,
        "n_support": 2,
        "n_query": 2,
        "steps": 1,
    }
    arguments.update(change)
    method = arguments.pop("method")
    with pytest.raises(ProbeError, match=word):
        flops(method, **arguments)  # type: ignore[arg-type]


# ---------------------------------------------------------------- geometry of a real encoder


def dense_hessian(loss: Callable[[Tensor], Tensor], at: Tensor) -> np.ndarray:
    leaf = at.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    rows = [torch.autograd.grad(s, leaf, retain_graph=True)[0] for s in slope.reshape(-1)]
    return torch.stack(rows).reshape(at.numel(), -1).numpy()


@pytest.mark.parametrize(("n", "d"), [(12, 4), (3, 6)])
def test_the_geometry_of_a_squares_head_is_its_hessians(n: int, d: int) -> None:
    g = torch.Generator().manual_seed(n)
    h = torch.randn(n, d, generator=g, dtype=torch.float64)
    y = torch.randn(n, generator=g, dtype=torch.float64)
    for l2 in (0.0, 0.3):
        hessian = dense_hessian(
            lambda w, l2=l2: ((h @ w - y) ** 2).mean() / 2 + l2 / 2 * (w**2).sum(),  # type: ignore[misc]
            torch.zeros(d, dtype=torch.float64),
        )
        values = np.linalg.eigvalsh(hessian)
        shape = head_geometry(h, loss="squares", l2=l2)
        assert shape.smoothness == pytest.approx(values[-1])
        assert shape.mu == pytest.approx(max(values[0], 0.0), abs=1e-12)
        if n < d:
            assert shape.mu == l2
            assert shape.strongly_convex is (l2 > 0)
            if not l2:
                assert math.isinf(shape.condition)
                assert shape.effective_mu > 0


@given(seed=st.integers(0, 10**6), spread=st.floats(0.0, 5.0), l2=st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_the_geometry_of_a_softmax_head_bounds_its_hessian_everywhere(
    seed: int, spread: float, l2: float
) -> None:
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(8, 3, generator=g, dtype=torch.float64)
    labels = torch.randint(3, (8,), generator=g)
    w = spread * torch.randn(3, 3, generator=g, dtype=torch.float64)
    hessian = dense_hessian(
        lambda v: cross_entropy(h @ v.reshape(3, 3).T, labels) + l2 / 2 * (v**2).sum(),
        w.reshape(-1),
    )
    values = np.linalg.eigvalsh(hessian)
    shape = head_geometry(h, loss="cross-entropy", l2=l2)
    assert values[-1] <= shape.smoothness + 1e-9
    assert values[0] == pytest.approx(shape.mu, abs=1e-9), "a shift of all classes is free"


def test_features_that_cannot_be_measured_are_refused() -> None:
    for bad, word in (
        (torch.zeros(3), "matrix"),
        (torch.full((2, 2), torch.nan), "NaN"),
        (torch.zeros(0, 4), "matrix"),
    ):
        with pytest.raises(ProbeError, match=word):
            head_geometry(bad, loss="squares")
    with pytest.raises(ProbeError, match="penalty"):
        head_geometry(torch.eye(2), loss="squares", l2=-1)


def test_steps_to_is_enough_and_one_less_is_not() -> None:
    alpha, mu = 0.2, 0.3
    n = int(steps_to(0.01, alpha=alpha, mu=mu))
    assert (1 - alpha * mu) ** n <= 0.01 < (1 - alpha * mu) ** (n - 1)
    shape = head_geometry(torch.eye(2, dtype=torch.float64), loss="squares", l2=0.1)
    assert shape.safe_rate == pytest.approx(1 / 0.6)
    assert shape.fastest_rate == pytest.approx(1 / 0.6)
    assert steps_to(0.1, alpha=0.5, mu=0.0) == math.inf
    assert steps_to(0.1, alpha=0.5, mu=2.0) == 1
    for arguments in ({"share": 0.0, "alpha": 1.0, "mu": 0.1}, {"share": 0.5, "alpha": 2, "mu": 1}):
        with pytest.raises(ProbeError):
            steps_to(arguments["share"], alpha=arguments["alpha"], mu=arguments["mu"])


def tiny_encoder(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    g = torch.Generator().manual_seed(0)
    body = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)
    with torch.no_grad():
        for p in body.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64))
    return body


def tiny_episode() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    x, xq = (torch.randn(n, 5, generator=g, dtype=torch.float64) for n in (9, 12))
    return x, torch.arange(9) % 3, xq, torch.arange(12) % 3


def test_curvature_of_each_group_is_the_dense_hessians() -> None:
    encoder = tiny_encoder()
    x, y, _, _ = tiny_episode()
    found = encoder_geometry(encoder, x, 10 * y + 7, alpha=0.1, steps=4, l2=0.02, iterations=60)
    head = torch.zeros(3, 3, dtype=torch.float64)
    with torch.no_grad():
        h = encoder(x)

    def head_loss(w: Tensor, _: Tensor) -> Tensor:
        return cross_entropy(h @ w.T, y) + 0.01 * (w**2).sum()

    head = inner_path(head_loss, head, head, alpha=0.1, steps=4)[-1]
    names = [n for n, _ in encoder.named_parameters()]
    sizes = [p.numel() for p in encoder.parameters()]
    shapes = [p.shape for p in encoder.parameters()]

    def whole(flat: Tensor) -> Tensor:
        *body, w = torch.split(flat, [*sizes, 9])
        named = {k: b.reshape(s) for k, b, s in zip(names, body, shapes, strict=True)}
        features = functional_call(encoder, named, (x,))
        return cross_entropy(features @ w.reshape(3, 3).T, y) + 0.01 * (w**2).sum()

    flat = torch.cat([*(p.detach().reshape(-1) for p in encoder.parameters()), head.reshape(-1)])
    hessian = dense_hessian(whole, flat)
    last = sum(sizes[:-2])
    blocks = {
        "head only": slice(sum(sizes), None),
        "last layer and head": slice(last, None),
        "body only": slice(None, sum(sizes)),
        "everything": slice(None),
    }
    assert list(found.groups) == list(blocks)
    for name, block in blocks.items():
        values = np.linalg.eigvalsh(hessian[block, block])
        shape, _ = found.groups[name]
        assert shape.largest == pytest.approx(values[-1], rel=1e-7)
        assert shape.smallest == pytest.approx(values[0], rel=1e-6, abs=1e-8)
    assert found.groups["head only"][1].geometry == "convex"
    assert found.groups["everything"][1].geometry == "nonconvex"
    table = found.table()
    assert list(table["adapted"]) == list(blocks)


@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_is_left_as_it_was_found(training: bool) -> None:
    encoder = tiny_encoder().train(training)
    for p in encoder.parameters():
        p.requires_grad_(False)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    x, y, _, _ = tiny_episode()
    encoder_geometry(encoder, x, y, alpha=0.1, steps=2)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert encoder.training is training
    assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())


def test_groups_are_named_by_layers_and_unknown_names_are_refused() -> None:
    encoder = tiny_encoder()
    assert default_groups(encoder)["last layer and head"] == ["3.weight", "3.bias", "head"]
    assert list(layer_groups(encoder)) == ["0", "1", "3", "head"]
    normed = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3), nn.BatchNorm1d(3))
    last = ["1.weight", "1.bias", "2.weight", "2.bias", "head"]
    assert default_groups(normed)["last layer and head"] == last
    assert list(default_groups(nn.Flatten())) == ["head only"]
    x, y, _, _ = tiny_episode()
    with pytest.raises(ProbeError, match=r"9\.weight"):
        encoder_geometry(encoder, x, y, alpha=0.1, steps=1, groups={"a": ["9.weight"]})
    with pytest.raises(ProbeError, match=r"give \(3, 3\)"):
        encoder_geometry(encoder, x, y, alpha=0.1, steps=1, head=torch.zeros(2, 3))


def test_float32_encoders_are_measured_too() -> None:
    x, y, _, _ = tiny_episode()
    wide = encoder_geometry(tiny_encoder(), x, y, alpha=0.1, steps=2)
    narrow = encoder_geometry(tiny_encoder(torch.float32), x.float(), y, alpha=0.1, steps=2)
    assert narrow.head.smoothness == pytest.approx(wide.head.smoothness, rel=1e-5)
    for name, (shape, _) in wide.groups.items():
        assert narrow.groups[name][0].largest == pytest.approx(shape.largest, rel=1e-3)


def test_the_finite_step_bias_shrinks_to_nothing_with_steps() -> None:
    encoder = tiny_encoder().eval()
    x, y, xq, yq = tiny_episode()
    inner, outer, body = episode_losses(encoder, (x, y), (xq, yq), l2=0.5)
    head = torch.zeros(3, 3, dtype=torch.float64)
    with torch.no_grad():
        rate = head_geometry(encoder(x), loss="cross-entropy", l2=0.5).safe_rate
    bias = [
        finite_step_bias(inner, outer, head, body, alpha=rate, steps=n) for n in (2, 20, 60, 400)
    ]
    assert bias[-1] < 1e-4
    assert bias[0] > bias[1] > bias[2] > bias[3]


def test_the_finite_step_bias_needs_strong_convexity() -> None:
    head, body = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    with pytest.raises(ProbeError, match="not strongly convex"):
        finite_step_bias(
            lambda w, f: (w[0] - f[0]) ** 2 * 0.5,
            lambda w, f: ((w - f) ** 2).sum() + w[1],
            head,
            body,
            alpha=0.1,
            steps=2,
        )


def test_the_reached_decrease_is_a_share_of_what_is_possible() -> None:
    target = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def loss(w: Tensor) -> Tensor:
        return ((w - target) ** 2).sum() / 2

    start = torch.zeros(2, dtype=torch.float64)
    for steps in (0, 1, 5):
        share = decrease_reached(loss, start, alpha=0.1, steps=steps)
        assert share == pytest.approx(1 - 0.9 ** (2 * steps), abs=1e-9)
    assert decrease_reached(loss, target, alpha=0.1, steps=3) == 1
    assert decrease_reached(loss, start, alpha=2.5, steps=3) < 0


def test_advice_follows_the_sign_of_the_smallest_curvature() -> None:
    convex = advise(Curvature(4.0, 0.0, 10), alpha=0.1, steps=50)
    assert (convex.geometry, convex.stable, convex.growth) == ("convex", True, 1.0)
    assert convex.rate == pytest.approx(1 / 4)
    hot = advise(Curvature(4.0, 0.1, 10), alpha=0.6, steps=5)
    assert not hot.stable
    assert "overshoots" in hot.sentence
    bent = advise(Curvature(4.0, -1.0, 10), alpha=0.1, steps=20)
    assert bent.geometry == "nonconvex"
    assert bent.growth == pytest.approx(1.1**40)
    assert (1 + bent.rate) ** 40 == pytest.approx(10)
    assert "amplify" in bent.sentence
    rates = [advise(Curvature(4.0, -1.0, 10), alpha=0.1, steps=n).rate * n for n in (40, 80, 160)]
    assert rates == pytest.approx([math.log(10) / 2] * 3, rel=0.05), "the rate falls like 1/N"
    assert advise(Curvature(4.0, -1e-9, 3), alpha=0.1, steps=2).geometry == "convex"


def test_an_empty_group_has_no_curvature() -> None:
    with pytest.raises(ProbeError, match="empty"):
        curvature(lambda: torch.zeros(()), [])
    flat = torch.ones(3, requires_grad=True)
    assert curvature(lambda: flat.sum(), [flat]) == Curvature(0.0, 0.0, 3)


# ---------------------------------------------------------------- the ledger


def test_intervals_come_from_repeats_and_hold_their_statistic() -> None:
    values = np.exp(np.random.default_rng(0).standard_normal(40))
    found = estimate(values)
    assert found.low < found.value < found.high
    assert found == estimate(values), "the same seed resamples the same"
    assert estimate(values, median).value == pytest.approx(np.median(values))
    assert estimate(np.full(5, 2.0)).interval == pytest.approx((2.0, 2.0))


def test_verdicts_follow_the_rule() -> None:
    table = {(True, False): "SUPPORTED", (True, True): "SUPPORTED", (False, True): "REFUTED"}
    for supported, refuted in itertools.product((True, False), repeat=2):
        expected = table.get((supported, refuted), "NOT SHOWN")
        assert verdict(supported=supported, refuted=refuted) == expected


def check_study(study: Study) -> None:
    ids = [c.id for c in study.claims]
    assert ids == [f"C{i}" for i in range(1, 15)] + ["W1", "W2"]
    for claim in study.claims:
        for word in ("SUPPORTED", "REFUTED"):
            assert word in claim.rule
        assert (claim.published is None) == (claim.published_status == "not obtainable")
        assert claim.measured
        if claim.interval is not None:
            assert claim.estimate is not None
            assert claim.interval[0] <= claim.estimate <= claim.interval[1]
    assert set(study.figures) == set(study.captions)
    assert all(len(table) for table in study.tables.values())


def test_the_ledger_names_every_claim_with_rule_status_and_verdict() -> None:
    check_study(report(measured()))


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False])
def test_the_whole_study_runs_and_its_ledger_is_complete(quick: bool) -> None:
    study = ji2020.run(Settings(quick=quick))
    check_study(study)
    verdicts = {c.id: c.verdict for c in study.claims}
    for exact in ("C1", "C2", "C9", "C13", "C14"):
        assert verdicts[exact] == "SUPPORTED"
    assert verdicts["W1"] == "REFUTED"
