r"""Convex problems on which the order of the methods is known beforehand.

A rate is only visible when the problem lets it be: a quadratic with a handful of
curvatures is solved at a geometric rate by everything. Here the curvatures fill many
decades evenly, so that at any horizon T some direction is still unsolved, and a method
bounded by 1/T (or 1/T^2) really runs at that slope. All are derived (theory P1-P6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .oracle import Vector


@dataclass(frozen=True)
class Problem:
    """A convex function that knows its own answer; call it for its value.

    Args:
        value: Vector (n,) to number.
        gradient: Vector (n,) to vector (n,).
        start: Where to start (n,).
        minimiser: x* (n,).
        smoothness: L, the largest curvature.
        minimum: f(x*).
    """

    value: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]
    start: Vector
    minimiser: Vector
    smoothness: float
    minimum: float = 0.0

    def __call__(self, x: Vector) -> float:
        return self.value(x)

    @property
    def distance(self) -> float:
        """|x* - start|."""
        return float(np.linalg.norm(self.minimiser - self.start))

    def scaled(self, factor: float) -> Problem:
        """The same problem with f multiplied by ``factor`` > 0."""
        return Problem(
            lambda x: factor * self.value(x),
            lambda x: factor * self.gradient(x),
            self.start,
            self.minimiser,
            factor * self.smoothness,
            factor * self.minimum,
        )


def quadratic(curvature: Vector, minimiser: Vector, start: Vector) -> Problem:
    """f(x) = 1/2 sum h_i (x_i - x*_i)^2 for curvatures h (n,)."""
    return Problem(
        lambda x: 0.5 * float(np.sum(curvature * (x - minimiser) ** 2)),
        lambda x: curvature * (x - minimiser),
        start,
        minimiser,
        float(curvature.max()),
    )


def log_uniform_quadratic(n: int = 400, lowest: float = 1e-9, slope: float = 1.0) -> Problem:
    """P1: curvatures geometrically spaced from ``lowest`` to 1, so rates show as straight lines.

    x*_i = h_i^((slope-1)/2) from 0; then GD falls as T^-slope and acceleration as T^-2slope,
    for slope < 1.5 and T well below lowest^-1/2.
    """
    h = np.geomspace(lowest, 1.0, n)
    return quadratic(h, h ** ((slope - 1) / 2), np.zeros(n))


def rate_constant(n: int = 400, lowest: float = 1e-9) -> float:
    """C = n / (2 ln(1/lowest)): P1's gap times T under plain meta-gradients, for slope 1."""
    return n / (2 * float(np.log(1 / lowest)))


def conditioned_quadratic(kappa: float, rng: np.random.Generator, n: int = 50) -> Problem:
    """P5: curvatures from 1/kappa to 1; each direction starts with an equal expected share."""
    h = np.geomspace(1 / kappa, 1.0, n)
    return quadratic(h, np.zeros(n), rng.standard_normal(n) / np.sqrt(h))


def soft_label_logistic(rng: np.random.Generator, rows: int = 400, n: int = 80) -> Problem:
    """P2: logistic regression whose labels are the probabilities of a known model.

    With hard random labels the minimiser is unknown and lies along noise; with soft ones it
    is the model itself. Inputs are whitened and scaled to curvatures 1e-9 .. 1.
    """
    whitened = np.linalg.qr(rng.standard_normal((rows, n)))[0] * np.sqrt(rows)
    inputs = whitened * np.sqrt(np.geomspace(1e-9, 1.0, n))
    truth = np.full(n, 0.5)
    labels = expit(inputs @ truth)

    def value(x: Vector) -> float:
        logit = inputs @ x
        return float(np.mean(np.logaddexp(0.0, logit) - labels * logit))

    def gradient(x: Vector) -> Vector:
        answer: Vector = inputs.T @ (expit(inputs @ x) - labels) / rows
        return answer

    top = float(np.linalg.eigvalsh(inputs.T @ inputs / rows)[-1])
    return Problem(value, gradient, np.zeros(n), truth, top / 4, value(truth))


def one_sided_quadratic(k: float, start: Vector, curvature: Vector | None = None) -> Problem:
    """P3: curvature 1 to the right of 0 and k < 1 to its left, per coordinate (times h_i).

    Convex, smooth, strongly convex, and yet not a quadratic: enough to break momentum.
    """
    h = np.ones_like(start) if curvature is None else curvature

    def bend(x: Vector) -> Vector:
        return h * np.where(x > 0, 1.0, k)

    return Problem(
        lambda x: 0.5 * float(np.sum(bend(x) * x**2)),
        lambda x: bend(x) * x,
        start,
        np.zeros_like(start),
        float(h.max()),
    )


def lessard(start: float = 3.3) -> Problem:
    """P4: Lessard, Recht and Packard (2016): slope 25x, then x + 24, then 25x - 24 (L=25, m=1)."""

    def value(x: Vector) -> float:
        pieces = np.where(
            x < 1, 12.5 * x**2, np.where(x < 2, x**2 / 2 + 24 * x - 12, 12.5 * x**2 - 24 * x + 36)
        )
        return float(pieces.sum())

    def gradient(x: Vector) -> Vector:
        return np.where(x < 1, 25 * x, np.where(x < 2, x + 24, 25 * x - 24))

    return Problem(value, gradient, np.array([start]), np.zeros(1), 25.0)


def huber(curvature: Vector, minimiser: Vector, start: Vector) -> Problem:
    """sum h_i Huber(x_i - x*_i): quadratic near the minimum, straight beyond distance 1."""

    def value(x: Vector) -> float:
        far = np.abs(x - minimiser)
        return float(np.sum(curvature * np.where(far < 1, far**2 / 2, far - 0.5)))

    return Problem(
        value,
        lambda x: curvature * np.clip(x - minimiser, -1.0, 1.0),
        start,
        minimiser,
        float(curvature.max()),
    )


@dataclass(frozen=True)
class RandomRule:
    """P6: a random problem under a random linear rule phi(x, w) = P w, with w1 = 0.

    Args:
        problem: f.
        matrix: P, (n, n) dense or (n,) diagonal, invertible.
    """

    problem: Problem
    matrix: NDArray[np.float64]

    @property
    def rule_smoothness(self) -> float:
        """lambda = |P|^2."""
        if self.matrix.ndim == 1:
            return float(np.max(self.matrix**2))
        return float(np.linalg.norm(self.matrix, 2)) ** 2

    @property
    def best_parameters(self) -> Vector:
        """w* = P^-1 x*, (n,)."""
        x = self.problem.minimiser
        if self.matrix.ndim == 1:
            return x / self.matrix
        return np.asarray(np.linalg.solve(self.matrix, x), dtype=np.float64)


def random_rule(rng: np.random.Generator) -> RandomRule:
    """One draw of P6: 1 to 24 dimensions; a quadratic, a one-sided quadratic or a Huber sum."""
    n = int(rng.integers(1, 25))
    h = 10.0 ** rng.uniform(-4, 1, n)
    answer = rng.standard_normal(n)
    kind = rng.integers(3)
    if kind == 0:
        problem = quadratic(h, answer, np.zeros(n))
    elif kind == 1:
        problem = huber(h, answer, np.zeros(n))
    else:
        base, shift = one_sided_quadratic(rng.uniform(0.05, 1), np.zeros(n), h), answer
        problem = Problem(
            lambda x: base.value(x - shift),
            lambda x: base.gradient(x - shift),
            np.zeros(n),
            shift,
            base.smoothness,
        )
    matrix = rng.standard_normal(n) if rng.integers(2) else rng.standard_normal((n, n))
    return RandomRule(problem, matrix)
