r"""One learned rate per coordinate, tuned while training: the rule of the paper's Figure 1.

The rule is x_t = x_{t-1} - w * g_{t-1} (element by element), g the gradient. After the step,
w moves along

.. math:: m_t = -\,g_{t-1} * (x_t - z_t)

with z_t the point the step should have reached: ``mg`` takes z = x_t - g_t, which is the
plain meta-gradient; ``omg`` adds the last meta-gradient as hint, 2 g_t - g_{t-1} for g_t;
``bmg`` runs L more steps with w held. ``fixed`` never moves w.

Derived (B7): on a quadratic of curvature h the plain update rests at w = 1/h, Newton's
rate, and the hinted one already at w = 1/(2h): for this rule optimism is *more* careful.

All settings of a tuning grid (starting rate, meta step) run side by side: C rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Kind = Literal["fixed", "mg", "omg", "bmg"]
KINDS: tuple[Kind, ...] = ("fixed", "mg", "omg", "bmg")
Array = NDArray[np.float64]
LossAndGradient = Callable[[int, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Online:
    """What C settings did over T steps.

    Args:
        losses: Loss after each step, (T, C); not finite where a setting diverged.
        points: Last points (C, n).
        rates: Last rates (C, n).
    """

    losses: Array
    points: Array
    rates: Array


def tuning_grid(starts: tuple[float, ...], meta_steps: tuple[float, ...]) -> Array:
    """Every pair of starting rate and meta step, (C, 2)."""
    return np.array(list(product(starts, meta_steps)))


def tune_online(
    problem: LossAndGradient,
    start: Array,
    grid: Array,
    *,
    kind: Kind,
    steps: int,
    target_steps: int = 3,
    adagrad: bool = True,
) -> Online:
    """Train while learning a rate per coordinate.

    Args:
        problem: (batch number, points (C, n)) to losses (C,) and gradients (C, n).
        start: x_0, (n,).
        grid: Starting rate and meta step per setting, (C, 2).
        kind: How w learns.
        steps: T.
        target_steps: L, for ``bmg``.
        adagrad: Divide the meta step by the root of the summed squares so far.
    """
    x = np.tile(start, (len(grid), 1))
    w = np.tile(grid[:, :1], (1, len(start)))
    meta_step, squares = grid[:, 1:], np.zeros_like(x)
    losses = np.empty((steps, len(grid)))
    with np.errstate(over="ignore", invalid="ignore"):  # too large a rate may diverge
        _, before = problem(0, x)
        for t in range(steps):
            x = x - w * before
            losses[t], after = problem(t + 1, x)
            if kind != "fixed":
                meta = -before * _missing(kind, problem, t + 1, x, w, before, after, target_steps)
                squares += meta**2
                scale = np.sqrt(squares) if adagrad else 1.0
                w = w - meta_step * meta / np.where(scale == 0, 1.0, scale)
            before = after
    return Online(losses, x, w)


def _missing(
    kind: Kind,
    problem: LossAndGradient,
    batch: int,
    x: Array,
    w: Array,
    before: Array,
    after: Array,
    target_steps: int,
) -> Array:
    """x_t - z_t: how far the step fell short of its target, (C, n)."""
    if kind == "mg":
        return after
    if kind == "omg":
        return 2 * after - before
    target, slope = x, after
    for step in range(target_steps):
        target = target - w * slope
        if step + 1 < target_steps:
            slope = problem(batch, target)[1]
    return x - target


def quadratic_problem(curvature: Array, rotation: Array | None = None) -> LossAndGradient:
    """1/2 x' Q diag(h) Q' x for curvatures h (n,) and a rotation Q (n, n), None the identity."""
    matrix = np.diag(curvature) if rotation is None else rotation @ np.diag(curvature) @ rotation.T

    def problem(_: int, x: Array) -> tuple[Array, Array]:
        slope = x @ matrix
        return 0.5 * np.sum(x * slope, axis=1), slope

    return problem


def quadratic_table(seeds: int, first_seed: int) -> pd.DataFrame:
    """C13: the best cumulative loss over 200 steps of each kind, each tuned on the same grid.

    Columns ``orientation``, ``kappa``, ``seed`` and one per kind; 20 dimensions.
    """
    grid = tuning_grid((0.1, 0.5, 1.0, 1.5, 1.9), (0.01, 0.03, 0.1, 0.3, 1.0))
    rows: list[dict[str, object]] = []
    for orientation, kappa, seed in product(
        ("axis-aligned", "rotated"), (10, 100, 1000), range(first_seed, first_seed + seeds)
    ):
        rng = np.random.default_rng(seed)
        rotated = orientation == "rotated"
        turn = np.linalg.qr(rng.standard_normal((20, 20)))[0] if rotated else None
        start = rng.standard_normal(20)
        problem = quadratic_problem(np.geomspace(1 / kappa, 1, 20), turn)
        row: dict[str, object] = {"orientation": orientation, "kappa": kappa, "seed": seed}
        for kind in KINDS:
            row[kind] = tuned(tune_online(problem, start, grid, kind=kind, steps=200).losses)
        rows.append(row)
    return pd.DataFrame(rows)


def tuned(losses: Array) -> float:
    """The smallest cumulative loss over settings, (T, C) to a number; diverged ones never win."""
    total = losses.sum(axis=0)
    return float(np.where(np.isfinite(total), total, np.inf).min())


def digits_problem(seed: int, hidden: int = 32, batch: int = 64) -> tuple[LossAndGradient, Array]:
    """Minibatches of 8 x 8 digits for a 64-hidden-10 network, and fresh parameters (n,).

    Losses are cross-entropies in nats on a batch not yet trained on; C networks at once.
    """
    images, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy(images / 16.0)
    wanted = torch.from_numpy(labels.astype(np.int64))
    rng = np.random.default_rng(seed)
    shapes = ((64, hidden), (1, hidden), (hidden, 10), (1, 10))
    bounds = (64**-0.5, 64**-0.5, hidden**-0.5, hidden**-0.5)
    start = np.concatenate(
        [rng.uniform(-b, b, int(np.prod(s))) for s, b in zip(shapes, bounds, strict=True)]
    )
    rows: list[NDArray[np.int64]] = []

    def problem(number: int, x: Array) -> tuple[Array, Array]:
        while len(rows) <= number:
            rows.append(rng.integers(0, len(images), batch))
        flat = torch.from_numpy(x).requires_grad_()
        parts = torch.split(flat, [int(np.prod(s)) for s in shapes], dim=1)
        first, bias, second, last = (
            part.reshape(len(x), *shape) for part, shape in zip(parts, shapes, strict=True)
        )
        seen = inputs[rows[number]]
        logits = torch.relu(seen @ first + bias) @ second + last
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted[rows[number]].repeat(len(x)), reduction="none"
        )
        losses = losses.reshape(len(x), batch).mean(1)
        (slope,) = torch.autograd.grad(losses.sum(), [flat])
        return losses.detach().numpy(), slope.numpy()

    return problem, start


def digits_curves(seeds: int, first_seed: int, steps: int) -> pd.DataFrame:
    """The online loss of each kind's best setting: ``kind``, ``seed``, ``step``, ``loss``."""
    grid = tuning_grid((0.1, 0.3, 1.0, 3.0), (0.01, 0.03, 0.1))
    parts = []
    for seed in range(first_seed, first_seed + seeds):
        for kind in KINDS:
            problem, start = digits_problem(seed)
            losses = tune_online(problem, start, grid, kind=kind, steps=steps).losses
            total = losses.sum(axis=0)
            best = losses[:, np.where(np.isfinite(total), total, np.inf).argmin()]
            parts.append(
                pd.DataFrame(
                    {"kind": kind, "seed": seed, "step": np.arange(1, steps + 1), "loss": best}
                )
            )
    return pd.concat(parts, ignore_index=True)
