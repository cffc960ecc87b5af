r"""CKA in feature space, from rows that come in blocks: ``O(D²)`` memory, one pass.

HSIC needs ``XᵀY`` and, of each row, only its squared length from the mean, which is not known
until the last row has come. So the sums that it takes are kept about an origin (the mean of
the first block, which keeps them small) and moved to the mean at the end.

``precision="single"`` multiplies blocks in float32 and adds them up in float64: twice as
quick, and within 1e-5 of ``"double"`` on float32 features of more rows than columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...data.errors import ProbeError
from ...probes.rows import Floats

Precision = Literal["double", "single"]

BLOCK = 4096  # rows worked on at once


def hsic(x: Floats, y: Floats) -> float:
    """``N (N - 3)`` times the unbiased HSIC of *centred* rows ``(N, D)`` and ``(N, E)``."""
    n = len(x)
    a, b = (x * x).sum(axis=1), (y * y).sum(axis=1)
    if n < min(x.shape[1], y.shape[1]):
        shared = float(np.vdot(x @ x.T, y @ y.T))
    else:
        shared = float(np.square(x.T @ y).sum())
    return shared - n / (n - 2) * float(a @ b) + float(a.sum() * b.sum()) / ((n - 1) * (n - 2))


@dataclass
class _Side:
    """Sums over the rows of one layer, about its origin."""

    room: NDArray[Any]  # (BLOCK, D), used again for every block: fresh memory costs more than sums
    origin: Floats  # (D,)
    sums: Floats  # (D,)
    squares: float = 0.0
    unit: float = 1.0  # CKA knows no scale, but fourth powers of very large features overflow

    @staticmethod
    def of(width: int, precision: Precision) -> _Side:
        dtype = np.float64 if precision == "double" else np.float32
        return _Side(np.empty((BLOCK, width), dtype), np.zeros(width), np.zeros(width))

    def start(self, block: NDArray[Any]) -> None:
        """Put the origin near the mean, and exactly on rows that are all the same."""
        first = block[0].astype(self.room.dtype)
        self.origin = first + (block - first).mean(axis=0, dtype=self.room.dtype)
        peak = float(np.abs(block - first).max())
        if peak and not 1e-6 < peak < 1e6:
            self.unit = peak

    def add(self, block: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
        """Rows about the origin, and their squared lengths."""
        rows = self.room[: len(block)]
        np.subtract(block, self.origin, out=rows, casting="same_kind")
        if self.unit != 1:
            rows /= self.unit
        lengths = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        self.sums += rows.sum(axis=0, dtype=np.float64)
        self.squares += float(lengths.sum())
        return rows, lengths


@dataclass
class _Cross:
    """Sums over the rows of two layers."""

    product: Floats  # (D, E)
    x_weighted: Floats  # (D,): rows of x, each times the squared length of y's
    y_weighted: Floats  # (E,)
    both: float = 0.0  # squared lengths of x times those of y

    @staticmethod
    def of(d: int, e: int) -> _Cross:
        return _Cross(np.zeros((d, e)), np.zeros(d), np.zeros(e))

    def add(self, x: NDArray[Any], y: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> None:
        self.product += x.T @ y  # of one array with itself numpy makes half the products
        weighted = b.astype(x.dtype) @ x
        self.x_weighted += weighted
        self.y_weighted += weighted if x is y else a.astype(y.dtype) @ y
        self.both += float(np.vdot(a, b))

    def hsic(self, x: _Side, y: _Side, n: int) -> float:
        """``N (N - 3)`` times the unbiased HSIC, about the means."""
        m, p = x.sums / n, y.sums / n
        mm, pp = float(m @ m), float(p @ p)
        shared = float(np.square(self.product - n * np.outer(m, p)).sum())
        both = (
            self.both
            - 2 * float(p @ self.y_weighted + m @ self.x_weighted)
            + pp * x.squares
            + mm * y.squares
            + 4 * float(m @ self.product @ p)
            - 3 * n * mm * pp
        )
        totals = (x.squares - n * mm) * (y.squares - n * pp)
        return shared - n / (n - 2) * both + totals / ((n - 1) * (n - 2))


@dataclass
class Products:
    """What CKA between lists of layers needs to know of the rows seen so far.

    Args:
        left: L layers.
        right: M layers, or None where they are the left ones.
        own: HSIC sums of each layer with itself, the left ones first.
        cross: HSIC sums by (left, right); where both are the same, above the diagonal only.
        rows: Seen so far.

    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> products = Products.of([rows], [rows @ np.diag([1.0, 2.0, 3.0])])
    >>> for block in np.split(rows, 4):
    ...     products.add([block], [block @ np.diag([1.0, 2.0, 3.0])])
    >>> products.cka().shape
    (1, 1)
    """

    left: list[_Side]
    right: list[_Side] | None
    own: list[_Cross]
    cross: dict[tuple[int, int], _Cross]
    rows: int = 0

    @staticmethod
    def of(
        left: Sequence[NDArray[Any]],
        right: Sequence[NDArray[Any]] | None,
        precision: Precision = "double",
    ) -> Products:
        """Empty sums for layers of these widths (only ``shape[1]`` is read).

        Raises:
            ProbeError: ``precision``.
        """
        if precision not in ("double", "single"):
            raise ProbeError(
                f"precision {precision!r}; choose 'double' or 'single'", code="precision"
            )
        d = [layer.shape[1] for layer in left]
        e = None if right is None else [layer.shape[1] for layer in right]
        pairs = (
            [(i, j) for i in range(len(d)) for j in range(i + 1, len(d))]
            if e is None
            else [(i, j) for i in range(len(d)) for j in range(len(e))]
        )
        others = d if e is None else e
        return Products(
            left=[_Side.of(w, precision) for w in d],
            right=None if e is None else [_Side.of(w, precision) for w in e],
            own=[_Cross.of(w, w) for w in [*d, *(e or [])]],
            cross={(i, j): _Cross.of(d[i], others[j]) for i, j in pairs},
        )

    def add(
        self, left: Sequence[NDArray[Any]], right: Sequence[NDArray[Any]] | None = None
    ) -> None:
        """Take in the next rows, ``(B, D_l)`` of every layer."""
        sides = [*self.left, *(self.right or [])]
        layers = [*left, *(right or [])]
        if not len(layers[0]):
            return
        if not self.rows:
            for side, layer in zip(sides, layers, strict=True):
                side.start(layer[:BLOCK])
        for at in range(0, len(layers[0]), BLOCK):
            found = [
                side.add(layer[at : at + BLOCK]) for side, layer in zip(sides, layers, strict=True)
            ]
            for (rows, lengths), own in zip(found, self.own, strict=True):
                own.add(rows, rows, lengths, lengths)
            after = 0 if self.right is None else len(self.left)
            for (i, j), sums in self.cross.items():
                (x, a), (y, b) = found[i], found[after + j]
                sums.add(x, y, a, b)
        self.rows += len(layers[0])

    def cka(self) -> Floats:
        """``(L, M)`` debiased linear CKA of the rows seen so far.

        Raises:
            ProbeError: ``too-few-rows``, ``constant``, ``equidistant``.
        """
        n = self.rows
        if n < 4:
            raise ProbeError(f"{n} rows; CKA is undefined below 4", code="too-few-rows")
        sides = [*self.left, *(self.right or [])]
        own = []
        for side, sums in zip(sides, self.own, strict=True):
            found, scale = sums.hsic(side, side, n), side.squares
            if scale == 0:
                raise ProbeError(
                    f"all {n} rows of a layer are the same, so CKA is undefined", code="constant"
                )
            if found <= 1e-13 * scale * scale:
                raise ProbeError(
                    "all rows of a layer are equally far apart, so CKA is undefined",
                    code="equidistant",
                )
            own.append(found)
        after = 0 if self.right is None else len(self.left)
        out = np.eye(len(self.left), len(sides) - after)
        for (i, j), sums in self.cross.items():
            value = sums.hsic(sides[i], sides[after + j], n) / np.sqrt(own[i] * own[after + j])
            out[i, j] = np.clip(value, -1.0, 1.0)
            if self.right is None:
                out[j, i] = out[i, j]
        return out
