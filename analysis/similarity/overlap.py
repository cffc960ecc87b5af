r"""Mutual nearest neighbours: does each image keep its neighbours?

.. math:: m = \tfrac{1}{N} \sum_i |\mathrm{NN}^X_k(i) \cap \mathrm{NN}^Y_k(i)| / k,
          \qquad (m - c) / (1 - c), \quad c = k / (N - 1)

Huh et al. (2024), https://arxiv.org/abs/2405.07987, corrected for what chance keeps: at 75
rows and k = 10 unrelated features share 0.135 of their neighbours. Local, and nearest to what
a neighbour probe sees. Neighbours are exact (see `probes.neighbours`); a row is never its
own, by id.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...data.errors import ProbeError
from ...probes.neighbours import Metric, Zeros, nearest_neighbours, rows_available
from ...probes.rows import Floats, Integers
from .pairs import sides


def mutual_knn(
    x: ArrayLike,
    y: ArrayLike,
    k: int = 10,
    metric: Metric = "cosine",
    *,
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> float:
    """Share of the ``k`` nearest neighbours that both sides agree on, beyond chance.

    Args:
        x: ``(N, D)``.
        y: ``(N, E)``.
        k: Neighbours of each row, below N - 1.
        metric: ``"cosine"`` or ``"euclidean"``.
        ids: ``(N,)`` the sample of each row, where one may occur in several rows.
        zeros: What a row of zeros is under cosine (see `nearest_neighbours`).

    Returns:
        1 where all neighbours are kept, 0 on average for unrelated features; at least
        ``-k / (N - 1 - k)``.

    Raises:
        ProbeError: ``k-too-large`` (also ``k = N - 1``, where all rows are neighbours of
            all), ``constant`` (all rows of a side are the same), or as `nearest_neighbours` and `pairs.sides`.
    """
    as_is = np.arange(len(np.asarray(x)))[None]
    return float(mutual_knn_reordered(x, y, as_is, k, metric, ids=ids, zeros=zeros)[0])


def mutual_knn_reordered(
    x: ArrayLike,
    y: ArrayLike,
    orders: Integers,
    k: int = 10,
    metric: Metric = "cosine",
    *,
    ids: ArrayLike | None = None,
    zeros: Zeros = "error",
) -> Floats:
    """`mutual_knn` of ``x`` and ``y[order]`` for each order ``(R, N)``, from one search."""
    one, two = sides(x, y, 3)
    for side, what in ((one, "x"), (two, "y")):
        if not np.ptp(side, axis=0).any():
            raise ProbeError(
                f"{what}: all {len(side)} rows are the same, so none is nearer than another; "
                "leave this layer out",
                code="constant",
            )
    n = len(one)
    names = np.arange(n) if ids is None else np.asarray(ids)
    most = rows_available(names, names)
    if int(most.min()) <= k:
        raise ProbeError(
            f"k={k} neighbours of {int(most.min())} other rows: sets so large agree whatever the "
            f"features; choose k < {int(most.min())}",
            code="k-too-large",
        )
    a, b = (
        nearest_neighbours(s, s, k, metric=metric, gallery_ids=names, query_ids=names, zeros=zeros)
        for s in (one, two)
    )
    chance = float((k / most).mean())
    rows = np.arange(n)[:, None]
    known, shares = (rows * n + a.indices).ravel(), []
    for order in orders:
        place = np.empty(n, dtype=np.int64)
        place[order] = np.arange(n)
        shares.append(np.isin(known, rows * n + place[b.indices[order]]).mean())
    return np.asarray((np.array(shares) - chance) / (1 - chance))
