"""A float32 search made exact: which candidates must be measured, and when are they enough?

A float32 squared distance lies within a known bound of the true one. So among the
candidates of a float32 search, those that can belong to the ``k`` nearest are known
for certain, and so is whether a row that was not proposed could belong too. The
first are measured in float64; for the second, four times as many are fetched.

What proposes is a function ``(queries, gallery, k) -> (squared distances, rows)``,
ascending, in float32. It may round and break ties as it likes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.errors import ProbeError
from .rows import Floats, Integers, Rows, pair_distances, pieces, squares

Singles = NDArray[np.float32]
Propose = Callable[[Singles, Singles, int], tuple[Singles, Integers]]

SLACK = 16  # candidates fetched beyond k
_TABLE = 1 << 22  # entries of a (queries, candidates) table held at once
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Neighbours:
    """The nearest gallery rows of each query, nearest first.

    Args:
        indices: ``(M, k)`` int64 rows of the gallery (``(E, M, k)`` by episode).
        distances: The same shape, float64: ``1 - cos`` in [0, 2], or Euclidean.
    """

    indices: Integers
    distances: Floats


@dataclass(frozen=True)
class Names:
    """Who the rows are: codes of their ids, those of the queries, their order in a tie."""

    codes: Integers | None = None
    own: Integers | None = None
    ranks: Integers | None = None

    def of(self, part: slice) -> Names:
        codes = None if self.codes is None else self.codes[part]
        return Names(codes, self.own, None if self.ranks is None else self.ranks[part])

    def rank(self, rows: Integers) -> Integers:
        """Order of the rows in a tie; the absent row -1 comes last."""
        return np.where(rows < 0, _LAST, rows if self.ranks is None else self.ranks[rows])


@dataclass(frozen=True)
class Space:
    """Galleries of ``size`` rows with ``many`` queries each, as they are and in float32."""

    gallery: Rows
    queries: Rows
    size: int
    many: int
    scale: float
    gallery32: Singles
    queries32: Singles
    gallery_norms: Floats
    query_norms: Floats

    @property
    def rounding(self) -> float:
        """A float32 squared distance is this close to the true one, times ``(|x| + |y|)**2``.

        In any order of summation, also by ``|x|^2 + |y|^2 - 2xy`` (Higham, Accuracy and
        Stability of Numerical Algorithms, 2002, §3.1), with the cast to float32 included.
        """
        steps = float(self.gallery.raw.shape[1] + 16) * 2.0**-24
        return steps / max(1 - steps, 2.0**-30)


def space_of(gallery: Rows, queries: Rows, episodes: int = 1) -> Space:
    """Centre each gallery, which moves no distance, and cast to float32."""
    width = gallery.raw.shape[1]
    if queries.raw.shape[1] != width:
        raise ProbeError(
            f"gallery rows have {width} features, queries {queries.raw.shape[1]}; "
            "both must come from one encoder and one layer",
            code="dimension",
        )
    size, many = len(gallery) // episodes, len(queries) // episodes
    # A power of two brings the norms up to 2^60: squares neither overflow nor vanish.
    largest = 2 * max(gallery.peak, queries.peak) * math.sqrt(width)
    scale = 2.0 ** max(-500, min(500, 60 - math.frexp(largest)[1]))
    centres = np.zeros((episodes, width))
    if episodes == 1:
        for part in pieces(size, width):
            centres += gallery.exact(part).sum(axis=0)
        centres /= max(size, 1)
    else:
        for part in pieces(episodes, size * width):
            rows = gallery.exact(slice(part.start * size, part.stop * size))
            centres[part] = rows.reshape(-1, size, width).mean(axis=1)
    gallery32, gallery_norms = _float32(gallery, centres, size, scale)
    queries32, query_norms = _float32(queries, centres, many, scale)
    if gallery.zero is not None or queries.zero is not None:
        gallery32, gallery_norms = _zeros_apart(gallery, gallery32, gallery_norms, 0, scale)
        queries32, query_norms = _zeros_apart(queries, queries32, query_norms, 1, scale)
    return Space(
        gallery, queries, size, many, scale, gallery32, queries32, gallery_norms, query_norms
    )


def _float32(rows: Rows, centres: Floats, group: int, scale: float) -> tuple[Singles, Floats]:
    copy, norms = np.empty(rows.raw.shape, dtype=np.float32), np.empty(len(rows))
    for part in pieces(*rows.raw.shape):
        exact = rows.exact(part)
        one = len(centres) == 1
        exact -= centres if one else centres[np.arange(part.start, part.stop) // group]
        exact *= scale
        copy[part] = exact
        norms[part] = np.sqrt(squares(exact))
    return copy, norms


def _zeros_apart(
    rows: Rows, copy: Singles, norms: Floats, side: int, scale: float
) -> tuple[Singles, Floats]:
    """Rows of zeros get length 1 in a dimension of their own: at distance 1 from every row."""
    extra = np.zeros((len(copy), 2), dtype=np.float32)
    if rows.zero is not None:
        extra[rows.zero, side] = scale
        norms = np.hypot(norms, extra[:, side])
    return np.hstack([copy, extra]), norms


def search(
    space: Space,
    k: int,
    propose: Propose,
    *,
    names: Names | None = None,
    limit: Floats | None = None,
) -> Neighbours:
    """``(M, k)`` rows of each query's gallery that are no further than its ``limit``.

    Places that no row fills hold -1 and inf.
    """
    names, out = names or Names(), nothing(len(space.queries), k)
    limit = np.full(len(out.indices), np.inf) if limit is None else limit
    with np.errstate(over="ignore"):
        limit = (limit**2 if space.queries.norms is None else 2 * limit) * space.scale**2
    rows = np.arange(len(out.indices))
    work = [(rows, min(space.size, k + SLACK))] if rows.size and space.size else []
    while work:
        rows, fetch = work.pop()
        step = max(1, _TABLE // fetch)
        if len(rows) > step:
            work += [(rows[i : i + step], fetch) for i in range(0, len(rows), step)]
            continue
        found, near = _propose(space, rows, fetch, propose)
        keep, settled = _could_belong(space, rows, found, near, names, min(k, space.size), limit)
        if not settled.all():
            work.append((rows[~settled], min(space.size, 4 * fetch)))
            rows, near, keep = rows[settled], near[settled], keep[settled]
        at, column = np.nonzero(keep)
        exact = np.full(near.shape, np.inf)
        exact[at, column] = pair_distances(space.queries, rows[at], space.gallery, near[at, column])
        local = near - _episode(space, rows)[:, None] * space.size
        best = _nearest(Neighbours(np.where(keep, local, -1), exact), names, k)
        out.indices[rows, : best.indices.shape[1]] = best.indices
        out.distances[rows, : best.indices.shape[1]] = best.distances
    return out


def _propose(space: Space, rows: Integers, fetch: int, propose: Propose) -> tuple[Floats, Integers]:
    """The candidates: squared distances, ascending, and rows of the flat gallery."""
    found = np.empty((len(rows), fetch))
    near = np.empty((len(rows), fetch), dtype=np.int64)
    episodes, starts = np.unique(_episode(space, rows), return_index=True)
    for episode, part in zip(episodes, np.split(np.arange(len(rows)), starts[1:]), strict=True):
        here, base = slice(part[0], part[-1] + 1), int(episode) * space.size
        gallery = space.gallery32[base : base + space.size]
        found[here], near[here] = propose(space.queries32[rows[here]], gallery, fetch)
        near[here] += base
    return found, near


def _episode(space: Space, rows: Integers) -> Integers:
    return rows // max(space.many, 1)


def _could_belong(
    space: Space,
    rows: Integers,
    found: Floats,
    near: Integers,
    names: Names,
    k: int,
    limit: Floats,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which candidates may be among the k nearest, and for which queries no other row may."""
    valid = np.ones(found.shape, dtype=np.bool_)
    if names.codes is not None and names.own is not None:
        valid = names.codes[near] != names.own[rows, None]
    norm = space.query_norms[rows]
    first = valid & (np.cumsum(valid, axis=1) <= k)
    above = found + space.rounding * (norm[:, None] + space.gallery_norms[near]) ** 2
    kth = np.where(first, above, 0.0).max(axis=1)  # the true k-th distance is at most this
    kth[first.sum(axis=1) < k] = np.inf
    kth = np.minimum(kth, limit[rows])
    # A row that near has a norm of at most |x| + sqrt(kth): far outliers do not widen the bound.
    reach = np.minimum(space.gallery_norms.max(), norm + np.sqrt(kth))
    last = kth + space.rounding * (norm + reach) ** 2 + space.gallery.raw.shape[1] * 2.0**-100
    settled = (found[:, -1] > last) | (found.shape[1] == space.size)
    return valid & (found <= last[:, None]), settled


def nothing(many: int, k: int) -> Neighbours:
    return Neighbours(np.full((many, k), -1, dtype=np.int64), np.full((many, k), np.inf))


def merge(one: Neighbours, other: Neighbours, names: Names, k: int) -> Neighbours:
    indices = np.hstack([one.indices, other.indices])
    return _nearest(Neighbours(indices, np.hstack([one.distances, other.distances])), names, k)


def _nearest(near: Neighbours, names: Names, k: int) -> Neighbours:
    """The first ``k`` by distance, then by rank."""
    order = np.lexsort((names.rank(near.indices), near.distances), axis=-1)[:, :k]
    return Neighbours(
        np.take_along_axis(near.indices, order, 1), np.take_along_axis(near.distances, order, 1)
    )
