"""C2, C3, C4: when the head's loss is strongly convex, the inner loop forgets its start.

Each inner step multiplies the distance to the task's optimum by at most
``q = 1 − αμ < 1``. So the meta-loss stops depending on where the head started, and what
is left for the body is the gradient through the optimum itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..study import Claim
from .ledger import DERIVED, Estimate, Sizes, estimate, geometric_mean, median, numbers, verdict
from .problems import Array, Pool, Setup, draw_pool, features
from .ridge import adapted_heads, head_smoothness, ridge_matrices, ridge_meta_gradient

RIDGE = 0.4
KAPPA = 28.6  # condition number at which C3 is stated
TARGET = 1e-3
NOISE = 1e-10  # relative errors below this are rounding


def extremes(pool: Pool, ridge: float | Array) -> tuple[Array, Array]:
    """``μ`` and ``L`` over a repeat's tasks at its start, each ``(S,)``."""
    sigma = np.linalg.eigvalsh(ridge_matrices(pool, pool.body, ridge=ridge)[0])
    return sigma.min((-1, -2)), sigma.max((-1, -2))


@dataclass(frozen=True)
class Forgetting:
    """How the head's meta-gradient dies out.

    Args:
        steps: Inner steps.
        norm: ``‖dL/dw‖``, ``(len(steps), S)``.
        ratio: Against the bound ``q^N max_i ‖∇_w f_i(w_N)‖``, same shape.
        factor: ``q``, ``(S,)``.
    """

    steps: tuple[int, ...]
    norm: Array
    ratio: Array
    factor: Array


def forgetting(size: Sizes) -> Forgetting:
    """Measures `Forgetting` at ``α = 1/L`` of each repeat."""
    pool = draw_pool(Setup(), repeats=size.exact, seed=size.seed)
    mu, top = extremes(pool, RIDGE)
    alpha, q = 1 / top, 1 - mu / top
    steps = (1, 3, 10, 30, 100)
    norms, ratios = [], []
    hq = features(pool.query_x, pool.body[:, None], pool.bound)
    for n in steps:
        gradient = ridge_meta_gradient(pool, ridge=RIDGE, alpha=alpha, steps=n)
        norm = np.linalg.norm(gradient(pool.body, pool.ridge_head)[2], axis=-1)
        w = adapted_heads(pool, pool.body, pool.ridge_head, ridge=RIDGE, alpha=alpha, steps=n)
        error = (hq @ w[..., None])[..., 0] - pool.query_y
        slopes = np.einsum("sbnd,sbn->sbd", hq, error) / hq.shape[-2]
        norms.append(norm)
        ratios.append(norm / (q**n * np.linalg.norm(slopes, axis=-1).max(-1)))
    return Forgetting(steps, np.stack(norms), np.stack(ratios), q)


def head_gradient_contracts(data: Forgetting) -> Claim:
    """C2."""
    worst = float(data.ratio.max())
    falls = geometric_fall(data)
    return Claim(
        id="C2",
        statement="With a strongly convex inner loss the meta-gradient in the head dies out "
        "geometrically: at most q^N of the task gradients, q = 1 − αμ.",
        source=f"{DERIVED} (the paper proves convergence through bounds of this kind)",
        published="ratio to the bound at most 1",
        published_status="derived",
        measured=f"largest ratio to the bound {worst:.3f} over {data.ratio.shape[1]} problems and "
        f"N = {numbers(data.steps)}; typical norm {numbers(falls)}",
        estimate=worst,
        rule="SUPPORTED if the ratio is at most 1 everywhere (a bound has no exceptions), else "
        "REFUTED",
        verdict=verdict(supported=worst <= 1 + 1e-9, refuted=True),
    )


def geometric_fall(data: Forgetting) -> Array:
    """Geometric mean of the head's meta-gradient norm over repeats, per ``N``."""
    return geometric_mean(data.norm.T)


@dataclass(frozen=True)
class Hypergradient:
    """How the body's meta-gradient approaches that of a head trained to its end.

    Args:
        error: ``‖G_N − G_∞‖/‖G_∞‖`` for ``N = 0 … len − 1``, at ``α = 1/L``: ``(N, S)``.
        bound: The derived bound ``(C₁ + C₂ N) q^N/‖G_∞‖``, same shape.
        factor: ``q`` of ``α = 1/L``; the same for every repeat by construction.
        faster: `error` at ``α = 2/(L + μ)``.
        faster_bound: Its bound.
        faster_factor: Its ``q``.
    """

    error: Array
    bound: Array
    factor: float
    faster: Array
    faster_bound: Array
    faster_factor: float


def hypergradient(size: Sizes, *, most: int = 320) -> Hypergradient:
    """Measures `Hypergradient` on problems whose penalty is set so that ``κ = KAPPA``."""
    pool = draw_pool(Setup(support=5), repeats=size.exact, seed=size.seed)
    low, high = extremes(pool, 0.0)
    ridge = (high - KAPPA * low) / (KAPPA - 1)
    keep = ridge > 0
    pool, ridge = pool.repeats(np.flatnonzero(keep)), ridge[keep]
    mu, top = extremes(pool, ridge)

    def body_gradient(alpha: Array, steps: int | None) -> Array:
        gradient = ridge_meta_gradient(pool, ridge=ridge, alpha=alpha, steps=steps)
        return gradient(pool.body, pool.ridge_head)[1]

    def errors(alpha: Array, q: float) -> tuple[Array, Array]:
        limit = body_gradient(alpha, None)
        scale = np.linalg.norm(limit, axis=(-1, -2))
        gaps = [np.linalg.norm(body_gradient(alpha, n) - limit, axis=(-1, -2)) for n in range(most)]
        first, second = gap_constants(pool, ridge=ridge, alpha=alpha, q=q)
        n = np.arange(most)[:, None]
        return np.stack(gaps) / scale, (first + second * n) * q**n / scale

    plain, best = 1 - 1 / KAPPA, (KAPPA - 1) / (KAPPA + 1)
    error, bound = errors(1 / top, plain)
    faster, faster_bound = errors(2 / (top + mu), best)
    return Hypergradient(error, bound, plain, faster, faster_bound, best)


def gap_constants(pool: Pool, *, ridge: Array, alpha: Array, q: float) -> tuple[Array, Array]:
    """``C₁`` and ``C₂`` of ``‖G_N − G_∞‖ ≤ (C₁ + C₂ N) q^N`` for ridge heads, each ``(S,)``.

    Derived here. Per task, with ``D = ‖w_0 − w*‖`` and every derivative in ``φ`` bounded
    through ``‖dH‖ ≤ (c/√d) ‖X‖ ‖dφ‖``: the head's sensitivity ``J`` moves by at most
    ``q^N ‖J*‖ + αN q^{N−1} ‖dG‖ D``, and the query loss's two gradients by ``q^N D`` times
    their Lipschitz constants in the head.
    """

    def size(matrix: Array) -> Array:
        return np.asarray(np.linalg.norm(matrix, 2, (-1, -2)))

    def length(vector: Array) -> Array:
        return np.asarray(np.linalg.norm(vector, axis=-1))

    h, hq = (features(x, pool.body[:, None], pool.bound) for x in (pool.x, pool.query_x))
    n, nq, d = h.shape[-2], hq.shape[-2], h.shape[-1]
    steepest = 1.0 if pool.bound is None else pool.bound / np.sqrt(d)
    dh, dhq = steepest * size(pool.x), steepest * size(pool.query_x)
    gram, _ = ridge_matrices(pool, pool.body, ridge=ridge)
    w = adapted_heads(pool, pool.body, pool.ridge_head, ridge=ridge, alpha=alpha, steps=None)
    away = length(pool.ridge_head[:, None] - w)
    rest = length((h @ w[..., None])[..., 0] - pool.y)
    error = (hq @ w[..., None])[..., 0] - pool.query_y
    slope = length(np.einsum("sbnd,sbn->sbd", hq, error)) / nq
    bend = size(hq) ** 2 / nq
    jacobian = dh * (rest + size(h) * length(w)) / (n * np.linalg.eigvalsh(gram).min(-1))
    largest_slope = slope + bend * away
    direct = dhq / nq * away * (size(hq) * (length(w) + away) + length(error))
    first = direct + jacobian * (largest_slope + bend * away)
    second = alpha[:, None] / q * (2 * size(h) * dh / n) * away * largest_slope
    return first.mean(-1), second.mean(-1)


def steps_against_theory(error: Array, q: float) -> Array:
    """Steps until the error stays at most `TARGET`, over ``log(1/TARGET)/−log q``."""
    last_above = np.where(error > TARGET, np.arange(len(error))[:, None], -1).max(0)
    return np.asarray((last_above + 1) / (math.log(1 / TARGET) / -math.log(q)))


def body_gradient_reaches_the_limit(data: Hypergradient) -> Claim:
    """C3."""
    near, far = data.error[100], data.error[200]
    tight = np.concatenate([data.error / data.bound, data.faster / data.faster_bound])
    real = np.concatenate([data.error, data.faster]) > NOISE
    worst = float(np.where(real, tight, 0).max())
    per_step = (data.error[300] / data.error[200]) ** 0.01
    plain = estimate(steps_against_theory(data.error, data.factor), median)
    quick = estimate(steps_against_theory(data.faster, data.faster_factor), median)
    at = (float(np.median(near)), float(np.median(far)))
    gap = float(np.median(np.abs(per_step - data.factor)))
    in_range = all(0.8 <= e.value <= 1.4 for e in (plain, quick))
    holds = worst <= 1 and at[0] <= 2e-2 and at[1] <= 1e-3 and gap <= 0.005 and in_range
    falling = int(always_falling(data.error, data.factor).sum())
    total = data.error.shape[1]
    return Claim(
        id="C3",
        statement="As N grows the body's meta-gradient becomes that of a head solved exactly; "
        "the error shrinks like N q^N, so κ log(1/δ) steps suffice.",
        source=DERIVED,
        published="error ≤ (C₁ + C₂ N) q^N",
        published_status="derived",
        measured=f"κ = {KAPPA}: median relative error {at[0]:.2g} at N = 100 and {at[1]:.2g} at "
        f"200; largest share of the bound {worst:.3f}; per-step factor within {gap:.4f} of "
        f"q = {data.factor:.4f}; steps to {TARGET:g} over log(1/δ)/−log q: {plain} at α = 1/L, "
        f"{quick} at α = 2/(L + μ)",
        estimate=plain.value,
        interval=plain.interval,
        rule="SUPPORTED if the bound holds at every N on every problem, the median errors are at "
        "most 2e-2 and 1e-3, the median per-step factor lies within 0.005 of q, and both median "
        "step ratios lie in [0.8, 1.4]; REFUTED if the bound is exceeded; else NOT SHOWN",
        verdict=verdict(supported=holds, refuted=worst > 1),
        note=f"The rule was first that stronger statement and was replaced after it failed here. "
        f"{total} problems whose penalty was set to give this κ exactly. A stronger statement "
        f"does not follow from the bound and must not be made: at α = 1/L error/(N q^N) falls at "
        f"every step on {falling} of {total} problems only.",
    )


def always_falling(error: Array, q: float) -> NDArray[np.bool_]:
    """Problems on which ``error/(N q^N)`` never rises while above rounding, ``(S,)``."""
    steps = np.arange(1, len(error))[:, None]
    change = np.diff(error[1:] / (steps * q**steps), axis=0)
    return np.asarray(np.all((change <= 0) | (error[2:] <= NOISE), axis=0))


@dataclass(frozen=True)
class HeadSmoothness:
    """Curvature of the meta-loss in the head's start.

    Args:
        steps: Inner steps.
        ratio: Against the bound ``q^{2N} L_f``, ``(len(steps), S)``.
        value: The curvature itself, same shape.
    """

    steps: tuple[int, ...]
    ratio: Array
    value: Array


def head_curvature(size: Sizes) -> HeadSmoothness:
    """Measures `HeadSmoothness` at ``α = 1/(c² + λ)``, safe for every body."""
    pool = draw_pool(Setup(), repeats=size.exact, seed=size.seed)
    alpha = 1 / (4 + RIDGE)
    q = 1 - alpha * extremes(pool, RIDGE)[0]
    steps = (1, 5, 12)
    values, ratios = [], []
    for n in steps:
        meta, query = head_smoothness(pool, pool.body, ridge=RIDGE, alpha=alpha, steps=n)
        values.append(meta)
        ratios.append(meta / (q ** (2 * n) * query))
    return HeadSmoothness(steps, np.stack(ratios), np.stack(values))


def head_curvature_contracts(data: HeadSmoothness) -> Claim:
    """C4."""
    worst = data.ratio.max(1)
    fall: Estimate = estimate(data.value[-1] / data.value[0], median)
    holds = bool(np.all(worst <= 1 + 1e-9))
    return Claim(
        id="C4",
        statement="For a ridge head the meta-loss also flattens in the head's start: its "
        "curvature there is at most q^{2N} of the query loss's.",
        source=DERIVED,
        published="L_ww(N) ≤ q^{2N} L_f",
        published_status="derived",
        measured=f"largest ratio to the bound at N = {numbers(data.steps)}: {numbers(worst)}; "
        f"curvature at N = 12 over N = 1: {fall}",
        estimate=fall.value,
        interval=fall.interval,
        rule="SUPPORTED if no ratio exceeds 1 and the whole interval of the N = 12 / N = 1 ratio "
        "is at most 0.05; REFUTED if a ratio exceeds 1; else NOT SHOWN",
        verdict=verdict(supported=holds and fall.high <= 0.05, refuted=not holds),
    )
