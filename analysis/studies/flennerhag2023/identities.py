r"""Momentum is a meta-gradient: the same iterates from two separately written methods.

Left of each comparison is a meta-learner; right is a textbook optimiser written out
in a few lines, or ``torch.optim.SGD``. The paper's (abstract): gradient descent with momentum
is a special case of meta-gradients. Derived: which settings make the two agree exactly,

* in practice's form x_t = x_{t-1} + w_t, w learned by gradient steps on the loss plus
  (1-mu)/(2 beta) |w|^2: heavy ball with momentum mu and step beta;
* in averaged form: heavy ball with mu_t = rho_{t+1} (1-rho_t) / rho_t, step rho_{t+1} beta alpha_t;
* with a hint of mu last gradients on top: Nesterov ("heavy ball + optimism = Nesterov").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from .optimise import Schedule, Trajectory, fista_weight, optimise
from .oracle import Vector
from .problems import Problem

Gradient = Callable[[Vector], Vector]
Points = NDArray[np.float64]


def heavy_ball(
    gradient: Gradient, start: Vector, steps: int, momentum: Schedule, step: Schedule
) -> Points:
    """x_{t+1} = x_t + mu_t (x_t - x_{t-1}) - s_t grad f(x_t), from rest; x_1 .. x_steps, (T, n)."""
    points = [start, start]
    for t in range(1, steps):
        before, x = points[-2:]
        points.append(x + momentum(t) * (x - before) - step(t) * gradient(x))
    return np.stack(points[1:])


def nesterov(gradient: Gradient, start: Vector, steps: int, momentum: float, step: float) -> Points:
    """Nesterov's two sequences with constant momentum; the extrapolated points, (T, n)."""
    points, solved = [start], start
    for _ in range(1, steps):
        ahead = points[-1] - step * gradient(points[-1])
        points.append(ahead + momentum * (ahead - solved))
        solved = ahead
    return np.stack(points)


def torch_sgd(
    gradient: Gradient, start: Vector, steps: int, momentum: float, step: float, *, nesterov: bool
) -> Points:
    """What ``torch.optim.SGD`` does to a parameter whose gradient is ``gradient``, (T, n)."""
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([x], lr=step, momentum=momentum, nesterov=nesterov)
    points = [start]
    for _ in range(1, steps):
        x.grad = torch.from_numpy(gradient(points[-1]))
        optimiser.step()
        points.append(x.detach().numpy().copy())
    return np.stack(points)


def meta_learned_step(
    gradient: Gradient, start: Vector, steps: int, beta: float, momentum: float
) -> Points:
    """Meta-learning in practice's form, the meta-gradient taken by autograd, (T, n).

    x_t = x_{t-1} + w_t, then w moves by -beta times the gradient, with respect to w, of
    f(x_{t-1} + w) + (1-mu)/(2 beta) |w|^2.
    """
    x = torch.tensor(start, dtype=torch.float64)
    w = torch.zeros_like(x)
    points = []
    for _ in range(steps):
        w = w.detach().requires_grad_()
        ahead = x + w
        down = torch.from_numpy(gradient(ahead.detach().numpy()))  # df/dx; autograd does dx/dw
        loss = (ahead * down).sum() + (1 - momentum) / (2 * beta) * (w**2).sum()
        (slope,) = torch.autograd.grad(loss, [w])
        x, w = ahead.detach(), w - beta * slope
        points.append(x.numpy())
    return np.stack(points)


def relative_gap(left: Points, right: Points) -> float:
    """Largest distance between two paths as a share of the largest coordinate met."""
    return float(np.abs(left - right).max() / np.abs(right).max())


def fista_weights(count: int) -> list[float]:
    """Nesterov's weights alpha_1 .. alpha_count: alpha_t^2 - alpha_t = alpha_{t-1}^2."""
    weights = [1.0]
    while len(weights) < count:
        weights.append(fista_weight(weights[-1]))
    return weights


def averaged_coefficients(
    alpha: Schedule, beta: float, steps: int
) -> tuple[list[float], list[float]]:
    """Heavy ball's (mu_t, s_t), t = 1 .. steps, that the averaged meta-learner amounts to."""
    weights = [alpha(t) for t in range(1, steps + 2)]
    rho = [a / s for a, s in zip(weights, np.cumsum(weights), strict=True)]
    momentum = [after * (1 - now) / now for now, after in pairwise(rho)]
    return momentum, [beta * r * a for r, a in zip(rho[1:], weights, strict=False)]


def identity_table(problems: dict[str, Problem], steps: int = 300) -> pd.DataFrame:
    """Every identity on every problem: the largest relative difference over ``steps`` iterates.

    Columns: ``meta-learner``, ``equals``, and one per problem. Start points are moved off the
    problem's own, which for the quadratics would leave some coordinates at rest.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name, problem in problems.items():
        for pair, gap in _gaps(problem, steps).items():
            rows.setdefault(pair, {})[name] = gap
    return pd.DataFrame(
        [{"meta-learner": left, "equals": right, **gaps} for (left, right), gaps in rows.items()]
    )


def _gaps(problem: Problem, steps: int) -> dict[tuple[str, str], float]:
    start, gradient = problem.start + 1 / 3, problem.gradient
    beta, mu = 0.25 / problem.smoothness, 0.9
    rho = 1 - mu

    run = partial(optimise, problem, start, steps=steps, keep_points=True)
    meta = partial(run, method="mg", beta=beta)

    def ball(alpha: Schedule) -> Points:
        momentum, step = averaged_coefficients(alpha, beta, steps)
        return heavy_ball(gradient, start, steps, lambda t: momentum[t - 1], lambda t: step[t - 1])

    pace = fista_weights(steps + 1)
    learned = meta_learned_step(gradient, start, steps, beta, mu)
    stationary = _points(meta(mixing=lambda _: rho))
    optimistic = _points(run(method="omg", beta=beta, mixing=lambda _: rho, hint=mu))
    nesterov_by_hints = run(
        method="omg",
        beta=1 / problem.smoothness,
        weights=lambda t: pace[t - 1],
        hint=lambda t: 1 - 1 / pace[t - 1],
    )
    pairs: dict[tuple[str, str], tuple[Points, Points]] = {
        ("learned step, autograd", "heavy ball"): (
            learned,
            heavy_ball(gradient, start, steps, lambda _: mu, lambda _: beta),
        ),
        ("learned step, autograd", "torch.optim.SGD(momentum)"): (
            learned,
            torch_sgd(gradient, start, steps, mu, beta, nesterov=False),
        ),
        ("mg, constant mixing", "heavy ball"): (
            stationary,
            heavy_ball(gradient, start, steps, lambda _: mu, lambda _: rho * beta),
        ),
        ("mg, constant mixing", "torch.optim.SGD(momentum)"): (
            stationary,
            torch_sgd(gradient, start, steps, mu, rho * beta, nesterov=False),
        ),
        ("mg, constant weights", "heavy ball, mu_t and s_t"): (_points(meta()), ball(lambda _: 1)),
        ("mg, linear weights", "heavy ball, mu_t and s_t"): (
            _points(meta(weights="linear")),
            ball(float),
        ),
        ("omg, constant mixing, hint mu", "Nesterov, constant momentum"): (
            optimistic,
            nesterov(gradient, start, steps, mu, rho * beta),
        ),
        ("omg, constant mixing, hint mu", "torch.optim.SGD(nesterov=True)"): (
            optimistic,
            torch_sgd(gradient, start, steps, mu, rho * beta, nesterov=True),
        ),
        ("omg, FISTA weights, hint 1 - 1/alpha", "FISTA"): (
            _points(nesterov_by_hints),
            _points(run(method="fista", beta=1 / problem.smoothness)),
        ),
        ("bmg, linear weights", "omg, linear weights"): (
            _points(run(method="bmg", beta=beta, weights="linear")),
            _points(run(method="omg", beta=beta, weights="linear")),
        ),
    }
    return {pair: relative_gap(*paths) for pair, paths in pairs.items()}


def _points(trajectory: Trajectory) -> Points:
    assert trajectory.points is not None
    return trajectory.points
