"""Two sides of a comparison: features of the same `N` rows, each in its own width."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from ...data.errors import ProbeError
from ...probes.measure import centred, matrix
from ...probes.rows import Floats


def sides(
    x: ArrayLike, y: ArrayLike, least: int = 2, *, same_width: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """``(N, D)`` and ``(N, E)`` finite rows.

    Args:
        x: One side.
        y: The other; row i of both is the same sample.
        least: Rows below which the measure is undefined.
        same_width: Whether feature j of both must be the same coordinate.

    Raises:
        ProbeError: ``shape``, ``too-few-rows``, ``not-finite``, ``rows``, ``dimension``.
    """
    one, two = matrix(x, "x", least), matrix(y, "y", least)
    if len(one) != len(two):
        raise ProbeError(
            f"x has {len(one)} rows and y {len(two)}; row i of both must be the same sample",
            code="rows",
        )
    if same_width and one.shape[1] != two.shape[1]:
        raise ProbeError(
            f"x has {one.shape[1]} features and y {two.shape[1]}; this measure needs the same "
            "coordinates on both sides, as before and after adaptation",
            code="dimension",
        )
    return one, two


def centred_sides(x: ArrayLike, y: ArrayLike, least: int = 2) -> tuple[Floats, Floats]:
    """As `sides`, in float64, centred and of Frobenius norm 1.

    Raises:
        ProbeError: As `sides`, or ``constant``.
    """
    one, two = sides(x, y, least)
    return centred(one, "x"), centred(two, "y")
