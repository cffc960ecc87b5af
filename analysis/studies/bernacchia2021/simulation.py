r"""The same quantity without a formula: draw the inputs, solve meta-training exactly, average.

One inner step turns a task into ordinary linear rows: ``B = X_v(I − α S)`` stands for the
judged inputs, ``ε = Bδ + z_v − αK z_t`` for everything ``ω`` cannot know (``K = X_v X_tᵀ/n_t``,
``δ`` the task's distance from the centre, ``z`` label noise). Gradient descent on ``ω`` ends at

.. math:: ω^* = ω_0 + B^+ (γ - B ω_0), \qquad ω^* - w_0 = (I - B^+B)(ω_0 - w_0) + B^+ ε,

the smallest change that fits every judged row (over-parameterised), or least squares
(under-parameterised). Given the inputs, the mean over tasks and label noise is a trace,

.. math:: E\lVert B^+ ε \rVert^2 = \operatorname{tr}(B^+ C B^{+\top}), \quad
          C = \operatorname{blk}\Bigl[\tfrac{ν^2}{p} B_iB_i^\top + σ^2 (I + α^2 K_iK_i^\top)\Bigr],

so only inputs are drawn. All rates see the same inputs: differences between rates are paired.
The literal experiment, which draws everything, is in ``experiment.py``; nothing here or there
uses a closed form except F1 (exact) for the test task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from numbers import Integral
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from .closed_form import Parts, loss_from_displacement
from .moments import Array
from .setting import RegimeError, Setting, checked_count, checked_existence, finite_rate

# Inputs held at once: small enough to stay in cache, large enough to hide Python.
CHUNK_NUMBERS = 400_000


class Runs(NamedTuple):
    """What each run would have given, rate by rate; arrays ``(R, A)``, runs by rates.

    Args:
        parts: The three parts of the displacement.
        residual_spread: What one unit of ``ν²`` leaves of the meta-training loss ``½·mean
            square`` at its optimum; zero where every judged row is fitted.
        residual_noise: The same for one unit of ``σ²``.
    """

    parts: Parts
    residual_spread: Array
    residual_noise: Array

    def loss(self, setting: Setting, alpha_test: Array) -> Array:
        """Test loss of each run, ``(R, A)``; ``alpha_test`` is one rate or ``A`` of them."""
        return loss_from_displacement(setting, alpha_test, self.parts.displacement(setting))

    def training_loss(self, setting: Setting) -> Array:
        """Meta-training loss of each run at its optimum, ``(R, A)``."""
        return setting.spread**2 * self.residual_spread + setting.noise**2 * self.residual_noise


def simulate_test_loss(
    *,
    alpha_train: float,
    alpha_test: float,
    n_train: int,
    n_val: int,
    n_test: int,
    tasks: int,
    dim: int,
    noise: float,
    spread: float,
    init_distance: float = 0.0,
    runs: int,
    seed: int,
) -> tuple[float, float]:
    """Mean test loss and its standard error over exactly solved meta-training runs.

    Arguments are those of ``expected_test_loss``, and:

    Args:
        runs: Independent draws of the meta-training inputs, at least 2.
        seed: Of the only random generator.

    Returns:
        The mean and its standard error. The error is infinite where ``n_val·tasks`` lies within
        3 of ``dim``, or one or two tasks meet a positive rate: there the mean exists but the
        variance does not, and a sample's spread would be no error at all.

    Raises:
        RegimeError: A value out of range, or a setting whose expected loss is infinite; see
            ``expected_test_loss``.
    """
    setting = Setting(n_train, n_val, n_test, tasks, dim, noise, spread, init_distance)
    if checked_count("runs", runs) < 2:
        raise RegimeError("runs = 1 gives no standard error; ask for at least 2", code="runs")
    if not isinstance(seed, Integral) or seed < 0:
        raise RegimeError(f"seed = {seed!r} must be a whole number of at least 0", code="seed")
    train = np.array([finite_rate("alpha_train", alpha_train)])
    test = np.array(finite_rate("alpha_test", alpha_test))
    checked_existence(setting, float(train[0]))
    losses = simulate(setting, train, runs=runs, seed=seed).loss(setting, test)[:, 0]
    mean, error = mean_and_error(losses)
    return mean, error if setting.margin(float(train[0])) >= 4 else math.inf


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean of ``values (R,)`` and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def simulate(setting: Setting, alpha_train: Array, *, runs: int, seed: int) -> Runs:
    """Solve ``runs`` meta-trainings at every rate of ``alpha_train (A,)`` on the same inputs."""
    solve = _solve_over if setting.regime == "over" else _solve_under
    with one_thread():
        pieces = [
            solve(setting, train, val, alpha_train) for train, val in _inputs(setting, runs, seed)
        ]
    spread, noise, left_spread, left_noise = (
        np.concatenate(each) for each in zip(*pieces, strict=True)
    )
    kept = max(0.0, 1.0 - setting.rows / setting.dim)
    return Runs(Parts(np.full_like(spread, kept), spread, noise), left_spread, left_noise)


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, linear algebra uses one thread.

    The matrices here are tiny: more threads gain nothing, and on a busy machine their waiting for
    each other was seen to cost a factor of a hundred.
    """
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits


def _inputs(s: Setting, runs: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Inner ``(R, m, n_t, p)`` and judged ``(R, m, n_v, p)`` inputs, a chunk of runs at a time.

    A run's inputs depend on the seed and its number, not on the size of a chunk.
    """
    rng = np.random.default_rng(seed)
    shape = (s.tasks, s.n_train + s.n_val, s.dim)
    chunk = max(1, CHUNK_NUMBERS // math.prod(shape))
    for first in range(0, runs, chunk):
        x = rng.standard_normal((min(chunk, runs - first), *shape))
        yield x[:, :, : s.n_train], x[:, :, s.n_train :]


Solution = tuple[Array, Array, Array, Array]


def _solve_over(s: Setting, train: Array, val: Array, alpha: Array) -> Solution:
    """Fit every judged row: the traces need only ``G = BBᵀ (N, N)``, a quadratic in the rate."""
    k = val @ _transposed(train) / s.n_train
    y = val.reshape(-1, s.rows, s.dim)
    z = (k @ train).reshape(y.shape)
    yy, yz, zz = y @ _transposed(y), y @ _transposed(z), z @ _transposed(z)
    yz = yz + _transposed(yz)
    same_task = np.kron(np.eye(s.tasks), np.ones((s.n_val, s.n_val)))
    k = k.reshape(-1, s.rows, s.n_train)
    kk = k @ _transposed(k) * same_task
    spread, noise = np.empty((len(y), len(alpha))), np.empty((len(y), len(alpha)))
    for place, rate in enumerate(alpha):
        gram = yy - rate * yz + rate**2 * zz
        inverse = np.linalg.inv(gram)
        spread[:, place] = _inner(inverse, gram * same_task) / s.dim
        noise[:, place] = np.trace(inverse, axis1=1, axis2=2) + rate**2 * _inner(inverse, kk)
    return spread, noise, np.zeros_like(spread), np.zeros_like(noise)


def _solve_under(s: Setting, train: Array, val: Array, alpha: Array) -> Solution:
    """Least squares: the traces need ``H = BᵀB`` and the sandwiches ``Σ B_iᵀ C_i B_i (p, p)``.

    These are polynomials in the rate, of degree 4 at most. With more than five rates they are
    computed at five and interpolated, which is exact and several times faster.
    """
    nodes = alpha if len(alpha) <= 5 else _nodes(alpha)
    k = val @ _transposed(train) / s.n_train
    z = k @ train
    at_nodes = np.stack([_normal_matrices(val - rate * z, k) for rate in nodes])
    weights = np.eye(len(alpha)) if nodes is alpha else _lagrange(nodes, alpha)
    out = np.empty((4, len(train), len(alpha)))
    for place, (rate, weight) in enumerate(zip(alpha, weights, strict=True)):
        h, c_spread, c_labels, c_inner = np.tensordot(weight, at_nodes, axes=1)
        inverse = np.linalg.inv(h)
        twice = inverse @ inverse
        c_noise = c_labels + rate**2 * c_inner
        total = s.rows + rate**2 * np.sum(k**2, axis=(1, 2, 3))
        left_spread = np.trace(h, axis1=1, axis2=2) - _inner(inverse, c_spread)
        out[0, :, place] = _inner(twice, c_spread) / s.dim
        out[1, :, place] = _inner(twice, c_noise)
        out[2, :, place] = left_spread / (2 * s.rows * s.dim)
        out[3, :, place] = (total - _inner(inverse, c_noise)) / (2 * s.rows)
    return out[0], out[1], out[2], out[3]


def _normal_matrices(b: Array, k: Array) -> Array:
    """``Σ H``, ``Σ H²``, ``Σ H``, ``Σ BᵀKKᵀB`` over tasks, ``H = BᵀB``: ``(4, R, p, p)``."""
    runs, _, _, p = b.shape
    each = _transposed(b) @ b
    stacked = each.reshape(runs, -1, p)
    inner = (_transposed(k) @ b).reshape(runs, -1, p)
    h = each.sum(axis=1)
    return np.stack([h, _transposed(stacked) @ stacked, h, _transposed(inner) @ inner])


def _nodes(alpha: Array) -> Array:
    """Five Chebyshev points over the range of the rates."""
    low, high = float(alpha.min()), float(alpha.max())
    return (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(5) + 0.5) / 5)


def _lagrange(nodes: Array, alpha: Array) -> Array:
    """Weights ``(A, K)`` that carry a polynomial's values at ``nodes`` to ``alpha``, exactly."""
    vandermonde = np.vander(nodes, increasing=True)
    return np.linalg.solve(vandermonde.T, np.vander(alpha, len(nodes), increasing=True).T).T


def _transposed(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _inner(x: Array, y: Array) -> Array:
    """``tr(xᵀy)`` of each pair of matrices: ``(R, a, b)`` twice to ``(R,)``."""
    traces: Array = np.einsum("rab,rab->r", x, y)
    return traces
