"""Meta-training and meta-smoothness, for any meta-gradient.

Two measurements carry the study. *Training*: gradient descent on the meta-loss,
recording how large its gradient still is; the paper's convergence statements are about
the average of that squared norm over the outer iterations. *Meta-smoothness*: the
largest curvature of the meta-loss at a point; its inverse is the outer rate that is
safe there, so if it grows with the number of inner steps, training must slow down.

The paper's: convergence measured by the squared norm of the meta-gradient, for an outer
loss that need not be convex. Derived here: the measurements themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problems import Array, MetaGradient, Pool
from .ridge import ridge_meta_gradient


@dataclass(frozen=True)
class Training:
    """A meta-training run of ``K`` outer iterations on ``S`` repeats.

    Args:
        loss: Meta-loss before each iteration and after the last, ``(K + 1, S)``.
        head: Squared norm of the meta-gradient in the head, ``(K, S)``.
        body: The same in the body, ``(K, S)``.
        body_end: The body after the last iteration ``(S, p, d)``.
        head_end: The head after the last iteration ``(S, ·)``.
    """

    loss: Array
    head: Array
    body: Array
    body_end: Array
    head_end: Array

    @property
    def total(self) -> Array:
        """Squared norm of the whole meta-gradient, ``(K, S)``."""
        return self.head + self.body


def meta_train(
    gradient: MetaGradient, body: Array, head: Array, *, beta: float | Array, iterations: int
) -> Training:
    """Gradient descent on the meta-loss with a constant outer rate.

    A run that leaves the finite numbers keeps its non-finite losses; nothing is
    clipped, so a divergence stays visible.

    Args:
        gradient: Meta-loss and its gradient.
        body: Start ``(S, p, d)``.
        head: Start ``(S, ·)``.
        beta: Outer rate for body and head alike; an array gives each repeat its own.
        iterations: ``K``.
    """
    rate = np.broadcast_to(np.asarray(beta, dtype=np.float64), body.shape[:1])
    losses, heads, bodies = [], [], []
    with np.errstate(all="ignore"):
        for _ in range(iterations):
            loss, grad_body, grad_head = gradient(body, head)
            losses.append(loss)
            heads.append((grad_head**2).sum(-1))
            bodies.append((grad_body**2).sum((-1, -2)))
            body = body - rate[:, None, None] * grad_body
            head = head - rate[:, None] * grad_head
        losses.append(gradient(body, head)[0])
    return Training(np.stack(losses), np.stack(heads), np.stack(bodies), body, head)


@dataclass(frozen=True)
class Smoothness:
    """Largest absolute curvature of the meta-loss at a point, per repeat ``(S,)``.

    Args:
        meta: In all directions.
        head: Among directions of the head (the block ``L_ww``).
        body: Among directions of the body (``L_φφ``).
    """

    meta: Array
    head: Array
    body: Array


def meta_smoothness(
    gradient: MetaGradient, body: Array, head: Array, *, step: float = 1e-5
) -> Smoothness:
    """Spectral norm of the meta-Hessian, by central differences of the exact gradient.

    The whole matrix is formed (these problems have some fifty parameters), so the
    answer does not depend on how long a power iteration ran.

    Args:
        gradient: Meta-loss and its gradient; must broadcast over a leading dimension.
        body: Point ``(S, p, d)``.
        head: Point ``(S, q)``.
        step: Finite-difference step.
    """
    s, p, d = body.shape
    q = head.shape[-1]
    size = p * d + q
    shift = step * np.concatenate([np.eye(size), -np.eye(size)])
    bodies = body + shift[:, : p * d].reshape(-1, 1, p, d)
    heads = head + shift[:, None, p * d :]
    _, grad_body, grad_head = gradient(bodies, heads)
    flat = np.concatenate([grad_body.reshape(2 * size, s, p * d), grad_head], axis=-1)
    hessian = (flat[:size] - flat[size:]).swapaxes(0, 1) / (2 * step)
    hessian = (hessian + hessian.swapaxes(-1, -2)) / 2

    def norm(block: Array) -> Array:
        return np.asarray(np.abs(np.linalg.eigvalsh(block)).max(-1))

    cut = p * d
    return Smoothness(norm(hessian), norm(hessian[:, cut:, cut:]), norm(hessian[:, :cut, :cut]))


def noise_floor(
    pool: Pool,
    *,
    start: tuple[Array, Array],
    batch: int,
    ridge: float,
    alpha: float,
    steps: int,
    beta: float,
    warm_up: int,
    iterations: int,
    seed: int,
) -> Array:
    """Where stochastic meta-training levels off: mean squared norm of the full gradient.

    Each iteration follows the meta-gradient of ``batch`` tasks drawn with replacement
    from the pool; the gradient of the whole pool is only measured, every fifth time.

    Args:
        pool: Tasks.
        start: Body and head to start from, best near a stationary point.
        batch: ``B``.
        ridge: ``λ``.
        alpha: Inner rate.
        steps: ``N``.
        beta: Outer rate.
        warm_up: Iterations before measuring.
        iterations: Iterations while measuring.
        seed: Of the batches.

    Returns:
        The average over the iterations after ``warm_up``, per repeat ``(S,)``.
    """
    rng = np.random.default_rng([seed, batch])
    exact = ridge_meta_gradient(pool, ridge=ridge, alpha=alpha, steps=steps)
    body, head = start
    s, tasks = pool.x.shape[:2]
    seen = []
    for k in range(warm_up + iterations):
        if k >= warm_up and k % 5 == 0:
            _, full_body, full_head = exact(body, head)
            seen.append((full_body**2).sum((-1, -2)) + (full_head**2).sum(-1))
        drawn = pool.tasks(rng.integers(tasks, size=(s, batch)))
        noisy = ridge_meta_gradient(drawn, ridge=ridge, alpha=alpha, steps=steps)
        _, grad_body, grad_head = noisy(body, head)
        body, head = body - beta * grad_body, head - beta * grad_head
    return np.asarray(np.mean(seen, axis=0))


def evaluations_to(target: Array, loss: Array, steps: int) -> Array:
    """Gradient evaluations until the meta-loss first reaches a target.

    An outer iteration with ``N`` inner steps costs ``N`` inner and 2 outer gradients.

    Args:
        target: ``(S,)``.
        loss: ``(K + 1, S)``, before each iteration and after the last.
        steps: ``N``.

    Returns:
        ``(S,)``; infinite where the target is never reached.
    """
    reached = loss <= target
    first = reached.argmax(0)
    return np.where(reached.any(0), first * (steps + 2.0), np.inf)
