r"""The same model with inputs of unequal variance: where the sign of the best rate comes from.

With ``x ~ N(0, Σ)`` the isotropic theory no longer holds, but the exact solution does. For a
new task, ``E(I − αS)Σ(I − αS) = D`` is known,

.. math:: D = Σ - 2αΣ^2 + α^2 \bigl[(1 + 1/n)\, Σ^3 + \operatorname{tr}(Σ^2)\, Σ / n\bigr],

and the test loss is ``½`` times a sum of three parts, one for each cause: what is kept of a
start away from the centre, the tasks' own differences, the label noise. Their best training
rates differ in sign, so on real features the sign is a balance, to be measured.

Derived here; the paper's theory is isotropic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .moments import Array


@dataclass(frozen=True)
class Shape:
    """Sizes of an experiment; the number of eigenvalues is the dimension.

    Args:
        n_train: Rows of a meta-training task that make the inner step.
        n_val: Rows that judge it.
        n_test: Rows of a new task.
        tasks: Meta-training tasks.
    """

    n_train: int
    n_val: int
    n_test: int
    tasks: int


class LossParts(NamedTuple):
    """Test loss of each run and rate ``(R, A)`` for one unit of each squared cause, alone.

    Args:
        start: Distance of the start from the centre, in an isotropic direction.
        spread: Differences between tasks.
        noise: Label noise.
    """

    start: Array
    spread: Array
    noise: Array


def power_law(dim: int, exponent: float) -> Array:
    """Eigenvalues ``i^(−exponent)``, ``i = 1 … dim``, scaled to mean 1: ``(dim,)``."""
    values = np.arange(1, dim + 1, dtype=np.float64) ** -exponent
    return np.asarray(values / values.mean(), dtype=np.float64)


def simulate_spectrum(
    eigenvalues: Array,
    alpha_train: Array,
    *,
    alpha_test: float,
    shape: Shape,
    runs: int,
    seed: int,
) -> LossParts:
    """Solve meta-training exactly on inputs with the given ``eigenvalues (p,)``.

    All rates ``alpha_train (A,)`` see the same inputs. Works in both regimes.
    """
    rng = np.random.default_rng(seed)
    weight, floor = _test_task(eigenvalues, alpha_test, shape.n_test)
    p = len(eigenvalues)
    out = np.empty((3, runs, len(alpha_train)))
    for run in range(runs):
        x = rng.standard_normal((shape.tasks, shape.n_train + shape.n_val, p)) * np.sqrt(
            eigenvalues
        )
        train, val = x[:, : shape.n_train], x[:, shape.n_train :]
        k = val @ train.swapaxes(1, 2) / shape.n_train
        b = val - alpha_train[:, None, None, None] * (k @ train)  # (A, m, n_v, p)
        rows = b.reshape(len(alpha_train), -1, p)
        back = np.linalg.pinv(rows)
        weighted = back.swapaxes(1, 2) @ (weight[:, None] * back)  # B⁺ᵀ D B⁺, (A, N, N)
        moved = back @ rows
        kept = weight.sum() - 2 * np.einsum("app,p->a", moved, weight)
        kept += np.einsum("apq,p,apq->a", moved, weight, moved)
        blocks = _diagonal_blocks(weighted, shape)
        gram = b @ b.swapaxes(2, 3)
        out[0, run] = kept / p
        out[1, run] = (weight.sum() + np.einsum("amij,amij->a", blocks, gram)) / p
        out[2, run] = floor + np.trace(weighted, axis1=1, axis2=2)
        out[2, run] += alpha_train**2 * np.einsum("amij,mij->a", blocks, k @ k.swapaxes(1, 2))
    out *= 0.5
    return LossParts(out[0], out[1], out[2])


def _test_task(eigenvalues: Array, alpha: float, n: int) -> tuple[Array, float]:
    """Diagonal of ``D (p,)`` and what label noise costs whatever the start."""
    square = float(np.sum(eigenvalues**2))
    curved = (1 + 1 / n) * eigenvalues**3 + square / n * eigenvalues
    return eigenvalues - 2 * alpha * eigenvalues**2 + alpha**2 * curved, 1.0 + alpha**2 * square / n


def _diagonal_blocks(matrices: Array, shape: Shape) -> Array:
    """Each task's block on the diagonal: ``(A, N, N)`` to ``(A, m, n_v, n_v)``."""
    split = matrices.reshape(len(matrices), shape.tasks, shape.n_val, shape.tasks, shape.n_val)
    blocks: Array = np.einsum("amimj->amij", split)
    return blocks
