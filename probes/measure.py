"""What a measure says of itself: which way is up, how far it goes, what it cannot see.

A measure is a plain function of arrays. Beside it stands a declaration, and the tests
hold the function to it: every change of the features that it claims not to see leaves it
alone, and every other one moves it. The documentation is made from the same words.

| change | of ``(N, D)`` rows ``Z`` |
|---|---|
| ``permutation`` | features in another order (relabelled channels) |
| ``rotation`` | ``Z Q`` with ``Q`` orthogonal |
| ``linear`` | ``Z A`` with ``A`` any invertible matrix |
| ``scale`` | ``c Z`` with ``c > 0`` |
| ``row-scale`` | each row by a positive number of its own |
| ``shift`` | ``Z + b``, the same ``b`` for every row |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.errors import ProbeError
from .rows import LARGEST, Floats

Kind = Literal["quality", "similarity", "geometry"]
Direction = Literal["higher", "lower", "neither"]
Change = Literal["permutation", "rotation", "linear", "scale", "row-scale", "shift"]

CHANGES: tuple[Change, ...] = get_args(Change)


@dataclass(frozen=True)
class Measure:
    """A declaration beside a function.

    Args:
        name: How it is asked for, such as ``"cka"``.
        title: How it is written, such as ``"Debiased linear CKA"``.
        kind: ``"quality"`` of labelled features, ``"similarity"`` of two encoders on the
            same rows, ``"geometry"`` of features alone.
        function: Arrays in, a float out. Settings it takes by keyword.
        takes: What the arrays are, in order.
        direction: ``"higher"`` or ``"lower"`` where that is better (quality) or more
            alike (similarity); ``"neither"`` where it is neither.
        low: It never goes below.
        high: Nor above.
        invariant_to: Changes of the features it does not see. Of two sides, changes of
            either alone.
        shared: Changes it does not see when both sides undergo the same one; beyond
            those of `invariant_to`. Of two sides only.
        symmetric: Whether two sides may change places.
        cost: ``O(·)`` in rows `N`, features `D`, classes `C`.
        source: Who proposed it.
        misleads: When not to believe it.
        reordered: ``(x, y, orders) -> values`` for ``y[order]``, where there is a quicker
            way than calling `function` for each of the ``(R, N)`` orders of the rows.
    """

    name: str
    title: str
    kind: Kind
    function: Callable[..., float]
    takes: tuple[str, ...]
    direction: Direction
    low: float
    high: float
    invariant_to: frozenset[Change]
    cost: str
    source: str
    misleads: str
    shared: frozenset[Change] = field(default_factory=frozenset)
    symmetric: bool = True
    reordered: Callable[..., Floats] | None = None

    def __call__(self, *arrays: ArrayLike, **settings: Any) -> float:
        """The function itself."""
        return self.function(*arrays, **settings)


def matrix(values: ArrayLike, what: str = "features", least: int = 1) -> NDArray[Any]:
    """``(N, D)`` finite float32 or float64 rows, as they came where they are of these.

    Args:
        values: Numbers.
        what: Their name in an error.
        least: Rows below which a measure is undefined.

    Raises:
        ProbeError: ``shape``, ``too-few-rows``, ``not-finite`` (or beyond 1e150).
    """
    raw = np.asarray(values)
    if raw.ndim != 2 or raw.shape[1] == 0 or raw.dtype.kind not in "fiub":
        raise ProbeError(
            f"{what}: {raw.dtype} of shape {raw.shape}; numbers of shape (N, D) are needed",
            code="shape",
        )
    if len(raw) < least:
        raise ProbeError(
            f"{what}: {len(raw)} rows; the measure is undefined below {least}", code="too-few-rows"
        )
    if raw.dtype not in (np.float32, np.float64):
        raw = raw.astype(np.float64)
    if not max(float(raw.max(initial=0)), -float(raw.min(initial=0))) <= LARGEST:
        bad = int(np.flatnonzero(~(np.abs(raw) <= LARGEST).all(axis=1))[0])
        raise ProbeError(
            f"{what}: row {bad} is not finite (or beyond {LARGEST:g}); "
            "check the encoder's weights and input",
            code="not-finite",
        )
    return raw


def centred(rows: NDArray[Any], what: str = "features") -> Floats:
    """Float64 rows with each feature's mean taken off, brought to Frobenius norm 1.

    Raises:
        ProbeError: ``constant``, where all rows are the same: nothing varies.
    """
    if not len(rows) or not np.ptp(rows, axis=0).any():
        raise ProbeError(
            f"{what}: all {len(rows)} rows are the same, so nothing varies and the measure is "
            "undefined; leave this layer out",
            code="constant",
        )
    moved = rows - rows.mean(axis=0, dtype=np.float64)
    moved /= np.abs(moved).max()
    moved /= np.linalg.norm(moved)
    return np.asarray(moved, dtype=np.float64)
