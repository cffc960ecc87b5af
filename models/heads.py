"""Heads for the inner loop to start from.

``stored``
    The checkpoint's own, where its width is the episode's way.
``class-means``
    The linear head that scores by distance to the support's class means
    (Snell et al. 2017, eq. 8; Triantafillou et al. 2020): ``w = 2 m``, ``b = -|m|^2``.
``zeros``
    No opinion. The body then has no gradient at the first step.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from ..data.errors import CheckpointError
from .forward import Params

HeadStart = Literal["stored", "class-means", "zeros"]


def starting_head(start: HeadStart, stored: Params, support: Tensor, way: int, shot: int) -> Params:
    """The head of each episode at meta-init, stacked.

    Args:
        start: Which head.
        stored: ``head.weight`` ``(W, D)`` and ``head.bias`` ``(W,)``, or empty.
        support: ``(E, W * K, D)`` class-major features of the support.
        way: Classes `W`.
        shot: Images a class `K`.

    Returns:
        ``head.weight`` ``(E, W, D)`` and ``head.bias`` ``(E, W)``.

    Raises:
        CheckpointError: If the stored head does not have `W` outputs.
    """
    if start not in get_args(HeadStart):
        raise CheckpointError(
            f"head {start!r} is unknown; choose {', '.join(get_args(HeadStart))}",
            code="unknown-head",
        )
    episodes, _, width = support.shape
    if start == "stored":
        outputs = _outputs(stored)
        if outputs != way:
            raise CheckpointError(
                f"the stored head has {outputs} outputs and the episodes have {way} classes; "
                f"choose --way {outputs}, or --head zeros",
                code="head-way",
            )
        return {n: p.expand(episodes, *p.shape) for n, p in stored.items()}
    if start == "class-means":
        means = class_means(support, way, shot)
        return {"head.weight": 2 * means, "head.bias": -(means**2).sum(dim=-1)}
    return {
        "head.weight": support.new_zeros(episodes, way, width),
        "head.bias": support.new_zeros(episodes, way),
    }


def default_head(stored: Params, way: int, *, moves: bool = True) -> HeadStart:
    """The stored head where it fits the way; else zeros, or class means for a head that stays.

    Class means can fit a one-shot support so surely that no gradient is left; under a head of
    zeros that never moves the body has none either.

    Args:
        stored: As for `starting_head`.
        way: Classes `W`.
        moves: Whether the inner loop moves the head.

    >>> default_head({}, 5)
    'zeros'
    """
    if _outputs(stored) == way:
        return "stored"
    return "zeros" if moves else "class-means"


def class_means(support: Tensor, way: int, shot: int) -> Tensor:
    """Mean feature of each class: class-major rows `(E, W * K, D)` to `(E, W, D)`."""
    return support.reshape(len(support), way, shot, -1).mean(dim=2)


def _outputs(stored: Params) -> int:
    """Width of a stored head; 0 where there is none."""
    return len(stored["head.weight"]) if stored else 0
