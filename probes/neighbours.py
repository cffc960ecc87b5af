"""Exact nearest neighbours: FAISS proposes, float64 decides.

FAISS searches in float32, and what it rounds away depends on the size of the
batch, on a common offset of the vectors, on threads and on hardware. Here it
proposes the nearest ``k + 16`` rows of the centred gallery, and `exact` measures
again in float64 those that can belong to the ``k`` nearest, fetching more where a
row that FAISS left out could belong too. The answer is that of a brute-force search
in float64, whatever the batch, the block, the thread count or the device.

Ties, that is equal float64 distances, are ordered by id, then by row; without
ids by row. A row is its own neighbour or not by **id**, never by position.

This is the only file that imports faiss.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import faiss
import numpy as np
from numpy.typing import ArrayLike

from ..data.errors import ProbeError
from .exact import Names, Neighbours, Singles, merge, nothing, search, space_of
from .rows import Integers, Metric, Zeros, checked_rows, id_codes, rows_available, zero_rows

__all__ = [
    "Metric",
    "Neighbours",
    "Zeros",
    "episode_neighbours",
    "nearest_neighbours",
    "nearest_neighbours_streamed",
    "rows_available",
    "zero_rows",
]

_GPU_MOST = 2048  # neighbours a GPU search can return
_GPU_WORTH = 1 << 30  # multiplications below which starting a GPU costs more than it saves


def nearest_neighbours(
    gallery: ArrayLike,
    queries: ArrayLike,
    k: int,
    *,
    metric: Metric = "cosine",
    gallery_ids: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    zeros: Zeros = "error",
    device: str = "auto",
) -> Neighbours:
    """The exact ``k`` nearest gallery rows of each query.

    Args:
        gallery: ``(N, D)`` finite numbers.
        queries: ``(M, D)``.
        k: Neighbours of each query.
        metric: ``"cosine"`` (distance ``1 - cos``) or ``"euclidean"``.
        gallery_ids: ``(N,)`` strings or integers, the sample of each row. They order
            ties. An id may occur in several rows (one image in several episodes).
        query_ids: ``(M,)``. No row with the query's own id is its neighbour: with the
            gallery as queries this is leave-one-out.
        zeros: Under cosine a row of zeros, which points nowhere, is an ``"error"``, or
            ``"orthogonal"``: at distance 1 from every row. `zero_rows` counts them.
        device: ``"auto"`` (a GPU, if FAISS finds one and the search is large enough),
            ``"cpu"``, ``"cuda"`` or ``"cuda:1"``. It never changes the answer.

    Raises:
        ProbeError: ``k-too-large``, ``k``, ``not-finite``, ``zero-norm``,
            ``dimension``, ``shape``, ``empty``, ``ids``, ``metric``, ``zeros``, ``device``.

    >>> nearest_neighbours([[1, 0], [0, 1], [2, 0]], [[3, 1]], 2).indices.tolist()
    [[0, 2]]
    """
    return nearest_neighbours_streamed(
        [gallery],
        queries,
        k,
        metric=metric,
        gallery_ids=gallery_ids,
        query_ids=query_ids,
        zeros=zeros,
        device=device,
    )


def nearest_neighbours_streamed(
    blocks: Iterable[ArrayLike],
    queries: ArrayLike,
    k: int,
    *,
    metric: Metric = "cosine",
    gallery_ids: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    zeros: Zeros = "error",
    device: str = "auto",
) -> Neighbours:
    """`nearest_neighbours` in a gallery that comes in blocks and is never held whole.

    Bit for bit the answer of the gallery in one piece, however it is cut.

    Args:
        blocks: ``(N_b, D)`` arrays, read once; row numbers count on across them.
        gallery_ids: ``(N,)`` for all blocks together.

    Raises:
        ProbeError: As `nearest_neighbours`.
    """
    wanted = checked_rows(queries, "queries", metric, zeros=zeros)
    _check_k(k)
    gpu = _device(device)
    names = _names(gallery_ids, query_ids, len(wanted), k)
    near = nothing(len(wanted), k)
    start = 0
    for block in blocks:
        part = checked_rows(block, f"gallery (rows from {start})", metric, zeros=zeros)
        stop = start + len(part)
        if names.ranks is not None and stop > len(names.ranks):
            raise ProbeError(f"{len(names.ranks)} gallery ids for {stop} rows or more", code="ids")
        small = device == "auto" and len(part) * wanted.raw.size < _GPU_WORTH
        found = search(
            space_of(part, wanted),
            k,
            partial(_faiss, gpu=None if small else gpu),
            names=names.of(slice(start, stop)),
            limit=near.distances[:, -1],
        )
        found.indices[found.indices >= 0] += start
        near = merge(near, found, names, k)
        start = stop
    if names.ranks is not None and start != len(names.ranks):
        raise ProbeError(f"{len(names.ranks)} gallery ids for {start} rows", code="ids")
    if not start:
        raise ProbeError("the gallery holds no row; give at least k of them", code="empty")
    if k > start:
        raise _too_many(k, start)
    return near


def episode_neighbours(
    gallery: ArrayLike,
    queries: ArrayLike,
    k: int,
    *,
    metric: Metric = "cosine",
    zeros: Zeros = "error",
) -> Neighbours:
    """The exact ``k`` nearest gallery rows of each query within its own episode.

    One call for all episodes; FAISS searches each gallery apart (no index object is
    built), everything else is done for all episodes together. Runs on the CPU:
    galleries of 5 to 25 rows are too small for a GPU. Ties go to the lower row.

    Args:
        gallery: ``(E, G, D)``.
        queries: ``(E, M, D)``.

    Returns:
        ``(E, M, k)`` rows in 0…G-1, and their distances.

    Raises:
        ProbeError: As `nearest_neighbours`.

    >>> episode_neighbours([[[1, 0], [0, 1]]], [[[1, 2], [2, 1]]], 1).indices.tolist()
    [[[1], [0]]]
    """
    known, wanted = (
        checked_rows(rows, what, metric, 3, zeros)
        for rows, what in ((gallery, "gallery"), (queries, "queries"))
    )
    (episodes, size, _), (asked, many, _) = np.shape(gallery), np.shape(queries)
    if episodes != asked:
        raise ProbeError(
            f"a gallery of {episodes} episodes for queries of {asked}; "
            "give one gallery to each episode",
            code="shape",
        )
    _check_k(k)
    if k > size:
        raise _too_many(k, size)
    near = nothing(0, k)
    if episodes:
        near = search(space_of(known, wanted, episodes), k, _faiss)
    shape = (episodes, many, k)
    return Neighbours(near.indices.reshape(shape), near.distances.reshape(shape))


def _names(gallery_ids: ArrayLike | None, query_ids: ArrayLike | None, many: int, k: int) -> Names:
    if gallery_ids is None:
        if query_ids is not None:
            raise ProbeError("query ids without gallery ids; give both or neither", code="ids")
        return Names()
    codes, own = id_codes(gallery_ids, () if query_ids is None else query_ids)
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[np.argsort(codes, kind="stable")] = np.arange(len(codes))
    if query_ids is None:
        return Names(codes, None, ranks)
    if len(own) != many:
        raise ProbeError(f"{len(own)} query ids for {many} queries", code="ids")
    least = int(rows_available(gallery_ids, query_ids).min(initial=len(codes)))
    if len(codes) and k > least:
        own_row = " (a row is not its own neighbour)"
        raise _too_many(k, least, own_row if least < len(codes) else "")
    return Names(codes, own, ranks)


def _faiss(
    queries: Singles, gallery: Singles, k: int, gpu: int | None = None
) -> tuple[Singles, Integers]:
    if gpu is None or k > _GPU_MOST:
        found, near = faiss.knn(queries, gallery, k)
    else:
        found, near = faiss.knn_gpu(_gpu_memory(gpu), queries, gallery, k, device=gpu)
    if (near < 0).any():
        raise ProbeError(
            f"FAISS returned fewer than {k} of {len(gallery)} rows; its installation is damaged",
            code="search-incomplete",
        )
    return found, near


@cache
def _gpu_memory(gpu: int) -> Any:
    return faiss.StandardGpuResources()


def _device(name: str) -> int | None:
    """The number of a GPU, or None for the CPU."""
    count = int(faiss.get_num_gpus())
    if name == "cpu" or (name == "auto" and not count):
        return None
    kind, _, number = name.partition(":")
    if name != "auto" and (kind != "cuda" or not (number or "0").isdigit()):
        raise ProbeError(f"device {name!r}; choose 'auto', 'cpu' or 'cuda'", code="device")
    if int(number or 0) >= count:
        raise ProbeError(f"device {name!r}, but FAISS sees {count} GPUs", code="device")
    return int(number or 0)


def _check_k(k: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ProbeError(f"k={k!r}; choose a whole number of 1 or more", code="k")


def _too_many(k: int, most: int, why: str = "") -> ProbeError:
    return ProbeError(
        f"k={k} neighbours asked of {most} gallery rows; choose k <= {most}{why}",
        code="k-too-large",
    )
