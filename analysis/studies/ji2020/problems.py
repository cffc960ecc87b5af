"""Small regression tasks on which every quantity of the theory can be computed.

A fixed teacher body makes features; each task is a random head on them plus noise. The
student's body is ``h(x) = c tanh(xφ)/√d``, so ``‖h‖ ≤ c`` for *every* φ, and the
curvature of the inner loss cannot drift out of the theory while φ is trained (with an
unbounded linear body it does). Two heads stand for the paper's two geometries:

* **ridge head**, ``½ mean (h·w − y)² + λ/2 ‖w‖²``: strongly convex, with
  ``λ ≤ μ`` and ``L ≤ c² + λ``;
* **two-layer head**, ``½ mean (a·tanh(Vᵀh) − y)²``: nonconvex.

The paper's: adapting a linear head is the strongly convex case, a deeper head the
nonconvex one. Derived here: this set-up; the paper trained image encoders.

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

from .recursion import anil_pass

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
"""``(head (…, S, B, ·), body (…, S, p, d)) -> losses (…, S, B)``, one per task."""


def ridge_losses(pool: Pool, *, ridge: float) -> tuple[TaskLoss, TaskLoss]:
    """Support and query loss of the ridge head; only the first carries the ridge."""

    def fit(x: Array, y: Array, strength: float) -> TaskLoss:
        inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

        def loss(head: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
            h = _torch_features(inputs, body, pool.bound)
            error = (h @ head[..., None])[..., 0] - targets
            return ((error**2).mean(-1) + strength * (head**2).sum(-1)) / 2

        return loss

    return fit(pool.x, pool.y, ridge), fit(pool.query_x, pool.query_y, 0.0)


def deep_losses(pool: Pool) -> tuple[TaskLoss, TaskLoss]:
    """Support and query loss of the two-layer head ``½ mean (a·tanh(Vᵀh) − y)²``.

    The head's last dimension is ``V`` flattened, then ``a``: ``d k + k`` numbers.
    """
    d = pool.body.shape[-1]

    def fit(x: Array, y: Array) -> TaskLoss:
        inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

        def loss(head: torch.Tensor, body: torch.Tensor) -> torch.Tensor:
            k = head.shape[-1] // (d + 1)
            first, second = head[..., : d * k].reshape(*head.shape[:-1], d, k), head[..., d * k :]
            hidden = torch.tanh(_torch_features(inputs, body, pool.bound) @ first)
            error = (hidden @ second[..., None])[..., 0] - targets
            return (error**2).mean(-1) / 2

        return loss

    return fit(pool.x, pool.y), fit(pool.query_x, pool.query_y)


def meta_gradient(
    losses: tuple[TaskLoss, TaskLoss], *, tasks: int, alpha: float, steps: int
) -> MetaGradient:
    """The meta-gradient of any pair of task losses, averaged over ``tasks`` tasks.

    One call of the recursion serves all tasks, repeats and points: the Hessian in the
    stacked heads is block-diagonal.
    """
    inner, outer = losses

    def gradient(body: Array, head: Array) -> tuple[Array, Array, Array]:
        phi = torch.from_numpy(np.ascontiguousarray(body))
        start = torch.from_numpy(np.repeat(head[..., None, :], tasks, axis=-2))
        adapted, grad_head, grad_body = anil_pass(
            lambda w, f: inner(w, f).sum(),
            lambda w, f: outer(w, f).sum(),
            start,
            phi,
            alpha=alpha,
            steps=steps,
        )
        loss = outer(adapted, phi).mean(-1)
        return loss.numpy(), grad_body.numpy() / tasks, grad_head.numpy().mean(-2)

    return gradient


def _torch_features(x: torch.Tensor, body: torch.Tensor, bound: float | None) -> torch.Tensor:
    z = x @ body[..., None, :, :]
    return z if bound is None else bound * torch.tanh(z) / float(np.sqrt(body.shape[-1]))
