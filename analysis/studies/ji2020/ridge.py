"""The strongly convex case in closed form: a ridge head on a trained body.

The inner loop on a quadratic is linear, ``w_m = w* + (I − αG)^m (w_0 − w*)``, and so is
the backward recursion of the meta-gradient. In the eigenbasis of ``G`` both are powers,
so a meta-gradient costs about the same for one inner step as for a hundred. It equals
the general recursion (tests hold it to 1e-10), and as ``N → ∞`` it becomes the implicit
meta-gradient of the head solved exactly.

Derived here; the paper treats every strongly convex inner loss at once, by bounds.
"""

from __future__ import annotations

import numpy as np

from .problems import Array, MetaGradient, Pool, features


def ridge_matrices(pool: Pool, body: Array, *, ridge: float | Array) -> tuple[Array, Array]:
    """Normal equations of every task's head: ``G = HᵀH/n + λI`` and ``c = Hᵀy/n``.

    Args:
        pool: Tasks.
        body: ``(…, S, p, d)``.
        ridge: ``λ``; an array ``(S,)`` gives each repeat its own.
    """
    h = features(pool.x, body[..., None, :, :], pool.bound)
    n, d = h.shape[-2:]
    gram = np.swapaxes(h, -1, -2) @ h / n + _per(ridge, 3) * np.eye(d)
    return gram, (np.swapaxes(h, -1, -2) @ pool.y[..., None])[..., 0] / n


def ridge_meta_gradient(
    pool: Pool, *, ridge: float | Array, alpha: float | Array, steps: int | None
) -> MetaGradient:
    """The meta-gradient of the ridge head, in closed form in each task's eigenbasis.

    With ``G = Q diag(σ) Qᵀ`` the inner loop is ``w_m = w* + (I − αG)^m (w_0 − w*)`` and
    the backward recursion a power of the same matrix, so the cost hardly grows with N.
    The gradient in ``G`` and ``c`` is then pushed through one backward pass of the body.

    Args:
        pool: Tasks.
        ridge: ``λ``; an array ``(S,)`` gives each repeat its own.
        alpha: Inner rate, likewise.
        steps: ``N``; None for the limit ``N → ∞``, the implicit meta-gradient of the
            head solved exactly (its gradient in the start is then 0).
    """
    x, query_x = pool.x, pool.query_x
    n, queries, tasks = x.shape[-2], query_x.shape[-2], x.shape[-3]

    def gradient(body: Array, head: Array) -> tuple[Array, Array, Array]:
        h = features(x, body[..., None, :, :], pool.bound)
        hq = features(query_x, body[..., None, :, :], pool.bound)
        gram, c = ridge_matrices(pool, body, ridge=ridge)
        sigma, q = np.linalg.eigh(gram)
        start = np.einsum("...bij,...i->...bj", q, head)
        optimum = np.einsum("...ij,...i->...j", q, c) / sigma
        if steps is None:
            path, powers = optimum[None], None
        else:
            powers = (1 - _per(alpha, 2) * sigma) ** np.arange(steps + 1).reshape(
                -1, *[1] * sigma.ndim
            )
            path = optimum + powers * (start - optimum)
        last = path[-1]
        adapted = np.einsum("...ij,...j->...i", q, last)
        error = (hq @ adapted[..., None])[..., 0] - pool.query_y
        loss = 0.5 * (error**2).mean((-1, -2))
        dhq = error[..., None] * adapted[..., None, :] / queries
        v = np.einsum("...ij,...i->...j", q, np.einsum("...nd,...n->...d", hq, error) / queries)
        if powers is None:
            back = v / sigma
            dgram, dc, at_start = -back[..., :, None] * last[..., None, :], back, 0 * v
        else:
            back = powers[:-1][::-1] * v
            dgram = -_per(alpha, 3) * np.einsum("m...i,m...j->...ij", back, path[:-1])
            dc, at_start = _per(alpha, 2) * back.sum(0), powers[-1] * v
        dgram = q @ dgram @ np.swapaxes(q, -1, -2)
        dc = np.einsum("...ij,...j->...i", q, dc)
        dh = (h @ (dgram + np.swapaxes(dgram, -1, -2)) + pool.y[..., None] * dc[..., None, :]) / n
        grad_body = np.swapaxes(x, -1, -2) @ (dh * _slope(h, pool.bound))
        grad_body = grad_body + np.swapaxes(query_x, -1, -2) @ (dhq * _slope(hq, pool.bound))
        grad_head = np.einsum("...ij,...j->...i", q, at_start)
        return loss, grad_body.sum(-3) / tasks, grad_head.mean(-2)

    return gradient


def adapted_heads(
    pool: Pool,
    body: Array,
    head: Array,
    *,
    ridge: float | Array,
    alpha: float | Array,
    steps: int | None,
) -> Array:
    """Each task's head after ``steps`` inner steps (None: its optimum), ``(…, S, B, d)``."""
    gram, c = ridge_matrices(pool, body, ridge=ridge)
    optimum = np.linalg.solve(gram, c[..., None])[..., 0]
    if steps is None:
        return np.asarray(optimum, dtype=np.float64)
    away = _contraction(gram, alpha, steps) @ (head[..., None, :] - optimum)[..., None]
    return np.asarray(optimum + away[..., 0], dtype=np.float64)


def head_smoothness(
    pool: Pool, body: Array, *, ridge: float | Array, alpha: float | Array, steps: int
) -> tuple[Array, Array]:
    """Curvature of the meta-loss in the head's start, and of the query loss itself.

    The first is the norm of ``mean_i A_iᴺ Q_i A_iᴺ`` with ``A_i = I − αG_i`` and ``Q_i``
    the query loss's Hessian; the second the largest norm of a ``Q_i``. Both ``(S,)``.
    """
    gram, _ = ridge_matrices(pool, body, ridge=ridge)
    hq = features(pool.query_x, body[..., None, :, :], pool.bound)
    bent = np.swapaxes(hq, -1, -2) @ hq / hq.shape[-2]
    power = _contraction(gram, alpha, steps)
    meta = (power @ bent @ power).mean(-3)
    norms = [np.asarray(np.linalg.norm(m, 2, (-1, -2)), dtype=np.float64) for m in (meta, bent)]
    return norms[0], np.asarray(norms[1].max(-1), dtype=np.float64)


def _contraction(gram: Array, alpha: float | Array, steps: int) -> Array:
    return np.linalg.matrix_power(np.eye(gram.shape[-1]) - _per(alpha, 3) * gram, steps)


def _per(value: float | Array, axes: int) -> Array:
    """A number, or one for each repeat, with ``axes`` trailing dimensions to broadcast."""
    return np.asarray(value, dtype=np.float64)[(..., *[None] * axes)]


def _slope(h: Array, bound: float | None) -> Array | float:
    """``dh/dz`` of `features`, from its output."""
    if bound is None:
        return 1.0
    k = bound / np.sqrt(h.shape[-1])
    return np.asarray(k - h * h / k, dtype=np.float64)
