"""Two dimensions for many: a linear map that is quick, and UMAP that keeps neighbours.

Both lay out what the probes compare: under cosine, rows of length 1. Neighbours come from
the exact search that all of metaprobe uses and are handed to umap-learn, which starts from
the linear map and a recorded seed, on one thread. So the same rows give the same picture,
and the two pictures agree about left and right.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...data.errors import ProbeError
from ...models.threads import one_thread
from ...probes.neighbours import Metric, nearest_neighbours
from ...probes.rows import Floats

LayoutName = Literal["pca", "umap"]

LAYOUTS: tuple[LayoutName, ...] = ("pca", "umap")

SPREAD = 5.0
"""Half the width of the linear map that UMAP starts from, in UMAP's own units."""

FEW, APART, CLOSE = 1000, 0.3, 0.1
"""UMAP's ``min_dist``: fewer than `FEW` rows have room to stand apart, so that points of a
tight class can be told from one another."""

FEWEST = 5
"""Rows that a map needs."""


@dataclass(frozen=True)
class LayoutSettings:
    """How rows become points.

    Args:
        name: ``"pca"`` or ``"umap"``.
        metric: What is near: ``"cosine"``, as the probes have it, or ``"euclidean"``.
        neighbours: Neighbours of each row that UMAP tries to keep.
        seed: Seed of UMAP; the linear map needs none.
    """

    name: LayoutName
    metric: Metric = "cosine"
    neighbours: int = 15
    seed: int = 0

    def key(self) -> dict[str, object]:
        """Everything the points depend on, beside the rows."""
        mine: dict[str, object] = {"name": self.name, "metric": self.metric}
        if self.name == "umap":
            mine |= {"neighbours": self.neighbours, "seed": self.seed}
            mine |= {"umap-learn": version("umap-learn")}
        return mine


def lay_out(features: NDArray[np.float32], settings: LayoutSettings) -> Floats:
    """Points `(N, 2)` of rows `(N, D)`.

    Rows that are the same, bit for bit, are one point: what did not move is drawn unmoved.

    Raises:
        ProbeError: ``few-rows``; or as `nearest_neighbours`.
    """
    if len(features) < FEWEST:
        raise ProbeError(
            f"{len(features)} rows do not make a map; {FEWEST} or more are needed", code="few-rows"
        )
    rows, back = np.unique(features, axis=0, return_inverse=True)
    first = np.full(len(rows), len(features))
    np.minimum.at(first, back.ravel(), np.arange(len(features)))
    order = np.argsort(first)  # in the order they came, whatever their values
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    with one_thread():
        points = _points(rows[order], settings)
    return points[place[back.ravel()]]


def principal(
    features: NDArray[np.float32], metric: Metric = "cosine"
) -> tuple[Floats, tuple[float, float]]:
    """The two directions of most variance, and each one's share of it.

    Signs are fixed: in each direction the component of largest size is positive.

    Returns:
        ``(N, 2)`` points, centred, and the shares.
    """
    rows = compared(features, metric)
    rows = rows - rows.mean(axis=0)
    left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    largest = right[np.arange(len(right)), np.abs(right).argmax(axis=1)]
    scores = left * sizes * np.where(largest < 0, -1.0, 1.0)
    points = np.zeros((len(rows), 2))
    points[:, : min(2, scores.shape[1])] = scores[:, :2]
    variance = np.append(sizes**2, [0.0, 0.0])
    whole = float(variance.sum()) or 1.0
    return points, (float(variance[0]) / whole, float(variance[1]) / whole)


def compared(features: NDArray[np.float32], metric: Metric) -> Floats:
    """The rows as the metric has them: under cosine of length 1, zeros where they are zero."""
    rows = np.asarray(features, dtype=np.float64)
    if metric == "euclidean":
        return rows
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1.0, norms)


def _points(rows: NDArray[np.float32], settings: LayoutSettings) -> Floats:
    points, _ = principal(rows, settings.metric)
    # so few rows have no neighbourhoods to keep
    if settings.name == "pca" or len(rows) < FEWEST:
        return points
    k = min(settings.neighbours, len(rows) - 1)
    ids = np.arange(len(rows))
    near = nearest_neighbours(
        rows, rows, k, metric=settings.metric, gallery_ids=ids, query_ids=ids, zeros="orthogonal"
    )
    # umap-learn counts a row as its own first neighbour
    indices = np.column_stack([ids, near.indices]).astype(np.int32)
    distances = np.column_stack([np.zeros(len(rows)), near.distances]).astype(np.float32)
    start = points * (SPREAD / max(float(np.abs(points).max()), math.ulp(0.0)))
    return _umap(rows, indices, distances, start.astype(np.float32), settings.seed)


def _umap(
    rows: NDArray[np.float32],
    indices: NDArray[np.int32],
    distances: NDArray[np.float32],
    start: NDArray[np.float32],
    seed: int,
) -> Floats:
    with warnings.catch_warnings():
        # it offers a neural variant, and says so where TensorFlow is not installed
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        # and in a notebook asks for widgets to draw a progress bar with
        warnings.filterwarnings("ignore", "IProgress not found")
        import umap
    with warnings.catch_warnings():
        # new rows are never added to a finished map
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        # a row with no neighbour is drawn apart, where it belongs
        warnings.filterwarnings("ignore", "A (few|large number) of your vertices", UserWarning)
        model = umap.UMAP(
            n_neighbors=indices.shape[1] - (indices.shape[1] == len(rows)),
            precomputed_knn=(indices, distances, None),
            init=start,  # pyright: ignore[reportArgumentType]  # an array will do
            min_dist=APART if len(rows) < FEW else CLOSE,
            random_state=seed,
            n_jobs=1,
        )
        found = model.fit_transform(rows)
    return np.asarray(found, dtype=np.float64)
