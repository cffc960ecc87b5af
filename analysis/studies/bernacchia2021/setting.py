"""The symbols of the paper, checked once: what may be asked, and which formula answers.

A task is a noisy linear regression. Its weights scatter around a common centre ``w0``:

    ``w ~ N(w0, (ν²/p) I)``,  inputs ``x ~ N(0, I)`` in ``R^p``,  ``y = x·w + z``, ``z ~ N(0, σ²)``.

Meta-training sees ``m`` tasks. In each, ``n_t`` rows make one gradient step of size ``α_t``
from the common start ``ω``, and ``n_v`` other rows judge the result; ``ω`` is chosen to make
the judged error smallest. At test time a new task gives ``n_r`` rows and one step of size
``α_r``. Two sizes decide which formula applies: ``N = n_v m`` judged rows against ``p`` weights.

    ``N < p``  over-parameterised: the judged rows can be fitted exactly, the start ``ω0`` matters
    ``N > p``  under-parameterised: least squares, the start is forgotten
    ``N ≈ p``  the interpolation threshold: the expected loss is infinite, nothing is returned

Source: Bernacchia (2021), "Meta-learning with negative learning rates", the model of its
linear section. The scaling of ``ν`` and the factor ½ of the loss are fixed here by the axes of
its figure 2.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Literal

from ....data.errors import MetaprobeError

Form = Literal["leading", "refined"]
Regime = Literal["over", "under"]

FORMS: tuple[Form, ...] = ("leading", "refined")


class RegimeError(MetaprobeError):
    """A setting for which the closed forms say nothing."""


@dataclass(frozen=True)
class Setting:
    """Everything but the two learning rates.

    Args:
        n_train: Rows of a meta-training task that make the inner step (``n_t``).
        n_val: Rows of a meta-training task that judge it (``n_v``).
        n_test: Rows a new task offers at test time (``n_r``).
        tasks: Meta-training tasks (``m``).
        dim: Weights of the model (``p``).
        noise: Standard deviation of the label noise (``σ``).
        spread: Root mean square distance of a task's weights from their centre (``ν``).
        init_distance: ``‖ω0 − w0‖``, distance of the start from that centre. It matters only
            where ``n_val·tasks < dim``.

    Raises:
        RegimeError: A count below 1, a negative or non-finite scale, or ``n_val·tasks``
            within 1 of ``dim``, where the expected loss does not exist.
    """

    n_train: int
    n_val: int
    n_test: int
    tasks: int
    dim: int
    noise: float
    spread: float
    init_distance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("n_train", "n_val", "n_test", "tasks", "dim"):
            object.__setattr__(self, name, checked_count(name, getattr(self, name)))
        for name in ("noise", "spread", "init_distance"):
            object.__setattr__(self, name, _scale(name, getattr(self, name)))
        if abs(self.rows - self.dim) < 2:
            raise RegimeError(
                f"n_val·tasks = {self.rows} is within 1 of dim = {self.dim}: at this interpolation "
                "threshold the expected loss is infinite; make them differ by at least 2",
                code="interpolation-threshold",
            )

    @property
    def rows(self) -> int:
        """Judged rows in all, ``N = n_v m``."""
        return self.n_val * self.tasks

    def margin(self, alpha_train: float) -> int:
        """How far meta-training is from losing a direction: 2 for a mean, 4 for a variance.

        Rows lose a direction where they number about ``p``. A positive rate adds a second way: it
        can cancel one, ``(I − αS)u = 0``, so of a task's rows only ``p`` count.
        """
        rows = self.tasks * min(self.n_val, self.dim) if alpha_train > 0 else self.rows
        return abs(rows - self.dim)

    @property
    def regime(self) -> Regime:
        """``"over"`` where ``N < p``, ``"under"`` where ``N > p``."""
        return "over" if self.rows < self.dim else "under"


def checked_existence(setting: Setting, alpha_train: float) -> None:
    """Nothing, where the expected loss exists.

    Raises:
        RegimeError: One task (or two, of one weight), noisy labels and a positive rate.
    """
    if setting.noise > 0 and setting.margin(alpha_train) < 2:
        raise RegimeError(
            f"with tasks = {setting.tasks} and dim = {setting.dim} a positive alpha_train can "
            "cancel a direction and the expected loss is infinite; give more tasks, or alpha_train "
            "<= 0",
            code="cancelled-direction",
        )


def finite_rate(name: str, value: float) -> float:
    """The learning rate as a float, of either sign.

    Raises:
        RegimeError: It is not a finite number.
    """
    number = float(value)
    if not math.isfinite(number):
        raise RegimeError(
            f"{name} = {value} is not a finite number; give a learning rate", code="rate"
        )
    return number


def checked_form(form: str) -> Form:
    """The form's name, checked.

    Raises:
        RegimeError: It is neither ``"leading"`` nor ``"refined"``.
    """
    for known in FORMS:
        if form == known:
            return known
    raise RegimeError(
        f"form = {form!r} is unknown; choose 'leading' (the paper's) or 'refined'", code="form"
    )


def checked_count(name: str, value: int) -> int:
    """The count, checked to be a whole number of at least 1.

    Raises:
        RegimeError: It is not.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise RegimeError(f"{name} = {value!r} must be a whole number of at least 1", code="count")
    return number


def _scale(name: str, value: float) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise RegimeError(f"{name} = {value!r} must be a finite number of at least 0", code="scale")
    return number
