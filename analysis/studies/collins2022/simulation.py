r"""The same quantities from raw samples: draw tasks, take the step, measure.

Nothing here knows the closed forms. A task's inputs and noise are drawn, reduced to

.. math:: S = X^\top X/n, \qquad v = X^\top z/n,

and the adapted weights are w' = w − α(S(w − w_i) − v), which is the gradient step itself. Risks are
averaged within each type and then weighted by the type's share, so that rare hard tasks cost no
precision. Both starts see the same draws: the gain is a paired difference.

Derived here; the paper's own simulation could not be obtained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .closed_form import starts
from .setting import Landscape, LandscapeError

Array = NDArray[np.float64]

_CHUNK = 2_000_000
"""Numbers drawn at once; bounds memory at about 16 MB per array."""

_GROUPS = 50
"""Groups of tasks left out in turn for a standard error."""


@dataclass(frozen=True)
class Estimate:
    """A mean over draws and its standard error."""

    mean: float
    error: float

    def z(self, value: float) -> float:
        """How many standard errors the mean lies above ``value``; 0 where both are exact."""
        if self.error == 0:
            return 0.0 if self.mean == value else float("inf")
        return (self.mean - value) / self.error

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % normal interval."""
        return self.mean - 1.96 * self.error, self.mean + 1.96 * self.error


@dataclass(frozen=True)
class SimulatedRisks:
    """Excess risks after adaptation, and their paired difference."""

    nal: Estimate
    maml: Estimate
    gain: Estimate


def simulate_risks(land: Landscape, *, tasks: int, seed: int) -> SimulatedRisks:
    """Excess risk of the NAL and MAML starts of the closed form, on simulated test tasks.

    Args:
        land: The landscape; ``n_test`` finite, one step.
        tasks: Test tasks, half of each type.
        seed: Seed of all draws.
    """
    a, b = starts(land)
    toward = land.distance * np.eye(land.dim)[0]
    return simulate_starts(land, a * toward, b * toward, tasks=tasks, seed=seed)


def simulate_starts(
    land: Landscape, nal: Array, maml: Array, *, tasks: int, seed: int
) -> SimulatedRisks:
    """Excess risk of any two starts on the same simulated test tasks.

    Args:
        land: The landscape; ``n_test`` finite, one step. Its easy centre is the origin, its hard
            centre lies at ``distance`` along the first axis.
        nal: First start ``(D,)``.
        maml: Second start ``(D,)``.
        tasks: Test tasks, half of each type.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    means: list[Array] = []
    variances: list[Array] = []
    for kind, rho in enumerate(land.variances):
        rows = []
        for inputs, noise in _moments(rng, tasks // 2, land.n_test, land.dim, rho):
            optima = _optima(rng, land, kind, len(inputs))
            fitted = land.alpha * land.noise * noise
            costs = []
            for start in (nal, maml):
                away = start - optima
                left = away - land.alpha * np.einsum("tij,tj->ti", inputs, away) + fitted
                costs.append(0.5 * rho * (left**2).sum(1))
            first, second = costs
            rows.append(np.stack([first, second, first - second], 1))
        cost = np.concatenate(rows)
        means.append(cost.mean(0))
        variances.append(cost.var(0, ddof=1) / len(cost))
    (easy, hard), (p_easy, p_hard) = means, land.shares
    mean = p_easy * easy + p_hard * hard
    error = np.sqrt(p_easy**2 * variances[0] + p_hard**2 * variances[1])
    risk_nal, risk_maml, gain = (
        Estimate(float(m), float(e)) for m, e in zip(mean, error, strict=True)
    )
    return SimulatedRisks(risk_nal, risk_maml, gain)


def fitted_position(land: Landscape, *, tasks: int, seed: int) -> Estimate:
    """Where MAML ends when it is trained on finitely many sampled tasks, by least squares.

    The meta-loss Σ p_i ½ρ_i‖A_i(w − w_i) + αv_i‖², A_i = I − αS_i, is a least-squares problem in w.
    Its solution is projected on the line between the centres; the standard error comes from
    leaving out one group of tasks at a time (jackknife).

    Args:
        land: The landscape; ``distance > 0``, ``n_train`` finite, one step.
        tasks: Training tasks, half of each type, weighted by the type's share.
        seed: Seed of all draws.
    """
    if land.distance == 0:
        raise LandscapeError("distance=0; a position needs two distinct centres")
    rng = np.random.default_rng(seed)
    matrices = np.zeros((_GROUPS, land.dim, land.dim))
    vectors = np.zeros((_GROUPS, land.dim))
    for kind, (share, rho) in enumerate(zip(land.shares, land.variances, strict=True)):
        done = 0
        for inputs, noise in _moments(rng, tasks // 2, land.n_train, land.dim, rho):
            optima = _optima(rng, land, kind, len(inputs))
            left = np.eye(land.dim) - land.alpha * inputs
            target = np.einsum("tij,tj->ti", left, optima) - land.alpha * land.noise * noise
            group = (done + np.arange(len(inputs))) % _GROUPS
            np.add.at(matrices, group, share * rho * left @ left)
            np.add.at(vectors, group, share * rho * np.einsum("tij,tj->ti", left, target))
            done += len(inputs)
    start, error = _jackknife(matrices, vectors)
    return Estimate(float(start[0] / land.distance), float(error[0] / land.distance))


def simulate_curvature(
    covariance: Array, *, alpha: float, n: int, noise: float, draws: int, seed: int
) -> tuple[Array, Array, Estimate]:
    """``E[(I − αS)Σ(I − αS)]`` and the fitted-noise risk, by drawing ``S``.

    Args:
        covariance: ``Σ (D, D)``.
        alpha: Inner step size.
        n: Samples of the step.
        noise: ``σ`` of the labels.
        draws: Number of sample covariances.
        seed: Seed of all draws.

    Returns:
        Mean ``(D, D)``, its standard error ``(D, D)``, and the noise risk.
    """
    dim = len(covariance)
    root = _root(covariance)
    rng = np.random.default_rng(seed)
    total, square = np.zeros((dim, dim)), np.zeros((dim, dim))
    risk: list[Array] = []
    for inputs, pulled in _moments(rng, draws, n, dim, 1.0):
        left = np.eye(dim) - alpha * root @ inputs @ root
        curvature = left.transpose(0, 2, 1) @ covariance @ left
        total += curvature.sum(0)
        square += (curvature**2).sum(0)
        shift = alpha * noise * pulled @ root
        risk.append(0.5 * np.einsum("ti,ij,tj->t", shift, covariance, shift))
    mean = total / draws
    error = np.sqrt((square / draws - mean**2) / (draws - 1))
    return mean, error, _estimate(np.concatenate(risk))


def fitted_start(
    covariances: Array, optima: Array, *, alpha: float, n: int, noise: float, draws: int, seed: int
) -> tuple[Array, Array]:
    """The MAML start for any covariances, from ``draws`` sampled steps per task (least squares).

    Args:
        covariances: ``Σ (T, D, D)``, tasks equally likely.
        optima: ``w (T, D)``.
        alpha: Inner step size.
        n: Samples of the step.
        noise: ``σ`` of the labels.
        draws: Sampled steps per task.
        seed: Seed of all draws.

    Returns:
        The start ``(D,)`` and its standard error ``(D,)``.
    """
    dim = optima.shape[1]
    rng = np.random.default_rng(seed)
    matrices, vectors = np.zeros((_GROUPS, dim, dim)), np.zeros((_GROUPS, dim))
    for covariance, optimum in zip(covariances, optima, strict=True):
        root = _root(covariance)
        for group in range(_GROUPS):
            for inputs, pulled in _moments(rng, draws // _GROUPS, n, dim, 1.0):
                left = np.eye(dim) - alpha * root @ inputs @ root
                weighed = left.transpose(0, 2, 1) @ covariance
                target = left @ optimum - alpha * noise * pulled @ root
                matrices[group] += (weighed @ left).sum(0)
                vectors[group] += np.einsum("tij,tj->i", weighed, target)
    return _jackknife(matrices, vectors)


def descend(curvature: float, distance: float, *, alpha: float, steps: int) -> float:
    """Distance from the optimum after ``steps`` exact gradient steps on ½ρw², by recursion."""
    for _ in range(steps):
        distance -= alpha * curvature * distance
    return distance


def _moments(
    rng: np.random.Generator, count: int, n: float, dim: int, rho: float
) -> Iterator[tuple[Array, Array]]:
    """``S (t, D, D)`` and ``v (t, D)`` of ``count`` tasks with unit label noise, in chunks."""
    if not float(n).is_integer():
        raise LandscapeError(f"n={n}; a simulation draws a whole number of samples")
    rows = int(n)
    size = max(1, _CHUNK // (rows * (dim + 1)))
    for first in range(0, count, size):
        chunk = min(size, count - first)
        inputs = np.sqrt(rho) * rng.standard_normal((chunk, rows, dim))
        labels = rng.standard_normal((chunk, rows, 1))
        across = inputs.transpose(0, 2, 1)
        yield across @ inputs / rows, (across @ labels)[..., 0] / rows


def _jackknife(matrices: Array, vectors: Array) -> tuple[Array, Array]:
    """Solve the sum of groups ``(G, D, D)``, ``(G, D)``; error from leaving out each group once."""
    total, side = matrices.sum(0), vectors.sum(0)
    whole = np.linalg.solve(total, side)
    without = np.linalg.solve(total - matrices, (side - vectors)[..., None])[..., 0]
    return whole, np.sqrt((len(matrices) - 1) * without.var(0))


def _optima(rng: np.random.Generator, land: Landscape, kind: int, count: int) -> Array:
    """Optima ``(count, D)`` of one type; the easy centre is 0, the hard one on the first axis."""
    radius = (land.r_easy, land.r_hard)[kind]
    optima = radius / np.sqrt(land.dim) * rng.standard_normal((count, land.dim))
    optima[:, 0] += kind * land.distance
    return np.asarray(optima, dtype=np.float64)


def _root(covariance: Array) -> Array:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T, dtype=np.float64)


def _estimate(values: Array) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))
