"""Labels of rows: whole numbers or strings, one for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.errors import ProbeError


def checked_labels(labels: ArrayLike, rows: int, what: str = "labels") -> NDArray[Any]:
    """``(N,)`` whole numbers or strings.

    Args:
        labels: One for each row; floats that are whole numbers count as such.
        rows: `N`.
        what: Their name in an error.

    Raises:
        ProbeError: ``labels`` (another shape, or neither whole numbers nor strings).

    >>> checked_labels([2.0, 0.0], 2).tolist()
    [2, 0]
    """
    known = np.asarray(labels)
    if known.shape != (rows,):
        raise ProbeError(
            f"{what} of shape {known.shape} for {rows} rows; each row needs one", code="labels"
        )
    if known.dtype.kind == "f" and np.isfinite(known).all() and (known == np.rint(known)).all():
        known = known.astype(np.int64)
    if known.dtype.kind == "O" and all(isinstance(name, str) for name in known):
        known = known.astype(np.str_)
    if known.dtype.kind not in "biuU":
        raise ProbeError(
            f"{what} of type {known.dtype}; whole numbers or strings are needed, and none missing",
            code="labels",
        )
    return known
