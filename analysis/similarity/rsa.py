"""Representational similarity: are the same pairs of images far apart on both sides?

Of each side, the distances of all pairs of rows; between the sides, the correlation of these.
Kriegeskorte et al. (2008), https://doi.org/10.3389/neuro.06.004.2008. Pairs that share a row
are not independent, so significance comes from permuting rows, never pairs (see `nulls`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from ...data.errors import ProbeError
from ...probes.measure import centred
from ...probes.rows import Floats, Integers
from .pairs import sides

Distance = Literal["correlation", "euclidean"]
Compared = Literal["spearman", "pearson"]


def rsa(
    x: ArrayLike,
    y: ArrayLike,
    distance: Distance = "correlation",
    compared: Compared = "spearman",
) -> float:
    """Correlation of the two sides' pair distances.

    Args:
        x: ``(N, D)`` with N of 3 or more.
        y: ``(N, E)``.
        distance: ``"correlation"``, 1 minus the correlation of two rows over features, the
            usual one: it hangs on the axes; or ``"euclidean"``, which does not.
        compared: ``"spearman"`` or ``"pearson"``.

    Returns:
        In [-1, 1], higher is more alike.

    Raises:
        ProbeError: ``distance``, ``compared``, ``constant`` (all rows are the same),
            ``constant-row`` (a row whose features are all equal has no correlation),
            ``equidistant``, or as `pairs.sides`.
    """
    return float(rsa_reordered(x, y, np.arange(len(np.asarray(x)))[None], distance, compared)[0])


def rsa_reordered(
    x: ArrayLike,
    y: ArrayLike,
    orders: Integers,
    distance: Distance = "correlation",
    compared: Compared = "spearman",
) -> Floats:
    """`rsa` of ``x`` and ``y[order]`` for each order ``(R, N)``; distances are taken once."""
    if compared not in ("spearman", "pearson"):
        raise ProbeError(f"compared {compared!r}; choose 'spearman' or 'pearson'", code="compared")
    one, two = sides(x, y, 3)
    a = _standard(pair_distances(one, "x", distance), "x", compared)
    b = squareform(_standard(pair_distances(two, "y", distance), "y", compared))
    upper = np.triu_indices(len(one), 1)
    return np.array([np.clip(a @ b[o[upper[0]], o[upper[1]]], -1.0, 1.0) for o in orders])


def pair_distances(rows: ArrayLike, what: str = "x", distance: Distance = "correlation") -> Floats:
    """``(N (N - 1) / 2,)`` distances of the rows ``(N, D)``, pair by pair.

    Raises:
        ProbeError: ``distance``, ``constant``, ``constant-row``.
    """
    if distance not in ("correlation", "euclidean"):
        raise ProbeError(
            f"distance {distance!r}; choose 'correlation' or 'euclidean'", code="distance"
        )
    array = np.asarray(rows)
    moved = centred(array, what)  # also refuses rows that are all the same
    if distance == "euclidean":
        return np.asarray(pdist(moved))
    flat = np.ptp(array, axis=1) == 0
    if flat.any():
        raise ProbeError(
            f"{what}: {int(flat.sum())} rows (the first is row {int(flat.argmax())}) have equal "
            "features throughout, so their correlation is undefined; leave them out, or take "
            "distance='euclidean'",
            code="constant-row",
        )
    return np.asarray(pdist(_row_standard(array), "sqeuclidean") / 2)


def _row_standard(rows: NDArray[np.generic]) -> Floats:
    exact = rows.astype(np.float64)
    exact -= exact.mean(axis=1, keepdims=True)
    exact /= np.abs(exact).max(axis=1, keepdims=True)
    return np.asarray(exact / np.linalg.norm(exact, axis=1, keepdims=True))


def _standard(distances: Floats, what: str, compared: Compared) -> Floats:
    """Ranks or values, of mean 0 and length 1."""
    if np.ptp(distances) <= 1e-12 * distances.max():
        raise ProbeError(
            f"{what}: all rows are equally far apart, so no pair is nearer than another",
            code="equidistant",
        )
    values = rankdata(distances) if compared == "spearman" else distances
    values = values - values.mean()
    return np.asarray(values / np.linalg.norm(values))
