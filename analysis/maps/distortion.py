r"""What a map gets wrong, in numbers to print on it.

Two dimensions cannot keep the neighbourhoods of many. Three shares say how far a map may be
believed, all with `k` neighbours:

trustworthiness
    1 unless points that are near on the map are far in the features (false neighbours),

    .. math:: 1 - \tfrac{2}{N k (2N - 3k - 1)} \sum_i \sum_{j \in M_k(i)} \max(0, r(i, j) - k)

    with :math:`M_k(i)` the nearest on the map and :math:`r(i, j)` the rank of `j` among the
    neighbours of `i` in the features.
continuity
    The same with map and features exchanged: 1 unless near rows were torn apart.
kept
    The share of a row's `k` nearest neighbours that are still among its `k` nearest on the
    map; by chance ``k / (N - 1)``.

Venna and Kaski (2001), https://doi.org/10.1007/3-540-44668-0_68.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...data.errors import ProbeError
from ...probes.neighbours import Metric
from ...probes.rows import Floats, Integers
from .layout import compared

_TABLE = 1 << 23  # distances held at once


@dataclass(frozen=True)
class Distortion:
    """How far a map may be believed.

    Args:
        trustworthiness: 1 where no point has a false neighbour on the map; 0.5 for points
            strewn at random.
        continuity: 1 where no neighbourhood was torn apart.
        kept: Share of the nearest neighbours that the map keeps.
        chance: What random points would keep.
        k: Neighbours looked at.
    """

    trustworthiness: float
    continuity: float
    kept: float
    chance: float
    k: int

    def sentence(self) -> str:
        """For a figure."""
        return (
            f"trustworthiness {self.trustworthiness:.2f}, {100 * self.kept:.0f} % of {self.k} "
            f"neighbours kept (chance {100 * self.chance:.2g} %)"
        )


def distortion(
    features: NDArray[np.float32], points: Floats, k: int = 10, metric: Metric = "cosine"
) -> Distortion:
    """How a map `(N, 2)` distorts the neighbourhoods of rows `(N, D)`.

    Distances are float64; ties are ordered by row, as scikit-learn does.

    Args:
        features: The rows.
        points: Where the map puts them.
        k: Neighbours; fewer where there are less than ``2 k + 2`` rows.
        metric: What is near among the rows. On the map it is Euclidean.

    Raises:
        ProbeError: ``shape``, ``few-rows``.
    """
    n = len(features)
    if len(points) != n:
        raise ProbeError(f"{len(points)} points for {n} rows; one each is needed", code="shape")
    if n < 4:
        raise ProbeError(f"{n} rows have no neighbourhoods; give 4 or more", code="few-rows")
    k = min(k, (n - 2) // 2)  # beyond half the rows the measure is not defined
    here, there = compared(features, metric), np.asarray(points, dtype=np.float64)
    false, torn, kept = 0, 0, 0
    for low in range(0, n, max(1, _TABLE // n)):
        rows = np.arange(low, min(n, low + max(1, _TABLE // n)))
        ranks, ranks_there = _ranks(here, rows), _ranks(there, rows)
        near, near_there = ranks <= k, ranks_there <= k
        false += int((ranks - k)[near_there & ~near].sum())
        torn += int((ranks_there - k)[near & ~near_there].sum())
        kept += int((near & near_there).sum())
    worst = n * k * (2 * n - 3 * k - 1) / 2
    return Distortion(1 - false / worst, 1 - torn / worst, kept / (n * k), k / (n - 1), k)


def _ranks(points: Floats, rows: Integers) -> Integers:
    """``(B, N)`` rank of every point among the neighbours of each of these; of itself, ``N``."""
    squares = np.square(points).sum(axis=1)
    far = squares[rows, None] + squares[None] - 2 * points[rows] @ points.T
    far[np.arange(len(rows)), rows] = np.inf
    order = np.argsort(far, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, len(points) + 1)[None], axis=1)
    return ranks
