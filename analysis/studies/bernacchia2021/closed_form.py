r"""The expected test loss in closed form, without and with its next correction.

Exactly, in both regimes (F1),

.. math:: L = \tfrac{σ^2}{2}\Bigl(1 + \frac{α_r^2 p}{n_r}\Bigr) + \tfrac{h_r}{2}(ν^2 + V), \qquad
          V = E\lVert ω^* - w_0 \rVert^2, \quad h(α, n) = (1 - α)^2 + α^2 (p+1)/n,

because a test task's rows enter only through ``E(I − αS)² = h I``. Whatever meta-training
does is in ``V``, the displacement of the learnt start from the centre of the tasks, and ``V`` is
a sum of three parts: ``‖ω0 − w0‖²`` times what is kept of the start, ``ν²`` times what the tasks'
differences add, ``σ²`` times what label noise adds.

    ==========  =====================  =====================================================
    over, N<p   ``"leading"`` (F4)     the paper's formula: it meets figure 2's theory curve
    over, N<p   ``"refined"`` (F6)     derived here: all orders in N/p, next order in n_v
    under, N>p  ``"leading"`` (F8)     derived here: exact at order 1/m; near figure 3's curve
    under, N>p  ``"refined"`` (F9)     derived here: adds the term of order 1/m²
    ==========  =====================  =====================================================

Exact values are known at ``α_t = 0`` only: F3 and F7 for ``V``, F5 for its slope. The theorem
statements of the paper were not obtainable; every formula was derived from its model and
compared with simulation. Bernacchia (2021), https://arxiv.org/abs/2102.00940
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .moments import Array, contraction, expected_traces
from .setting import (
    Form,
    RegimeError,
    Setting,
    checked_existence,
    checked_form,
    finite_rate,
)


class Parts(NamedTuple):
    """The displacement of the learnt start, divided by what causes it; arrays of one shape.

    Args:
        start: Share of ``‖ω0 − w0‖²`` that is kept.
        spread: What one unit of ``ν²`` adds.
        noise: What one unit of ``σ²`` adds.
    """

    start: Array
    spread: Array
    noise: Array

    def displacement(self, setting: Setting) -> Array:
        """``V`` at the setting's noise, spread and start."""
        moved: Array = setting.init_distance**2 * self.start + setting.spread**2 * self.spread
        return moved + setting.noise**2 * self.noise


def expected_test_loss(
    *,
    alpha_train: float,
    alpha_test: float,
    n_train: int,
    n_val: int,
    n_test: int,
    tasks: int,
    dim: int,
    noise: float,
    spread: float,
    init_distance: float = 0.0,
    form: Form = "leading",
) -> float:
    """Expected loss ``½ E(y − x·θ)²`` on a new task after meta-training, without simulation.

    Args:
        alpha_train: Rate of the inner step during meta-training (``α_t``), of either sign.
        alpha_test: Rate of the step on the new task (``α_r``), of either sign.
        n_train: Rows of a meta-training task that make the inner step.
        n_val: Rows of a meta-training task that judge it.
        n_test: Rows a new task offers.
        tasks: Meta-training tasks.
        dim: Weights of the model.
        noise: Standard deviation of the label noise.
        spread: Root mean square distance of a task's weights from their centre.
        init_distance: Distance of the start from that centre; used only where
            ``n_val·tasks < dim``, because otherwise the start is forgotten.
        form: ``"leading"`` (F4 or F8) or ``"refined"`` (F6 or F9).

    Raises:
        RegimeError: A value out of range, ``n_val·tasks`` within 1 of ``dim``, a setting so near
            that threshold that the refined expansion has broken down, or a single task with
            ``n_val > dim``, noise and a positive ``alpha_train``; the loss is infinite there.

    >>> loss = expected_test_loss(alpha_train=-1.0, alpha_test=0.2, n_train=30, n_val=2, n_test=20,
    ...                           tasks=3, dim=60, noise=1.0, spread=0.5)
    >>> round(loss, 4)
    0.6837
    """
    setting = Setting(n_train, n_val, n_test, tasks, dim, noise, spread, init_distance)
    train = np.array(finite_rate("alpha_train", alpha_train))
    test = np.array(finite_rate("alpha_test", alpha_test))
    checked_existence(setting, float(train))
    moved = displacement(setting, train, form=checked_form(form))
    return float(loss_from_displacement(setting, test, moved))


def loss_from_displacement(setting: Setting, alpha_test: Array, moved: Array) -> Array:
    """The loss when the learnt start lies ``V = moved`` from the centre (F1, exact); broadcasts."""
    p, n = setting.dim, setting.n_test
    floor = 0.5 * setting.noise**2 * (1.0 + alpha_test**2 * (p / n))
    return floor + 0.5 * contraction(alpha_test, n=n, p=p) * (setting.spread**2 + moved)


def displacement(setting: Setting, alpha_train: Array, *, form: Form) -> Array:
    """``V`` at every rate of ``alpha_train``.

    Raises:
        RegimeError: The refined expansion gives a negative ``V``: too near the threshold.
    """
    moved = parts(setting, alpha_train, form=form).displacement(setting)
    if np.any(moved < 0.0):
        raise RegimeError(
            f"the refined form has broken down at n_val·tasks = {setting.rows} and dim = "
            f"{setting.dim} (a negative squared distance); use form='leading' or simulate",
            code="expansion",
        )
    return moved


def parts(setting: Setting, alpha_train: Array, *, form: Form) -> Parts:
    """The three parts of ``V`` at every rate of ``alpha_train``; see the head of the file."""
    if setting.regime == "over":
        return _over(setting, alpha_train, form)
    return _under(setting, alpha_train, form)


def _over(s: Setting, alpha: Array, form: Form) -> Parts:
    """F4, or F2 with F6 for its noise part. Only that part depends on the rate, exactly."""
    n, p, rows = s.n_train, s.dim, s.rows
    ones = np.ones_like(alpha)
    fitted = (1.0 + alpha**2 * (p / n)) / contraction(alpha, n=n, p=p)
    if form == "leading":
        share = rows / p
        return Parts((1.0 - share) * ones, share * ones, share * fitted)
    spread = rows / p * (p - s.n_val - 1) / (p - rows - 1)
    return Parts((1.0 - rows / p) * ones, spread * ones, _over_noise_refined(s, alpha, fitted))


def _over_noise_refined(s: Setting, alpha: Array, fitted: Array) -> Array:
    """``T`` of F6: exact at rate 0, all orders in ``N/p``, next order in ``n_v``."""
    n, p = s.n_train, s.dim
    h = contraction(alpha, n=n, p=p)
    others = s.rows - s.n_val
    free = p - others
    dispersion = expected_traces(((4, 0),), alpha, n=n, p=p) / (p * h**2) - 1.0
    tilt = expected_traces(((2, 1),), alpha, n=n, p=p) / (p * h)
    same_task = (s.n_val + 1) * dispersion * (1.0 - others / p) / free**2
    signal = (1.0 + alpha**2 * (p / n)) * (1.0 / (p - s.rows - 1) + same_task)
    return s.rows / h * (signal - alpha**2 / n * (s.n_val + 1) * tilt / free)


def _under(s: Setting, alpha: Array, form: Form) -> Parts:
    """F8, or F9: expand the least-squares solution in one task's normal matrix and its noise."""
    n, p, rows = s.n_train, s.dim, s.n_val

    def mean(*factors: tuple[int, int]) -> Array:
        return expected_traces(factors, alpha, n=n, p=p)

    a4, a2a2 = mean((4, 0)), mean((2, 0), (2, 0))
    h = contraction(alpha, n=n, p=p)
    scale = rows * h
    hh = rows * ((rows + 1) * a4 + a2a2)
    c_spread = hh / p
    c_noise = rows * p * h + alpha**2 / n * rows * (
        (rows + 1) * mean((2, 1)) + mean((0, 1), (2, 0))
    )
    lead = s.tasks * scale**2
    zero = np.zeros_like(alpha)
    if form == "leading":
        return Parts(zero, c_spread / lead, c_noise / lead)
    h3 = (rows**3 + 3 * rows**2 + 4 * rows) * mean((6, 0))
    h3 += 3 * (rows**2 + rows) * mean((2, 0), (4, 0)) + rows * mean((2, 0), (2, 0), (2, 0))
    hn = (rows**3 + 3 * rows**2 + 4 * rows) * mean((4, 1))
    hn += (rows**2 + rows) * (2.0 * mean((2, 0), (2, 1)) + mean((0, 1), (4, 0)))
    hn += rows * mean((2, 0), (2, 0), (0, 1))
    excess = hh / scale**2 - p

    def corrected(c: Array, hc: Array) -> Array:
        return c / lead + (3.0 * c / p * excess - 2.0 * (hc / scale - c)) / (s.tasks * lead)

    return Parts(zero, corrected(c_spread, h3 / p), corrected(c_noise, hh + alpha**2 / n * hn))
