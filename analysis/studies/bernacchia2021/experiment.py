"""The experiment with nothing averaged by thought: tasks, labels, steps and test rows are drawn.

It is what the paper simulated for the dots of its figures (100 test tasks of 50 rows for every
meta-training run). It is far slower and noisier than ``simulation.py``; it is here to check that
file's two shortcuts, the test task integrated out (F1) and meta-training replaced by its limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .moments import Array
from .setting import RegimeError, Setting


@dataclass(frozen=True)
class MetaTraining:
    """The rows of one meta-training run, as drawn; the tasks' centre is the origin.

    Args:
        alpha: Rate of the inner step.
        start: ``ω0 (p,)``.
        train_x: ``(m, n_t, p)``, with labels ``train_y (m, n_t)``.
        val_x: ``(m, n_v, p)``, with labels ``val_y (m, n_v)``.
    """

    alpha: float
    start: Array
    train_x: Array
    train_y: Array
    val_x: Array
    val_y: Array

    def residuals(self, omega: Array) -> Array:
        """Errors ``(m, n_v)`` on the judged rows after each task's inner step from ``omega``."""
        theta = inner_step(omega, self.train_x, self.train_y, self.alpha)
        predicted: Array = np.einsum("mvp,mp->mv", self.val_x, theta)
        return predicted - self.val_y

    def gradient(self, omega: Array) -> Array:
        """Gradient ``(p,)`` of half the mean squared residual, through the inner step."""
        outer = np.einsum("mvp,mv->mp", self.val_x, self.residuals(omega))
        along = np.einsum("mtp,mp->mt", self.train_x, outer)
        through = outer - self.alpha / self.train_x.shape[1] * np.einsum(
            "mtp,mt->mp", self.train_x, along
        )
        total: Array = through.sum(axis=0)
        return total / self.val_y.size

    def linear_rows(self) -> tuple[Array, Array]:
        """``B (N, p)`` and ``γ (N,)``: meta-training as one linear regression on ``ω``."""
        k = self.val_x @ self.train_x.swapaxes(1, 2) / self.train_x.shape[1]
        b = self.val_x - self.alpha * (k @ self.train_x)
        gamma = self.val_y - self.alpha * np.einsum("mvt,mt->mv", k, self.train_y)
        return b.reshape(-1, b.shape[-1]), gamma.ravel()

    def solution(self) -> Array:
        """Where gradient descent from the start ends, ``(p,)``: the pseudo-inverse solution."""
        b, gamma = self.linear_rows()
        change, *_ = np.linalg.lstsq(b, gamma - b @ self.start, rcond=None)
        return self.start + change

    def descend(self, *, steps: int) -> Array:
        """The same by walking: ``steps`` plain gradient steps on ``ω``, ``(p,)``."""
        b, _ = self.linear_rows()
        rate = len(b) / float(np.linalg.norm(b, 2)) ** 2
        omega = self.start.copy()
        for _ in range(steps):
            omega = omega - rate * self.gradient(omega)
        return omega


def inner_step(omega: Array, x: Array, y: Array, alpha: float) -> Array:
    """One gradient step on each task's half mean squared error, from ``omega``: ``(T, p)``."""
    error = x @ omega - y
    gradient: Array = (error[:, None] @ x)[:, 0] / x.shape[1]
    return omega - alpha * gradient


def draw(setting: Setting, alpha_train: float, rng: np.random.Generator) -> MetaTraining:
    """One meta-training set; the start lies ``init_distance`` from the centre."""
    start = np.zeros(setting.dim)
    start[0] = setting.init_distance
    weights = _weights(setting, setting.tasks, rng)
    train_x, train_y = _rows(setting, weights, setting.n_train, rng)
    val_x, val_y = _rows(setting, weights, setting.n_val, rng)
    return MetaTraining(alpha_train, start, train_x, train_y, val_x, val_y)


def literal_test_loss(
    setting: Setting,
    *,
    alpha_train: float,
    alpha_test: float,
    runs: int,
    seed: int,
    test_tasks: int = 100,
    test_rows: int = 50,
) -> tuple[float, float]:
    """Mean over runs of the measured test loss, and its standard error.

    Raises:
        RegimeError: Fewer than 2 runs.
    """
    if runs < 2:
        raise RegimeError(f"runs = {runs} gives no standard error; ask for at least 2", code="runs")
    rng = np.random.default_rng(seed)
    losses = np.empty(runs)
    for run in range(runs):
        omega = draw(setting, alpha_train, rng).solution()
        weights = _weights(setting, test_tasks, rng)
        x, y = _rows(setting, weights, setting.n_test, rng)
        theta = inner_step(omega, x, y, alpha_test)
        fresh, answers = _rows(setting, weights, test_rows, rng)
        losses[run] = 0.5 * np.mean(((fresh @ theta[:, :, None])[:, :, 0] - answers) ** 2)
    return float(losses.mean()), float(losses.std(ddof=1) / math.sqrt(runs))


def _weights(s: Setting, tasks: int, rng: np.random.Generator) -> Array:
    return rng.standard_normal((tasks, s.dim)) * (s.spread / math.sqrt(s.dim))


def _rows(s: Setting, weights: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Inputs ``(T, n, p)`` and labels ``(T, n)`` of tasks with ``weights (T, p)``."""
    x = rng.standard_normal((len(weights), n, s.dim))
    return x, (x @ weights[:, :, None])[:, :, 0] + s.noise * rng.standard_normal((len(weights), n))
