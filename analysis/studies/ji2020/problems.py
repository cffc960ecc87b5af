"""Small regression tasks on which every quantity of the theory can be computed.

A fixed teacher body makes features; each task is a random head on them plus noise. The
student's body is ``h(x) = c tanh(xφ)/√d``, so ``‖h‖ ≤ c`` for *every* φ, and the
curvature of the inner loss cannot drift out of the theory while φ is trained (with an
unbounded linear body it does). Two heads stand for the paper's two geometries:

* **ridge head**, ``½ mean (h·w − y)² + λ/2 ‖w‖²``: strongly convex, with
  ``λ ≤ μ`` and ``L ≤ c² + λ``;
* **two-layer head**, ``½ mean (a·tanh(Vᵀh) − y)²``: nonconvex.

The paper's: the two geometries of the inner loss. Recalled, not verified: that its own
experiments realise them by a penalised linear head and a two-layer head. Derived here:
this set-up; the paper trained image encoders.

Shapes: ``S`` repeats (independent meta-problems), ``B`` tasks, ``n`` support rows,
``nq`` query rows, ``p`` inputs, ``d`` features, ``k`` hidden units of the deep head.
Leading dimensions broadcast: a body of shape ``(R, S, p, d)`` is ``R`` points at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .recursion import Loss, anil_pass

Array = NDArray[np.float64]

MetaGradient = Callable[[Array, Array], tuple[Array, Array, Array]]
"""``(body, head) -> (meta-loss (…, S), grad_body, grad_head)``."""


@dataclass(frozen=True)
class Setup:
    """Sizes of the controlled problem.

    Args:
        tasks: ``B``.
        inputs: ``p``.
        width: ``d``, features.
        support: ``n`` rows the inner loop fits.
        query: ``nq`` rows that score the adapted head.
        bound: ``c``, the largest norm a feature row can have; None for the linear
            body ``h = xφ`` (curvature then unbounded).
        noise: Standard deviation of the label noise.
        hidden: ``k`` of the two-layer head.
        ridge_start: Standard deviation of the ridge head's start; 1 is the spread of
            the tasks' own heads.
        deep_start: The same for the two-layer head; small values start near a saddle.
    """

    tasks: int = 10
    inputs: int = 10
    width: int = 4
    support: int = 10
    query: int = 20
    bound: float | None = 2.0
    noise: float = 0.05
    hidden: int = 3
    ridge_start: float = 1.0
    deep_start: float = 0.3


@dataclass(frozen=True)
class Pool:
    """Tasks and starting points of ``S`` independent meta-problems.

    Args:
        x: Support inputs ``(S, B, n, p)``.
        y: Support targets ``(S, B, n)``.
        query_x: ``(S, B, nq, p)``.
        query_y: ``(S, B, nq)``.
        body: Start of the body ``(S, p, d)``.
        ridge_head: Start of the ridge head ``(S, d)``.
        deep_head: Start of the two-layer head, ``V`` then ``a``: ``(S, d k + k)``.
        bound: ``c``; None for a linear body.
    """

    x: Array
    y: Array
    query_x: Array
    query_y: Array
    body: Array
    ridge_head: Array
    deep_head: Array
    bound: float | None

    def repeats(self, index: NDArray[np.intp]) -> Pool:
        """Some of the meta-problems: ``index`` is ``(r,)``."""
        return Pool(
            self.x[index],
            self.y[index],
            self.query_x[index],
            self.query_y[index],
            self.body[index],
            self.ridge_head[index],
            self.deep_head[index],
            self.bound,
        )

    def tasks(self, index: NDArray[np.intp]) -> Pool:
        """The same problems on chosen tasks: ``index`` is ``(S, b)`` or ``(b,)``."""
        s = np.arange(len(self.body))[:, None]
        return Pool(
            self.x[s, index],
            self.y[s, index],
            self.query_x[s, index],
            self.query_y[s, index],
            self.body,
            self.ridge_head,
            self.deep_head,
            self.bound,
        )


def draw_pool(setup: Setup, *, repeats: int, seed: int) -> Pool:
    """Draws ``repeats`` meta-problems, each from its own stream.

    Repeat ``s`` depends on ``(seed, s)`` only, so more repeats extend fewer.
    """
    rows = setup.support + setup.query
    parts: list[tuple[Array, ...]] = []
    for s in range(repeats):
        rng = np.random.default_rng([2020, seed, s])
        teacher = 1.5 * rng.standard_normal((setup.inputs, setup.width)) / np.sqrt(setup.inputs)
        heads = rng.standard_normal((setup.tasks, setup.width))
        x = rng.standard_normal((setup.tasks, rows, setup.inputs))
        clean = (features(x, teacher, setup.bound) @ heads[..., None])[..., 0]
        y = clean + setup.noise * rng.standard_normal(clean.shape)
        body = rng.standard_normal((setup.inputs, setup.width)) / np.sqrt(setup.inputs)
        shallow = setup.ridge_start * rng.standard_normal(setup.width)
        deep = setup.deep_start * rng.standard_normal((setup.width + 1) * setup.hidden)
        parts.append((x, y, body, shallow, deep))
    x, y, body, shallow, deep = (np.stack(part) for part in zip(*parts, strict=True))
    n = setup.support
    return Pool(
        x[:, :, :n], y[:, :, :n], x[:, :, n:], y[:, :, n:], body, shallow, deep, setup.bound
    )  # fmt: skip


def features(x: Array, body: Array, bound: float | None) -> Array:
    """``c tanh(xφ)/√d``, or ``xφ`` where ``bound`` is None: ``(…, n, d)``."""
    z = x @ body
    return z if bound is None else bound * np.tanh(z) / np.sqrt(body.shape[-1])


TaskLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``(head (…, S, B, ·), features (…, S, B, n, d)) -> losses (…, S, B)``, one per task."""


def ridge_losses(pool: Pool, *, ridge: float) -> tuple[TaskLoss, TaskLoss]:
    """Support and query loss of the ridge head; only the first carries the ridge."""

    def fit(y: Array, strength: float) -> TaskLoss:
        targets = torch.from_numpy(y)

        def loss(head: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            error = (h @ head[..., None])[..., 0] - targets
            return ((error**2).mean(-1) + strength * (head**2).sum(-1)) / 2

        return loss

    return fit(pool.y, ridge), fit(pool.query_y, 0.0)


def deep_losses(pool: Pool) -> tuple[TaskLoss, TaskLoss]:
    """Support and query loss of the two-layer head ``½ mean (a·tanh(Vᵀh) − y)²``.

    The head's last dimension is ``V`` flattened, then ``a``: ``d k + k`` numbers.
    """
    d = pool.body.shape[-1]

    def fit(y: Array) -> TaskLoss:
        targets = torch.from_numpy(y)

        def loss(head: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            k = head.shape[-1] // (d + 1)
            first = head[..., : d * k].reshape(*head.shape[:-1], d, k)
            error = (torch.tanh(h @ first) @ head[..., d * k :, None])[..., 0] - targets
            return (error**2).mean(-1) / 2

        return loss

    return fit(pool.y), fit(pool.query_y)


def through_body(pool: Pool, losses: tuple[TaskLoss, TaskLoss]) -> tuple[Loss, Loss]:
    """Support and query loss summed over tasks, as functions of head and body."""
    inner, outer = losses
    return (
        lambda head, body: inner(head, torch_features(pool.x, body, pool.bound)).sum(),
        lambda head, body: outer(head, torch_features(pool.query_x, body, pool.bound)).sum(),
    )


def meta_gradient(
    pool: Pool, losses: tuple[TaskLoss, TaskLoss], *, alpha: float, steps: int
) -> MetaGradient:
    """The meta-gradient of any head, averaged over the pool's tasks.

    As in ANIL itself the body runs once: the recursion treats the features as its body,
    and their gradient goes back through the real one at the end. One call serves all
    tasks, repeats and points, since the Hessian in the stacked heads is block-diagonal.
    """
    inner, outer = losses
    tasks, n = pool.x.shape[-3:-1]
    x = np.concatenate([pool.x, pool.query_x], axis=-2)

    def gradient(body: Array, head: Array) -> tuple[Array, Array, Array]:
        phi = torch.from_numpy(np.ascontiguousarray(body)).requires_grad_()
        rows = torch_features(x, phi, pool.bound)
        adapted, grad_head, grad_rows = anil_pass(
            lambda w, h: inner(w, h[..., :n, :]).sum(),
            lambda w, h: outer(w, h[..., n:, :]).sum(),
            torch.from_numpy(np.repeat(head[..., None, :], tasks, axis=-2)),
            rows,
            alpha=alpha,
            steps=steps,
        )
        (grad_body,) = torch.autograd.grad(rows, phi, grad_rows)
        loss = outer(adapted, rows.detach()[..., n:, :]).mean(-1)
        return loss.numpy(), grad_body.numpy() / tasks, grad_head.numpy().mean(-2)

    return gradient


def torch_features(x: Array, body: torch.Tensor, bound: float | None) -> torch.Tensor:
    """`features` for a differentiable body, one for each repeat: ``(…, S, B, n, d)``."""
    z = torch.from_numpy(x) @ body[..., None, :, :]
    return z if bound is None else bound * torch.tanh(z) / float(np.sqrt(body.shape[-1]))
