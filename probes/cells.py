"""The four cells: was each query right, at {θ, θ_T} × {T, T′}?

Bits, not accuracies, so that every verdict can be computed again from what is
kept, and every difference is paired query by query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..data.errors import ProbeError
from .measurement import BlockFeatures, Moment
from .neighbours import Metric, episode_neighbours
from .phases import CELLS, CellName
from .votes import Weights, class_mean, nil_vote, vote

Bits = NDArray[np.bool_]
Gallery = Literal["support", "fresh"]
ProbeName = Literal["knn", "class-mean", "nil"]


@dataclass(frozen=True)
class ProbeSettings:
    """How a query is classified by its neighbours.

    Args:
        name: ``"knn"``, ``"class-mean"`` or ``"nil"``.
        k: Neighbours, for ``"knn"``.
        metric: ``"cosine"`` or ``"euclidean"``.
        weights: How neighbours vote, for ``"knn"``.
    """

    name: ProbeName = "knn"
    k: int = 1
    metric: Metric = "cosine"
    weights: Weights = "uniform"


def classify(
    gallery: NDArray[np.float32], query: NDArray[np.float32], way: int, probe: ProbeSettings
) -> NDArray[np.int64]:
    """Predicted labels `(E, B)` from class-major galleries.

    Args:
        gallery: ``(E, W * K, D)``.
        query: ``(E, B, D)``.
        way: Classes `W`.
        probe: How to classify.

    Raises:
        ProbeError: If k exceeds the gallery.
    """
    shot = gallery.shape[1] // way
    labels = np.repeat(np.arange(way), shot)
    each = np.broadcast_to(labels, gallery.shape[:2])
    if probe.name == "nil":
        return nil_vote(gallery, each, query, zeros="orthogonal")
    if probe.name == "class-mean":
        return class_mean(gallery, each, query, probe.metric, zeros="orthogonal")
    if probe.k > gallery.shape[1]:
        raise ProbeError(
            f"k={probe.k} neighbours asked of a gallery of {gallery.shape[1]} images "
            f"({way} classes of {shot}); choose k <= {gallery.shape[1]}, or more shots",
            code="k-too-large",
        )
    near = episode_neighbours(gallery, query, probe.k, metric=probe.metric, zeros="orthogonal")
    return vote(labels[near.indices], near.distances, classes=way, weights=probe.weights)


def cell_bits(
    found: Mapping[Moment, BlockFeatures],
    episodes: EpisodeList,
    gallery: Gallery,
    probe: ProbeSettings,
) -> dict[CellName, Bits]:
    """Correctness of each query of a block, in the cells whose moment was measured.

    Returns:
        ``(E, W * Q)`` bits by cell, class-major.
    """
    way, shot, query = episodes.on.shape
    truth = np.repeat(np.arange(way), query)
    role: Literal["support", "gallery"] = "support" if gallery == "support" else "gallery"
    bits: dict[CellName, Bits] = {}
    for cell in CELLS:
        moment, task = cell.split("_")
        if moment in found:
            features = found[moment]  # type: ignore[index]
            known, asked = (features.part(task, r, way * shot) for r in (role, "query"))  # type: ignore[arg-type]
            bits[cell] = classify(known, asked, way, probe) == truth
    return bits


def shuffled_bits(
    found: BlockFeatures, episodes: EpisodeList, probe: ProbeSettings, first: int
) -> Bits:
    """Correctness at (θ, T) with the gallery's labels dealt anew: what no feature can beat.

    Args:
        found: Features at meta-init.
        episodes: The block.
        probe: How to classify.
        first: Number of the block's first episode, so that each has its own deal.
    """
    way, shot, query = episodes.on.shape
    truth = np.repeat(np.arange(way), query)
    known, asked = found.part("on", "support", way * shot), found.part("on", "query", way * shot)
    said = classify(known, asked, way, probe)
    deal = np.stack(
        [
            np.random.default_rng([episodes.seed, 77, first + e]).permutation(way)
            for e in range(len(episodes))
        ]
    )
    return np.asarray(np.take_along_axis(deal, said, axis=1) == truth)


def pixel_bits(images: NDArray[np.float32], episodes: EpisodeList, probe: ProbeSettings) -> Bits:
    """Correctness at T with raw pixels as features.

    Args:
        images: ``(E, R, P)`` flat pixels: support, then query.
        episodes: The block.
        probe: How to classify.
    """
    way, shot, query = episodes.on.shape
    said = classify(images[:, : way * shot], images[:, way * shot :], way, probe)
    return np.asarray(said == np.repeat(np.arange(way), query))
