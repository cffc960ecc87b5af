r"""The best learning rates: a positive one for the new task, a negative one for meta-training.

For the new task the loss is an exact parabola in ``α_r`` with its vertex at

.. math:: α_r^* = \frac{T}{T(1 + (p+1)/n_r) + σ^2 p/n_r}, \qquad T = ν^2 + V,

always in ``(0, n_r/(n_r + p + 1)]``. For meta-training only ``V`` depends on ``α_t``, so the best
``α_t`` knows nothing of ``α_r`` or ``n_r``. In the paper's over-parameterised formula it solves
``(p/n_t) α² + (1 + 1/n_t) α − 1 = 0``: one root is the minimum and negative, the other the maximum
and positive. Everywhere else it is found numerically.

That the best ``α_t`` is negative and the best ``α_r`` positive is the paper's headline; the
formulas on this page were derived here from its model.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from .closed_form import displacement, parts
from .moments import Array
from .setting import Form, RegimeError, Setting, checked_form

# Where the search walks: far beyond any optimum seen (−2e1) and fine enough for tiny ones.
WALK = -np.logspace(-6, 6, 721)

# Where the next order in 1/m tilts the leading one by more than this share between rate 0 and the
# minimum, it was seen to misplace the minimum.
LARGEST_CORRECTION = 0.3


def optimal_rates(
    *,
    n_train: int,
    n_val: int,
    n_test: int,
    tasks: int,
    dim: int,
    noise: float,
    spread: float,
    init_distance: float = 0.0,
    form: Form = "leading",
) -> tuple[float, float]:
    """The rates ``(alpha_train, alpha_test)`` with the smallest expected test loss.

    Arguments are those of ``expected_test_loss``. The two are chosen apart: ``alpha_train``
    is best for every fixed ``alpha_test``. A rate *tied* in training and test is another
    question with another, usually positive, answer; see ``limits.py``.

    Raises:
        RegimeError: A value out of range, ``n_val·tasks`` within 1 of ``dim``, a loss that does not
            depend on a rate, or an expansion without a minimum.

    >>> train, test = optimal_rates(n_train=30, n_val=2, n_test=20, tasks=3, dim=60, noise=1.0,
    ...                             spread=0.5)
    >>> train < 0 < test
    True
    """
    setting = Setting(n_train, n_val, n_test, tasks, dim, noise, spread, init_distance)
    train = best_train_rate(setting, form=checked_form(form))
    moved = displacement(setting, np.array(train), form=form)
    return train, float(best_test_rate(setting, moved))


def best_test_rate(setting: Setting, moved: Array) -> Array:
    """``α_r*`` when the learnt start lies ``V = moved`` from the centre; exact given ``V``.

    Raises:
        RegimeError: Noise, spread and displacement are all zero: nothing is left to learn.
    """
    p, n = setting.dim, setting.n_test
    signal = setting.spread**2 + moved
    scale = signal * (1.0 + (p + 1) / n) + setting.noise**2 * (p / n)
    if np.any(scale == 0.0):
        raise RegimeError(
            "noise, spread and displacement are all 0: every alpha_test gives loss 0; "
            "give noise or spread a positive value",
            code="flat",
        )
    return signal / scale


def best_train_rate(setting: Setting, *, form: Form) -> float:
    """``α_t*``: in closed form where there is one, else the first minimum left of zero.

    The loss falls to the left of zero (its slope there is known exactly, F5), and near zero
    the expansions are at their best; so the search walks downhill from zero and stops at
    the first minimum. It is 0 where there is no label noise and ``n_val·tasks > dim``.

    Raises:
        RegimeError: The loss does not depend on ``α_t`` (no noise, ``n_val·tasks < dim``), or the
            refined expansion has no minimum on its way down.
    """
    if setting.regime == "over" and setting.noise == 0.0:
        raise RegimeError(
            "noise = 0 with n_val·tasks < dim: the loss is the same at every alpha_train, so none "
            "is best; give a positive noise (how large does not matter)",
            code="flat",
        )
    if setting.regime == "over" and form == "leading":
        return stationary_rates(setting)[0]
    return _first_minimum(setting, form)


def stationary_rates(setting: Setting) -> tuple[float, float]:
    """Best (negative) and worst (positive) ``α_t`` of the paper's formula where ``N < p`` (F4)."""
    n, p = setting.n_train, setting.dim
    root = math.sqrt((n + 1) ** 2 + 4 * n * p)
    # The second form of the positive root loses no digits where n is much larger than p.
    return -((n + 1) + root) / (2 * p), 2 * n / ((n + 1) + root)


def slope_at_zero(setting: Setting) -> float:
    """``dV/dα_t`` at ``α_t = 0``, exact in both regimes (F5); positive wherever there is noise.

    To first order a step multiplies by ``I − αS``, and in a mean of first order ``S`` may be
    replaced by its mean ``I``.
    """
    fewer = min(setting.rows, setting.dim)
    return 2.0 * setting.noise**2 * fewer / (abs(setting.dim - setting.rows) - 1)


def displacement_at_zero(setting: Setting) -> float:
    """``V`` at ``α_t = 0``, exact in both regimes (F2 with F3, or F7)."""
    p, rows, n = setting.dim, setting.rows, setting.n_val
    if setting.regime == "over":
        kept = (1.0 - rows / p) * setting.init_distance**2
        spread = rows / p * (p - n - 1) / (p - rows - 1)
        return kept + setting.spread**2 * spread + setting.noise**2 * rows / (p - rows - 1)
    w2, w11 = rows * p * (rows + p + 1), rows * p * (rows * p + 2)
    v2, v11 = n * p * (n + p + 1), n * p * (n * p + 2)
    a, b = np.linalg.solve(np.array([[w2, w2 + w11], [w11, 2 * w2]], float), np.array([v2, v11]))
    free = rows - p - 1
    spread = setting.tasks * (a + b + b * (rows * p - 2) / free)
    return float(setting.spread**2 * spread + setting.noise**2 * p / free)


def _first_minimum(setting: Setting, form: Form) -> float:
    def moved(alpha: Array) -> Array:
        return parts(setting, alpha, form=form).displacement(setting)

    values = np.concatenate([moved(np.zeros(1)), moved(WALK)])
    uphill = np.flatnonzero(np.diff(values) >= 0.0)
    if len(uphill) == 0:
        raise _broken(setting, "no minimum left of zero")
    place = int(uphill[0])
    if place == 0:
        return 0.0
    near, far = (WALK[place - 2] if place > 1 else 0.0), WALK[place]
    found = minimize_scalar(
        lambda rate: float(moved(np.array(rate))),
        bounds=(far, near),
        method="bounded",
        options={"xatol": 1e-10},
    )
    best = np.array(found.x)
    if setting.regime == "under" and form == "refined":
        at = np.array([best, 0.0])
        there, at_zero = moved(at) / displacement(setting, at, form="leading")
        if abs(there / at_zero - 1.0) > LARGEST_CORRECTION:
            raise _broken(setting, f"a correction of {there / at_zero - 1.0:+.0%} at its minimum")
    return float(best)


def _broken(setting: Setting, symptom: str) -> RegimeError:
    return RegimeError(
        f"the refined form has {symptom}, with tasks = {setting.tasks}, n_val = {setting.n_val} and "
        f"dim = {setting.dim}: its expansion has broken down; use form='leading' or simulate",
        code="expansion",
    )
