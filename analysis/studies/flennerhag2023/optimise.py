r"""Meta-gradients as a convex optimiser: a learner whose update rule is itself learned.

A rule :math:`\phi(x, w)` proposes the next point; its parameters w are learned from
the loss the proposal leads to. Points are averaged with growing weights
:math:`\alpha_t` (:math:`A_t = \sum_{s\le t}\alpha_s`, :math:`\rho_t = \alpha_t/A_t`):

.. math::
    x_t &= \phi(\bar x_{t-1}, w_t), \qquad
    \bar x_t = (1-\rho_t)\,\bar x_{t-1} + \rho_t\, x_t, \\
    g_t &= J(\bar x_{t-1})^\top \nabla f(\bar x_t), \qquad
    w_{t+1} = w_1 - \beta_{t+1}\Big(\sum_{s\le t}\alpha_s g_s + \alpha_{t+1} h_{t+1}\Big).

The hint :math:`h_{t+1}` guesses the next meta-gradient before it is seen. ``mg`` has none
(plain meta-gradients), ``omg`` repeats the last one (optimism), ``bmg`` moves towards a
target that looks one step ahead (bootstrapping), ``ada-mg`` and ``ada-omg`` set
:math:`\beta_t` from the gradients met and need no smoothness constant.

What is the paper's: the objects, the claim that momentum is a special case, that optimism
accelerates and that bootstrapping is optimism (Flennerhag et al. 2023, abstract). The exact
form above is derived (online-to-batch conversion with optimistic follow-the-regularised-
leader): the paper's algorithm boxes could not be obtained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .oracle import OptimiserError, Oracle, Vector, oracle_of, vector

Method = Literal["gd", "mg", "omg", "fista", "ada-mg", "ada-omg", "bmg"]
Schedule = Callable[[int], float]
Weights = Literal["constant", "linear"] | Schedule


@dataclass(frozen=True)
class Rule:
    """An affine update rule, phi(x, w) = a(x) + J(x) w.

    Args:
        apply: (x (n,), w (m,)) to the proposed point (n,).
        pullback: (x (n,), v (n,)) to J(x)' v (m,), which turns a gradient into a meta-gradient.
    """

    apply: Callable[[Vector, Vector], Vector]
    pullback: Callable[[Vector, Vector], Vector]


IDENTITY = Rule(apply=lambda _, w: w, pullback=lambda _, v: v)


def linear_rule(matrix: NDArray[np.float64]) -> Rule:
    """phi(x, w) = P w for a matrix P (n, m), or P = diag(d) for a vector d (n,)."""
    if matrix.ndim == 1:
        return Rule(apply=lambda _, w: matrix * w, pullback=lambda _, v: matrix * v)
    return Rule(apply=lambda _, w: matrix @ w, pullback=lambda _, v: matrix.T @ v)


@dataclass(frozen=True)
class Trajectory:
    """What an optimiser did.

    Args:
        values: f at the averaged iterate after each step, (steps,); infinite once it overflowed.
        point: The last averaged iterate (n,).
        parameters: The last rule parameters w (m,); the point itself for ``gd`` and ``fista``.
        points: Every averaged iterate (steps, n), or None when they were not asked for.
    """

    values: Vector
    point: Vector
    parameters: Vector
    points: Vector | None = None


class Step(NamedTuple):
    """One step: f at the averaged iterate, that iterate (n,) and the next parameters (m,)."""

    value: float
    point: Vector
    parameters: Vector


def optimise(
    f: Any,
    x0: Any,
    *,
    method: Method,
    steps: int,
    beta: float | Schedule,
    weights: Weights = "constant",
    gradient: Callable[[Vector], Any] | None = None,
    rule: Rule | None = None,
    w1: Any = None,
    hint: float | Schedule = 1.0,
    mixing: Schedule | None = None,
    keep_points: bool = False,
) -> Trajectory:
    """Minimise ``f`` from ``x0``.

    Args:
        f: The function, vector (n,) to number (numpy or torch; see ``oracle.py``).
        x0: Where to start, (n,).
        method: ``gd`` gradient descent; ``mg`` meta-gradients; ``omg`` optimistic
            meta-gradients; ``bmg`` bootstrapped meta-gradients with a squared-distance match;
            ``ada-mg``, ``ada-omg`` the same with AdaGrad step sizes; ``fista`` Nesterov's method,
            written out on its own.
        steps: How many gradients of f are taken.
        beta: The meta step size, a number or t to number (used in choosing w_t). The step size
            itself for ``gd`` and ``fista``; the radius R of the ball of parameters, which is
            also the numerator of the step size, for the two AdaGrad methods.
        weights: alpha_t: 1 (``"constant"``), t (``"linear"``), or t to number.
        gradient: The gradient of f, where f does not carry it.
        rule: The update rule; None is the identity rule phi(x, w) = w.
        w1: First parameters (m,); None starts at x0, which only the identity rule can do.
        hint: How much of the last gradient the hint takes, a number or t to number.
        mixing: rho_t instead of alpha_t / A_t, for stationary forms (rho_1 too).
        keep_points: Also return every averaged iterate.

    Returns:
        The trajectory; ``values[t - 1]`` is f after t steps. With the identity rule the first
        averaged iterate is w1 = x0, so ``values[0]`` is f(x0), except for ``gd``.

    Raises:
        OptimiserError: An unknown method or weight, no steps, a step size that is not positive
            and finite, a rule for a method without one, parameters that are missing for a rule
            or do not fit, or an unusable f.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise OptimiserError(
            f"steps={steps} came; take a whole number of steps, at least one", code="steps"
        )
    walk = iterate(
        f, x0, method=method, beta=beta, weights=weights, gradient=gradient, rule=rule, w1=w1,
        hint=hint, mixing=mixing,
    )  # fmt: skip
    values = np.full(steps, np.inf)
    points = np.full((steps, vector(x0).size), np.nan) if keep_points else None
    step = None
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is an answer, not a fault
        for t, step in zip(range(steps), walk, strict=False):
            if not np.isfinite(step.value):
                break
            values[t] = step.value
            if points is not None:
                points[t] = step.point
    assert step is not None
    return Trajectory(values, step.point, step.parameters, points)


def iterate(
    f: Any,
    x0: Any,
    *,
    method: Method,
    beta: float | Schedule,
    weights: Weights = "constant",
    gradient: Callable[[Vector], Any] | None = None,
    rule: Rule | None = None,
    w1: Any = None,
    hint: float | Schedule = 1.0,
    mixing: Schedule | None = None,
) -> Iterator[Step]:
    """The endless walk behind :func:`optimise`, for a caller who stops by its own rule."""
    if method not in get_args(Method):
        raise OptimiserError(
            f"method {method!r} is unknown; choose one of {', '.join(get_args(Method))}",
            code="method",
        )
    if not callable(beta) and not 0 < beta < np.inf:
        raise OptimiserError(f"beta={beta} came; a step size is finite and above 0", code="beta")
    if not callable(hint) and not np.isfinite(hint):
        raise OptimiserError(f"hint={hint} came; a hint's scale is a finite number", code="hint")
    start = vector(x0)
    oracle = oracle_of(f, gradient, start)
    size = _schedule(beta)
    if method in ("gd", "fista"):
        if rule is not None or w1 is not None:
            raise OptimiserError(
                f"method {method!r} has no update rule to learn; leave out rule and w1", code="rule"
            )
        return (_descend if method == "gd" else _fista)(oracle, start, size)
    if rule is not None and w1 is None:
        raise OptimiserError("a rule came without w1; give its first parameters", code="parameters")
    if rule is None and w1 is not None and vector(w1).size != start.size:
        raise OptimiserError(
            f"w1 has {vector(w1).size} numbers and x0 {start.size}; the identity rule needs as many",
            code="parameters",
        )
    return _meta(
        oracle,
        start,
        vector(start if w1 is None else w1),
        rule or IDENTITY,
        method,
        size,
        _weights(weights),
        _schedule(0.0 if method in ("mg", "ada-mg") else hint),
        mixing,
    )


def _meta(
    oracle: Oracle,
    average: Vector,
    first: Vector,
    rule: Rule,
    method: Method,
    beta: Schedule,
    alpha: Schedule,
    hint: Schedule,
    mixing: Schedule | None,
) -> Iterator[Step]:
    w, total, guess = first, np.zeros_like(first), np.zeros_like(first)
    guess_x = np.zeros_like(average)
    weight_sum = surprise = 0.0
    t = 0
    while True:
        t += 1
        now, following = alpha(t), alpha(t + 1)
        weight_sum += now
        rho = now / weight_sum if mixing is None else mixing(t)
        proposal = rule.apply(average, w)
        before, average = average, (1 - rho) * average + rho * proposal
        slope = oracle.gradient(average)
        meta = rule.pullback(before, slope)
        if method == "bmg":
            next_x = hint(t + 1) * slope
            target = proposal - (now * (slope - guess_x) + following * next_x)
            w = w - beta(t + 1) * rule.pullback(before, proposal - target)
            guess_x = next_x
        else:
            total = total + now * meta
            surprise += float(np.sum((now * (meta - guess)) ** 2))
            guess = hint(t + 1) * rule.pullback(average, slope)
            move = total + following * guess
            if method in ("ada-mg", "ada-omg"):
                w = first - _into_ball(beta(t + 1), surprise, move)
            else:
                w = first - beta(t + 1) * move
        yield Step(oracle.value(average), average, w)


def _into_ball(radius: float, surprise: float, move: Vector) -> Vector:
    """The AdaGrad step R / sqrt(surprise) along ``move``, cut to length R."""
    if surprise == 0.0:
        return np.zeros_like(move)
    move = move * (radius / np.sqrt(surprise))
    return move * min(1.0, radius / max(float(np.linalg.norm(move)), 1e-300))


def _descend(oracle: Oracle, x: Vector, beta: Schedule) -> Iterator[Step]:
    t = 0
    while True:
        t += 1
        x = x - beta(t) * oracle.gradient(x)
        yield Step(oracle.value(x), x, x)


def _fista(oracle: Oracle, y: Vector, beta: Schedule) -> Iterator[Step]:
    """Nesterov's method in Beck and Teboulle's form; the gradient points y_t are what is seen."""
    x, pace, t = y, 1.0, 0
    while True:
        t += 1
        yield Step(oracle.value(y), y, y)
        ahead = y - beta(t) * oracle.gradient(y)
        faster = fista_weight(pace)
        y = ahead + (pace - 1) / faster * (ahead - x)
        x, pace = ahead, faster


def fista_weight(pace: float) -> float:
    """The next of Nesterov's weights: a^2 - a = pace^2, first one 1."""
    return (1 + float(np.sqrt(1 + 4 * pace * pace))) / 2


def _schedule(given: float | Schedule) -> Schedule:
    return given if callable(given) else lambda _: given


def _weights(given: Weights) -> Schedule:
    if given == "constant":
        return lambda _: 1.0
    if given == "linear":
        return float
    if callable(given):
        return given
    raise OptimiserError(
        f"weights {given!r} are unknown; choose 'constant', 'linear' or a function of the step",
        code="weights",
    )
