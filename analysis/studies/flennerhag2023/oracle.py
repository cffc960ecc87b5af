"""What the optimisers ask of a function: its value and its gradient at a point.

A problem may arrive as an object with a ``gradient`` method, as a function with
its gradient beside it, as a function written on torch tensors, or as a bare
numpy function. The first three are exact; the last is differentiated by central
differences (about nine digits), which is enough for rates and not for identities.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ....data.errors import MetaprobeError

Vector = NDArray[np.float64]


class OptimiserError(MetaprobeError):
    """An optimiser was asked for something undefined."""


class Oracle(NamedTuple):
    """A function and its gradient on float64 vectors (n,)."""

    value: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]


def vector(x: Any) -> Vector:
    """Anything array-like, a tensor or a number as a fresh float64 vector (n,)."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    array = np.atleast_1d(np.array(x, dtype=np.float64))
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise OptimiserError(
            f"a point of shape {array.shape} came; a point is a vector (n,) of finite numbers",
            code="point",
        )
    return array


def oracle_of(f: Any, gradient: Callable[[Vector], Any] | None, at: Vector) -> Oracle:
    """The value and gradient of ``f``, however it was given.

    Args:
        f: Callable, vector (n,) to number; its own ``gradient`` method is used if it has one.
        gradient: Callable, vector (n,) to vector (n,); None finds one (see above).
        at: A point (n,) at which to try.

    Raises:
        OptimiserError: ``f`` cannot be called on a vector, or does not answer with one number.
    """

    def value(x: Vector) -> float:
        return float(f(x))

    given = gradient if gradient is not None else getattr(f, "gradient", None)
    if given is not None:
        exact: Callable[[Vector], Any] = given
        oracle = Oracle(value, lambda x: np.asarray(exact(x), dtype=np.float64))
    elif _speaks_torch(f, at):
        oracle = Oracle(lambda x: float(f(torch.from_numpy(x))), _autograd(f))
    else:
        oracle = Oracle(value, _central_differences(value))
    try:
        oracle.value(at)
        shape = oracle.gradient(at).shape
    except (TypeError, ValueError, AttributeError) as error:
        raise OptimiserError(
            f"f cannot be used on a vector of {at.size} numbers ({error}); give a function from "
            "numpy or torch vectors (n,) to one number, with gradient= if it has one",
            code="function",
        ) from error
    if shape != at.shape:
        raise OptimiserError(
            f"the gradient has shape {shape} at a point of shape {at.shape}; they must agree",
            code="gradient",
        )
    return oracle


def _speaks_torch(f: Callable[[torch.Tensor], Any], at: Vector) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer = f(torch.from_numpy(at).clone().requires_grad_())
    except Exception:  # numpy functions fail on tensors in as many ways as there are functions
        return False
    return isinstance(answer, torch.Tensor) and answer.requires_grad and answer.numel() == 1


def _autograd(f: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Vector], Vector]:
    def gradient(x: Vector) -> Vector:
        point = torch.from_numpy(x).clone().requires_grad_()
        (answer,) = torch.autograd.grad(f(point).sum(), [point])
        return np.asarray(answer.numpy(), dtype=np.float64)

    return gradient


def _central_differences(value: Callable[[Vector], float]) -> Callable[[Vector], Vector]:
    root = float(np.finfo(np.float64).eps ** (1 / 3))  # balances truncation and rounding

    def gradient(x: Vector) -> Vector:
        answer = np.empty_like(x)
        for i, step in enumerate(root * np.maximum(1.0, np.abs(x))):
            ahead, behind = x.copy(), x.copy()
            ahead[i] += step
            behind[i] -= step
            answer[i] = (value(ahead) - value(behind)) / (ahead[i] - behind[i])
        return answer

    return gradient
