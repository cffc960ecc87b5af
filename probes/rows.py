"""What a neighbour search compares: checked rows, their float64 distances, their ids.

FAISS only proposes; the distances that count are computed here, pair by pair, in
float64 and by numpy's pairwise summation, so that a pair has the same distance bit
for bit in whatever batch, block or order it is met. Equal distances are ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.errors import ProbeError

Metric = Literal["cosine", "euclidean"]
Zeros = Literal["error", "orthogonal"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LARGEST = 1e150  # squares of components beyond this overflow in float64
_PIECE = 1 << 16  # float64 numbers worked on at once, so that they stay in the cache
_COPIED = 1 << 25  # rows of at most this many numbers are kept in float64 too (256 MiB)


@dataclass(frozen=True)
class Rows:
    """Rows as they came, flattened to ``(N, D)``; `exact` gives the vectors that count.

    Args:
        raw: ``(N, D)`` float32 or float64.
        norms: ``(N,)`` under cosine, None under Euclidean.
        peak: No component of an exact row is larger in size.
        zero: ``(N,)`` the rows of zeros whose cosine is to be 0 with every row, if any.
        copy: All exact rows, where they are few enough to keep.
    """

    raw: NDArray[Any]
    norms: Floats | None
    peak: float
    zero: NDArray[np.bool_] | None = None
    copy: Floats | None = None

    def __len__(self) -> int:
        return len(self.raw)

    def exact(self, which: slice | Integers) -> Floats:
        """Float64 copies of these rows, of length 1 under cosine."""
        if self.copy is not None:
            return self.copy[which].copy() if isinstance(which, slice) else self.copy[which]
        rows = self.raw[which].astype(np.float64)
        if self.norms is not None:
            rows /= self.norms[which, None]
        return rows


def checked_rows(
    values: ArrayLike, what: str, metric: str, dims: int = 2, zeros: str = "error"
) -> Rows:
    """Rows that a search may use.

    Args:
        values: ``(N, D)``, or ``(E, N, D)`` with ``dims=3``.
        what: Their name in an error.
        zeros: A row of zeros points nowhere. Under cosine it is an ``"error"``, or
            ``"orthogonal"``: of cosine 0, distance 1, with every row.

    Raises:
        ProbeError: ``metric``, ``zeros``, ``shape``, ``not-finite`` (or beyond 1e150) or
            ``zero-norm``, with the number of such rows and the first of them.
    """
    if zeros not in ("error", "orthogonal"):
        raise ProbeError(f"zeros {zeros!r}; choose 'error' or 'orthogonal'", code="zeros")
    if metric not in ("cosine", "euclidean"):
        raise ProbeError(f"metric {metric!r}; choose 'cosine' or 'euclidean'", code="metric")
    raw = np.asarray(values)
    if raw.ndim != dims or raw.shape[-1] == 0 or raw.dtype.kind not in "fiub":
        wanted = "(N, D)" if dims == 2 else "(E, N, D)"
        raise ProbeError(
            f"{what}: {raw.dtype} of shape {raw.shape}; numbers of shape {wanted} are needed",
            code="shape",
        )
    lead = raw.shape[:-1]
    raw = raw.reshape(math.prod(lead), raw.shape[-1])
    if raw.dtype not in (np.float32, np.float64):
        raw = raw.astype(np.float32 if raw.dtype == np.float16 else np.float64)
    peak = float(max(raw.max(initial=0), -raw.min(initial=0)))
    if not peak <= LARGEST:
        bad = np.flatnonzero(~(np.abs(raw) <= LARGEST).all(axis=1))
        raise ProbeError(
            f"{_blame(what, bad, lead)} not finite (or beyond {LARGEST:g}); "
            "check the encoder's weights and input",
            code="not-finite",
        )
    if metric == "euclidean":
        return _with_copy(Rows(raw, None, peak))
    norms = np.empty(len(raw))
    for part in pieces(len(raw), raw.shape[1]):
        norms[part] = np.sqrt(squares(raw[part].astype(np.float64)))
    zero = norms == 0
    if zero.any() and zeros == "error":
        raise ProbeError(
            f"{_blame(what, np.flatnonzero(zero), lead)} zero and point nowhere, so their "
            "cosine is undefined; leave them out and count them, or set zeros='orthogonal'",
            code="zero-norm",
        )
    norms[zero] = 1
    return _with_copy(Rows(raw, norms, 1.0, zero if zero.any() else None))


def _with_copy(rows: Rows) -> Rows:
    if rows.raw.size > _COPIED:
        return rows
    copy = np.empty(rows.raw.shape)
    for part in pieces(len(copy), rows.raw.shape[1]):
        copy[part] = rows.exact(part)
    return replace(rows, copy=copy)


def _blame(what: str, bad: Integers, lead: tuple[int, ...]) -> str:
    first = ", ".join(str(int(i)) for i in np.unravel_index(bad[0], lead))
    place = "row" if len(lead) == 1 else "(episode, row)"
    return f"{what}: {len(bad)} of {math.prod(lead)} rows (the first is {place} {first}) are"


def zero_rows(features: ArrayLike) -> NDArray[np.bool_]:
    """``(...,)`` True where a row of ``(..., D)`` is zero, so that its cosine is undefined."""
    return np.asarray(~np.any(np.asarray(features), axis=-1))


def pair_distances(queries: Rows, which: Integers, gallery: Rows, near: Integers) -> Floats:
    """``(P,)`` distances of query rows ``which`` to gallery rows ``near``, pair by pair.

    Euclidean, or ``1 - cos`` computed as half the squared distance of unit vectors,
    which keeps its precision between near rows.
    """
    out = np.empty(len(which))
    for part in pieces(len(which), queries.raw.shape[1]):
        gap = queries.exact(which[part])
        gap -= gallery.exact(near[part])
        out[part] = np.square(gap, out=gap).sum(axis=1)
    for rows, chosen in ((queries, which), (gallery, near)):
        if rows.zero is not None:
            out[rows.zero[chosen]] = 2.0
    return np.sqrt(out) if queries.norms is None else np.minimum(out / 2, 2.0)


def squares(rows: Floats) -> Floats:
    """``(P,)`` sums of squares of ``(P, D)``."""
    return np.asarray(np.square(rows).sum(axis=1))


def pieces(rows: int, width: int) -> Iterator[slice]:
    """Cut ``rows`` rows of ``width`` numbers into parts that fit the processor's cache."""
    step = max(1, _PIECE // max(width, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def id_codes(gallery_ids: ArrayLike, query_ids: ArrayLike) -> tuple[Integers, Integers]:
    """Ids as integers in sorted order: ``(N,)`` and ``(M,)``, -1 where the gallery lacks one.

    Raises:
        ProbeError: ``ids``, if they are not strings or integers of one kind, ``(N,)``.
    """
    known, asked = (_plain_ids(ids) for ids in (gallery_ids, query_ids))
    if len(asked) and (known.dtype.kind == "U") != (asked.dtype.kind == "U"):
        raise ProbeError(
            f"gallery ids are {known.dtype} and query ids {asked.dtype}; "
            "give both as strings or both as integers",
            code="ids",
        )
    names, codes = np.unique(known, return_inverse=True)
    if not len(names) or not len(asked):
        return codes.astype(np.int64), np.full(len(asked), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(names, asked), len(names) - 1)
    return codes.astype(np.int64), np.where(names[place] == asked, place, -1)


def _plain_ids(ids: ArrayLike) -> NDArray[Any]:
    array = np.asarray(ids)
    if array.dtype.kind == "O" and all(isinstance(name, str) for name in array.ravel()):
        array = array.astype(np.str_)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iuU"):
        raise ProbeError(
            f"ids: {array.dtype} of shape {array.shape}; strings or integers (N,) are needed",
            code="ids",
        )
    return array


def rows_available(gallery_ids: ArrayLike, query_ids: ArrayLike) -> Integers:
    """``(M,)`` gallery rows that are not the query itself: each query's largest ``k``."""
    codes, own = id_codes(gallery_ids, query_ids)
    counts = np.append(np.bincount(codes), 0)
    return np.asarray(len(codes) - counts[own], dtype=np.int64)
