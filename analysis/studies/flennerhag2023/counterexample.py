r"""Why momentum alone is not enough: a one-dimensional convex function that it cannot settle on.

f is a parabola of curvature 1 to the right of 0 and k < 1 to its left. With weights
alpha_t = t and no hint the averaged iterate tends to the recursion

.. math:: x_{n+1} = (2 - s f'')\,x_n - x_{n-1}, \qquad s = 2 \beta = 1/(2L),

a rotation by pi / arccos(1 - s f''/2) steps per half turn. On a parabola a rotation is
harmless, and averaging damps it. With two curvatures the half turns take a non-integer number
of steps each, the kinks line up with them, and near k = 1/3 a period-12 path (4 or 5
steps right, 8 or 7 left) is pushed outwards at every round: resonance. Growth takes
thousands of steps to show. Derived (theory B5), not in the paper, which claims only that
optimism is needed. The three-cycle of constant momentum is Lessard et al. (2016).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .optimise import Trajectory, optimise
from .oracle import Vector
from .problems import lessard, one_sided_quadratic

K_RESONANT = 0.3327
CYCLE = (792 / 1225, -2208 / 1225, 2592 / 1225)


def half_turn(curvature: float, step: float = 0.5) -> float:
    """Steps in half a turn of x_{n+1} = (2 - s h) x_n - x_{n-1}."""
    return float(np.pi / np.arccos(1 - step * curvature / 2))


def path_radius(right: int, left: int, k: float, step: float = 0.5) -> float:
    """Growth per round of a path with ``right`` steps at curvature 1 and ``left`` at k."""

    def turn(curvature: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.array([[2 - step * curvature, -1.0], [1.0, 0.0]])

    there, back = np.linalg.matrix_power(turn(1.0), right), np.linalg.matrix_power(turn(k), left)
    return float(np.abs(np.linalg.eigvals(there @ back)).max())


def resonance_table(k: float = 0.33265) -> pd.DataFrame:
    """Growth of the period-12 paths: columns ``path``, ``growth per round``, ``per step``."""
    rows = []
    for right, left in ((4, 8), (5, 7)):
        growth = path_radius(right, left, k)
        rows.append(
            {
                "path": f"{right} right, {left} left",
                "growth per round": growth,
                "rate per step": np.log(growth) / (right + left),
            }
        )
    return pd.DataFrame(rows)


def race(
    k: float = K_RESONANT, steps: int = 8000, starts: tuple[float, ...] = (1.0, -1.0)
) -> dict[tuple[str, float], Trajectory]:
    """Three methods on the one-sided parabola, by (method, start); L = 1.

    ``growing`` is mg with linear weights, ``optimistic`` the same weights and step with the
    hint, ``constant`` mg with constant weights at its own step 1/L.
    """
    answer = {}
    for start in starts:
        f = one_sided_quadratic(k, np.array([start]))
        at = f.start
        answer["growing", start] = optimise(
            f, at, method="mg", steps=steps, weights="linear", beta=0.25, keep_points=True
        )
        answer["optimistic", start] = optimise(
            f, at, method="omg", steps=steps, weights="linear", beta=0.25, keep_points=True
        )
        answer["constant", start] = optimise(f, at, method="mg", steps=steps, beta=1.0)
    return answer


def reach(ks: Vector, steps: int = 8000) -> Vector:
    """f after ``steps`` of growing weights without hints, for several k at once, (2, len(ks)).

    The problem splits over coordinates, so every k from +1 (first row) and -1 (second) runs in one.
    """
    both = np.concatenate([ks, ks])
    start = np.concatenate([np.ones_like(ks), -np.ones_like(ks)])

    def gradient(x: Vector) -> Vector:
        return np.where(x > 0, 1.0, both) * x

    end = optimise(
        lambda x: float(np.sum(x * gradient(x)) / 2),
        start,
        gradient=gradient,
        method="mg",
        steps=steps,
        weights="linear",
        beta=0.25,
    ).point
    return (end * gradient(end) / 2).reshape(2, -1)


def lessard_paths(steps: int = 3000) -> dict[str, Vector]:
    """Iterates (steps,) on Lessard's function (L = 25, m = 1) from 3.3: momentum and optimism.

    ``momentum`` mixes at rho = 5/9 with beta = 1/5, which is heavy ball's best tuning for
    quadratics (step 1/9, momentum 4/9); ``optimism`` is Nesterov's, step 1/L, momentum 2/3.
    """
    f = lessard()
    momentum = optimise(
        f, f.start, method="mg", steps=steps, beta=1 / 5, mixing=lambda _: 5 / 9, keep_points=True
    )
    optimism = optimise(
        f,
        f.start,
        method="omg",
        steps=steps,
        beta=3 / 25,
        mixing=lambda _: 1 / 3,
        hint=2 / 3,
        keep_points=True,
    )
    assert momentum.points is not None
    assert optimism.points is not None
    return {"momentum": momentum.points[:, 0], "optimism": optimism.points[:, 0]}


def distance_to_cycle(points: Vector) -> float:
    """How far the last three points are from Lessard's three-cycle, in whichever order."""
    return float(np.abs(np.sort(points[-3:]) - np.sort(CYCLE)).max())
