"""How fast each method really is: slopes, constants, bounds, conditioning and hints.

Every number is measured on trajectories of ``optimise``; the bounds are B1 and B2 of the
derivation, lambda L |w* - w1|^2 / (2 T) for plain meta-gradients and
4 lambda L |w* - w1|^2 / (T (T + 1)) with optimism. That plain meta-gradients converge at
1/T and optimistic ones at 1/T^2 is the paper's; constants and problems are derived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from .optimise import Method, Schedule, Step, Weights, iterate, linear_rule, optimise
from .oracle import Vector
from .problems import (
    Problem,
    conditioned_quadratic,
    log_uniform_quadratic,
    quadratic,
    random_rule,
    soft_label_logistic,
)


@dataclass(frozen=True)
class Setup:
    """A method with the step size its theory asks for.

    Args:
        label: Its name in tables and figures.
        method: See ``optimise``.
        weights: alpha_t.
        beta: From (L, |x* - w1|) to what ``optimise`` takes.
    """

    label: str
    method: Method
    weights: Weights
    beta: Callable[[float, float], float | Schedule]

    def values(self, problem: Problem, steps: int) -> Vector:
        """f(averaged iterate) - f* after each step, (steps,)."""
        return (
            optimise(
                problem,
                problem.start,
                method=self.method,
                steps=steps,
                weights=self.weights,
                beta=self.beta(problem.smoothness, problem.distance),
            ).values
            - problem.minimum
        )


SETUPS = {
    setup.label: setup
    for setup in (
        Setup("GD", "gd", "constant", lambda s, _: 1 / s),
        Setup("MG, constant weights", "mg", "constant", lambda s, _: 1 / s),
        Setup("MG, growing weights, falling step", "mg", "linear", lambda s, _: _falling(s)),
        Setup("MG, growing weights", "mg", "linear", lambda s, _: 1 / (4 * s)),
        Setup("OMG", "omg", "linear", lambda s, _: 1 / (4 * s)),
        Setup("OMG, rising step", "omg", "linear", lambda s, _: _rising(s)),
        Setup("OMG, constant weights", "omg", "constant", lambda s, _: 1 / (4 * s)),
        Setup("FISTA", "fista", "constant", lambda s, _: 1 / s),
        Setup("AdaMG", "ada-mg", "constant", lambda _, r: 2 * r),
        Setup("AdaOMG", "ada-omg", "linear", lambda _, r: 2 * r),
    )
}


def _falling(smoothness: float) -> Schedule:
    return lambda t: 1 / (smoothness * t)


def _rising(smoothness: float) -> Schedule:
    return lambda t: max(t - 1, 1) / (2 * t * smoothness)


def loglog_slope(values: Vector, first: int, last: int) -> float:
    """Slope of log values against log step, on 60 log-spaced steps from ``first`` to ``last``."""
    at = np.unique(np.geomspace(first, last, 60).astype(int))
    return float(np.polyfit(np.log(at), np.log(values[at - 1]), 1)[0])


def curves(problem: Problem, steps: int, labels: tuple[str, ...]) -> dict[str, Vector]:
    """The gap of each named setup over ``steps`` steps."""
    return {label: SETUPS[label].values(problem, steps) for label in labels}


def ada_values(problem: Problem, steps: int, factor: float) -> Vector:
    """AdaMG's gap when the ball of parameters has radius ``factor`` times |x* - start|."""
    setup = Setup("AdaMG", "ada-mg", "constant", lambda _, distance: factor * distance)
    return setup.values(problem, steps)


def bound_ratios(seed: int, draws: int, steps: int) -> pd.DataFrame:
    """B1 and B2 on random problems and rules (P6): largest measured / bound, columns B1, B2."""
    rng = np.random.default_rng(seed)
    t = np.arange(1, steps + 1)
    rows = []
    for _ in range(draws):
        drawn = random_rule(rng)
        f = drawn.problem
        scale = drawn.rule_smoothness * f.smoothness
        reach = scale * float(np.sum(drawn.best_parameters**2))

        run = partial(optimise, f, f.start, steps=steps, rule=linear_rule(drawn.matrix), w1=f.start)
        plain = run(method="mg", beta=1 / scale).values - f.minimum
        hopeful = run(method="omg", weights="linear", beta=1 / (4 * scale)).values - f.minimum
        rows.append(
            {
                "B1": (plain / (reach / (2 * t))).max(),
                "B2": (hopeful / (4 * reach / (t * (t + 1)))).max(),
            }
        )
    return pd.DataFrame(rows)


def scale_values(factors: tuple[float, ...], steps: int) -> list[float]:
    """C6: AdaOMG's final f / c on c times P1, for each factor c."""
    base = log_uniform_quadratic()
    return [float(SETUPS["AdaOMG"].values(base.scaled(c), steps)[-1]) / c for c in factors]


def logistic_runs(seeds: int, first_seed: int, steps: int) -> list[dict[str, Vector]]:
    """C4: curves on P2, one dictionary per seed."""
    labels = ("GD", "MG, constant weights", "MG, growing weights", "OMG", "FISTA", "AdaOMG")
    return [
        curves(soft_label_logistic(np.random.default_rng(seed)), steps, labels)
        for seed in range(first_seed, first_seed + seeds)
    ]


def steadily(value: float) -> Schedule:
    """The same number at every step."""
    return lambda _: value


def steps_to(walk: Iterator[Step], tolerance: float) -> int:
    """The first step at which f is below ``tolerance`` (f* is 0)."""
    return next(t for t, step in enumerate(walk, 1) if step.value <= tolerance)


def gradient_descent_count(problem: Problem, step: float, tolerance: float) -> int:
    """GD's steps to ``tolerance`` on a quadratic around 0, from the closed form (no loop)."""
    h = problem.gradient(np.ones_like(problem.start))

    def above(t: int) -> bool:
        return 0.5 * float(np.sum(h * problem.start**2 * (1 - step * h) ** (2 * t))) > tolerance

    high = 1
    while above(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return high


def conditioning_table(kappas: tuple[int, ...], seeds: int, first_seed: int) -> pd.DataFrame:
    """C9: steps to f <= 1e-8 on P5: columns ``kappa``, ``seed``, ``method``, ``steps``.

    Momentum is tuned for quadratics (heavy ball) and for strong convexity (OMG, Nesterov's
    stationary form: hint mu = (sqrt(kappa)-1)/(sqrt(kappa)+1), step 1/L).
    """
    rows: list[dict[str, object]] = []
    for seed in range(first_seed, first_seed + seeds):
        for kappa in kappas:
            f = conditioned_quadratic(kappa, np.random.default_rng(seed))
            root = float(np.sqrt(kappa))
            mu = (root - 1) / (root + 1)
            step = 4 / (1 + 1 / root) ** 2
            ball = iterate(
                f, f.start, method="mg", beta=step / (1 - mu**2), mixing=steadily(1 - mu**2)
            )
            optimistic = iterate(
                f, f.start, method="omg", beta=1 / (1 - mu), mixing=steadily(1 - mu), hint=mu
            )
            counts = {
                "GD, step 1/L": gradient_descent_count(f, 1.0, 1e-8),
                "GD, step 2/(L+m)": gradient_descent_count(f, 2 / (1 + 1 / kappa), 1e-8),
                "heavy ball = MG": steps_to(ball, 1e-8),
                "Nesterov = OMG": steps_to(optimistic, 1e-8),
            }
            rows += [
                {"kappa": kappa, "seed": seed, "method": name, "steps": count}
                for name, count in counts.items()
            ]
    return pd.DataFrame(rows)


def conditioning_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """The exponent of kappa per method (rows) and seed (columns)."""

    def exponent(rows: pd.DataFrame) -> float:
        return float(np.polyfit(np.log(rows["kappa"]), np.log(rows["steps"].astype(float)), 1)[0])

    fits = {key: exponent(rows) for key, rows in table.groupby(["method", "seed"], sort=False)}
    return pd.Series(fits).unstack()


def hint_values(scales: tuple[float, ...], steps: int) -> dict[float, Vector]:
    """C10: OMG's values on P1 when the hint is ``scale`` times the last gradient."""
    f = log_uniform_quadratic()
    return {
        scale: optimise(
            f, f.start, method="omg", steps=steps, weights="linear", beta=0.25, hint=scale
        ).values
        for scale in scales
    }


def stability_limit(method: Method, low: float, high: float, steps: int = 4000) -> float:
    """The largest beta (L = 1, alpha_t = t) that does not blow up on x^2/2, by bisection."""
    f = quadratic(np.ones(1), np.zeros(1), np.ones(1))
    while high - low > 1e-3:
        middle = (low + high) / 2
        end = optimise(f, f.start, method=method, steps=steps, weights="linear", beta=middle)
        low, high = (low, middle) if end.values[-1] > end.values[0] else (middle, high)
    return (low + high) / 2


def preconditioned_curves(steps: int) -> tuple[dict[str, Vector], float]:
    """C11: MG and OMG on P1 through phi = d * w, d = 1, 1/2, 1, ...; and lambda L of that rule."""
    f = log_uniform_quadratic()
    d = np.where(np.arange(f.start.size) % 2 == 0, 1.0, 0.5)
    scale = float(np.max(f.gradient(f.minimiser + d**2)))
    rule, w1 = linear_rule(d), np.zeros_like(d)
    return {
        "MG": optimise(
            f, f.start, method="mg", steps=steps, beta=1 / scale, rule=rule, w1=w1
        ).values,
        "OMG": optimise(
            f, f.start, method="omg", weights="linear", steps=steps, beta=0.25 / scale,
            rule=rule, w1=w1,
        ).values,
    }, scale  # fmt: skip
