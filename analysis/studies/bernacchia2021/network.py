r"""A small network near its starting point: does a negative training rate help there too?

A two-layer ReLU network is replaced by its tangent at a random start, the limit in which the
paper extends its result: ``f(x; θ) = f(x; θ0) + φ(x)·(θ − θ0)``, linear in ``θ`` with features
``φ(x) = ∂f/∂θ``. Tasks are not linear: ``y = (w·x + b)² + z``. Everything is drawn; the inner
step and the outer solution are exact, as in the linear model. The features' spectrum is far
from flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .moments import Array


@dataclass(frozen=True)
class NetworkExperiment:
    """Sizes and scales; our choice, because the paper's full settings were not obtainable.

    Args:
        inputs: Dimension of ``x``.
        width: Hidden units; the tangent has ``width·(inputs + 2)`` parameters.
        n_train: Rows that make a meta-training task's inner step.
        n_val: Rows that judge it.
        n_test: Rows a new task offers.
        tasks: Meta-training tasks.
        test_tasks: New tasks tried after every meta-training.
        test_rows: Fresh rows of each.
        noise: Standard deviation of the label noise.
        test_step: ``α_r`` times the largest eigenvalue of the features' second moment.
    """

    inputs: int = 3
    width: int = 150
    n_train: int = 30
    n_val: int = 4
    n_test: int = 20
    tasks: int = 6
    test_tasks: int = 10
    test_rows: int = 20
    noise: float = 0.1
    test_step: float = 0.5


def simulate_network(experiment: NetworkExperiment, steps: Array, *, runs: int, seed: int) -> Array:
    """Test loss ``(R, A)`` of each meta-training run at each ``α_t λ_max`` in ``steps (A,)``.

    ``λ_max`` is the largest eigenvalue of the features' second moment over the run's inner
    rows. A run draws its own network, tasks and rows; all rates share them.
    """
    rng = np.random.default_rng(seed)
    return np.stack([_run(experiment, steps, rng) for _ in range(runs)])


def _run(e: NetworkExperiment, steps: Array, rng: np.random.Generator) -> Array:
    first = rng.standard_normal((e.width, e.inputs)) * math.sqrt(2.0 / e.inputs)
    bias = rng.standard_normal(e.width)
    last = rng.standard_normal(e.width)

    def task(count: int, *sizes: int) -> list[tuple[Array, Array]]:
        """Features ``(T, n, P)`` and what is left for them to explain ``(T, n)``, by size."""
        w = rng.standard_normal((count, 1, e.inputs))
        b = rng.standard_normal((count, 1))
        out = []
        for n in sizes:
            x = rng.standard_normal((count, n, e.inputs))
            y = (np.sum(w * x, axis=-1) + b) ** 2 + e.noise * rng.standard_normal((count, n))
            start, phi = tangent(x, first, bias, last)
            out.append((phi, y - start))
        return out

    (train, train_y), (val, val_y) = task(e.tasks, e.n_train, e.n_val)
    (test, test_y), (fresh, fresh_y) = task(e.test_tasks, e.n_test, e.test_rows)
    flat = train.reshape(-1, train.shape[-1])
    largest = float(np.linalg.eigvalsh(flat @ flat.T)[-1]) / len(flat)
    k = val @ train.swapaxes(1, 2) / e.n_train
    z, z_y = k @ train, (k @ train_y[:, :, None])[:, :, 0]
    losses = np.empty(len(steps))
    for place, alpha in enumerate(steps / largest):
        rows = (val - alpha * z).reshape(-1, val.shape[-1])
        omega, *_ = np.linalg.lstsq(rows, (val_y - alpha * z_y).ravel(), rcond=None)
        error = test @ omega - test_y
        theta = omega - e.test_step / largest / e.n_test * (error[:, None] @ test)[:, 0]
        losses[place] = 0.5 * np.mean(((fresh @ theta[:, :, None])[:, :, 0] - fresh_y) ** 2)
    return losses


def tangent(x: Array, first: Array, bias: Array, last: Array) -> tuple[Array, Array]:
    """Output ``(…)`` of the network at ``x (…, d)`` and its gradient ``(…, P)`` there.

    ``f(x) = last · relu(first x + bias) / √width``; its gradient by ``first``, ``bias``, ``last``.
    """
    scale = 1.0 / math.sqrt(len(last))
    before = x @ first.T + bias
    hidden = np.maximum(before, 0.0)
    by_bias = scale * last * (before > 0.0)
    by_first = (by_bias[..., :, None] * x[..., None, :]).reshape(*x.shape[:-1], -1)
    return scale * hidden @ last, np.concatenate([by_first, by_bias, scale * hidden], axis=-1)
