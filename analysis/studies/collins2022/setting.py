"""The landscape of tasks: two types of linear regression, and where their optima lie.

A task of either type draws inputs ``x ~ N(0, ρ I)`` in ``R^d`` and answers ``y = w·x + z``,
``z ~ N(0, σ²)``. Its optimum ``w`` scatters around the centre of its type:

    easy, probability ``1 − p_H``   input variance ``ρ_E``, centre ``c_E``, ``E‖w − c_E‖² = r_E²``
    hard, probability ``p_H``       input variance ``ρ_H``, centre ``c_H``, ``E‖w − c_H‖² = r_H²``

``R = ‖c_E − c_H‖``. A learner adapts to a task from a common start by one gradient step of size
``α`` on ``n`` samples. A step multiplies the distance from the optimum by about ``1 − αρ``, so

    **hardness is ``|1 − αρ|``**: near 0 the step solves the task, near 1 it hardly moves.

A smaller ``ρ`` is the harder type only while ``α(ρ_E + ρ_H) < 2``; beyond, the step overshoots and
the larger ``ρ`` contracts more slowly.

From the paper (abstract of v4 and v5): the mixture of easy and hard linear regressions, hardness
as the rate of gradient descent. The exact parametrisation here was chosen for this study, since
the body of the paper could not be obtained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

from ....data.errors import MetaprobeError


class LandscapeError(MetaprobeError):
    """A landscape, or a question about one, for which no answer is defined."""

    def __init__(self, message: str, *, code: str = "landscape") -> None:
        super().__init__(message, code=code)


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """A mixture of easy and hard tasks, and how one adapts to them.

    Args:
        dim: Number of weights ``d``.
        alpha: Inner step size ``α``, any sign.
        rho_easy: Input variance of easy tasks, positive.
        rho_hard: Input variance of hard tasks, positive.
        p_hard: Share of hard tasks, in [0, 1].
        distance: ``R``, between the centres of the two types.
        r_easy: Root mean squared distance of easy optima from their centre (total, not per weight).
        r_hard: The same for hard optima.
        noise: ``σ``, standard deviation of the label noise.
        n_train: Samples of the inner step while MAML trains; ``math.inf`` for the exact gradient.
        n_test: Samples of the step at test time; ``math.inf`` for the exact gradient.
        steps: Inner steps ``K``. More than one has a closed form with exact gradients only.

    Raises:
        LandscapeError: A value outside its range, or several steps with finite samples.
    """

    dim: int
    alpha: float
    rho_easy: float
    rho_hard: float
    p_hard: float
    distance: float = 0.0
    r_easy: float = 0.0
    r_hard: float = 0.0
    noise: float = 0.0
    n_train: float = math.inf
    n_test: float = math.inf
    steps: int = 1

    def __post_init__(self) -> None:
        for name in ("rho_easy", "rho_hard"):
            value = getattr(self, name)
            _check(0 < value < math.inf, f"{name}={value}; an input variance is positive")
        for name in ("distance", "r_easy", "r_hard", "noise"):
            value = getattr(self, name)
            _check(0 <= value < math.inf, f"{name}={value}; give a length of at least 0")
        for name in ("n_train", "n_test"):
            value = getattr(self, name)
            _check(value >= 1, f"{name}={value}; give at least one sample, or math.inf")
        for name in ("dim", "steps"):
            value = getattr(self, name)
            _check(isinstance(value, Integral), f"{name}={value}; give a whole number")
        _check(self.dim >= 1, f"dim={self.dim}; a task has at least one weight")
        _check(math.isfinite(self.alpha), f"alpha={self.alpha}; give a finite step size")
        _check(0 <= self.p_hard <= 1, f"p_hard={self.p_hard}; a share lies in [0, 1]")
        _check(self.steps >= 1, f"steps={self.steps}; give at least one inner step")
        _check(
            self.steps == 1 or math.isinf(min(self.n_train, self.n_test)),
            f"steps={self.steps} with n_train={self.n_train}, n_test={self.n_test}: several steps "
            "have a closed form for math.inf samples only; use one step",
        )

    @property
    def shares(self) -> tuple[float, float]:
        """``(p_E, p_H)``."""
        return 1 - self.p_hard, self.p_hard

    @property
    def variances(self) -> tuple[float, float]:
        """``(ρ_E, ρ_H)``."""
        return self.rho_easy, self.rho_hard

    @property
    def hardness(self) -> tuple[float, float]:
        """``(|1 − αρ_E|, |1 − αρ_H|)``: how much of a distance one exact step leaves."""
        return abs(1 - self.alpha * self.rho_easy), abs(1 - self.alpha * self.rho_hard)


def _check(allowed: bool, sentence: str) -> None:
    if not allowed:
        raise LandscapeError(sentence)
