"""Each row asks for the others of its class: one search, several readings.

| measure | of the neighbours of a row, itself left out by id | source |
|---|---|---|
| `leave_one_out` | is the nearest one of its class? | |
| `r_precision` | share of its class among the R nearest | |
| `map_at_r` | precision at each hit among the R nearest, summed and divided by R | Musgrave et al. 2020 |
| `recall_at_k` | is any of the k nearest of its class? | Jégou et al. 2011 |

R is how many rows of its class there are besides. A row whose class has no other is left out,
except of `leave_one_out`, where it is wrong. Near-duplicates across ids make all of them
optimistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..data.errors import ProbeError
from .neighbours import Metric, Zeros, nearest_neighbours
from .quality import labelled


@dataclass(frozen=True)
class Retrieval:
    """What one search says.

    Args:
        leave_one_out: Accuracy of 1-NN over all rows.
        r_precision: Mean over the rows with another of their class.
        map_at_r: Likewise.
        recall: ``{k: share}``, likewise.
        rows: `N`.
        alone: Rows without another of their class.
    """

    leave_one_out: float
    r_precision: float
    map_at_r: float
    recall: dict[int, float]
    rows: int
    alone: int


def retrieval(
    features: ArrayLike,
    labels: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    *,
    metric: Metric = "cosine",
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> Retrieval:
    """All readings of one search among the rows themselves.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)`` integers or strings.
        ks: Of recall, each at most the rows that a row may be neighbour to.
        metric: ``"cosine"`` or ``"euclidean"``.
        ids: ``(N,)`` the sample of each row, where one may occur in several rows.
        zeros: What a row of zeros is under cosine (see `nearest_neighbours`).

    Raises:
        ProbeError: ``classes`` (fewer than 2, or no class with two samples), ``k``,
            ``labels``, or as `nearest_neighbours`.
    """
    rows, codes = labelled(features, labels)
    if not len(ks) or min(ks) < 1:
        raise ProbeError(f"ks {tuple(ks)}; give whole numbers of 1 or more", code="k")
    names = np.arange(len(rows)) if ids is None else np.asarray(ids)
    _, own = np.unique(names, return_inverse=True)
    if len(own) != len(rows):
        raise ProbeError(f"{len(own)} ids for {len(rows)} rows; each row needs one", code="ids")
    wanted = np.bincount(codes)[codes] - np.bincount(own)[own]  # R: a sample is of one class
    some = wanted > 0
    if not some.any():
        raise ProbeError(
            "no class has two samples, so there is nothing to retrieve", code="classes"
        )
    k = max(*ks, int(wanted.max()))
    near = nearest_neighbours(
        rows, rows, k, metric=metric, gallery_ids=names, query_ids=names, zeros=zeros
    )
    hits = codes[near.indices] == codes[:, None]  # (N, k)
    rank = np.arange(1, k + 1)
    counted = hits & (rank <= wanted[:, None])
    precision = np.cumsum(hits, axis=1) / rank
    r = wanted[some]
    return Retrieval(
        leave_one_out=float(hits[:, 0].mean()),
        r_precision=float((counted[some].sum(axis=1) / r).mean()),
        map_at_r=float(((precision * counted)[some].sum(axis=1) / r).mean()),
        recall={int(n): float(hits[some, :n].any(axis=1).mean()) for n in ks},
        rows=len(rows),
        alone=int((~some).sum()),
    )


def leave_one_out(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    metric: Metric = "cosine",
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> float:
    """Accuracy of 1-NN among the other samples; as `retrieval`."""
    return retrieval(features, labels, (1,), metric=metric, ids=ids, zeros=zeros).leave_one_out


def r_precision(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    metric: Metric = "cosine",
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> float:
    """Share of a row's class among as many neighbours as the class has; as `retrieval`."""
    return retrieval(features, labels, (1,), metric=metric, ids=ids, zeros=zeros).r_precision


def map_at_r(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    metric: Metric = "cosine",
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> float:
    """Mean average precision at R: as R-precision, but early hits count more; as `retrieval`."""
    return retrieval(features, labels, (1,), metric=metric, ids=ids, zeros=zeros).map_at_r


def recall_at_k(
    features: ArrayLike,
    labels: ArrayLike,
    k: int = 5,
    *,
    metric: Metric = "cosine",
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> float:
    """Share of rows with one of their class among the k nearest; as `retrieval`."""
    return retrieval(features, labels, (k,), metric=metric, ids=ids, zeros=zeros).recall[k]
