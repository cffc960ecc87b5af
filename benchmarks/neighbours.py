"""Exact neighbours with our tie and identity rules, against raw `faiss.knn`."""

from __future__ import annotations

import faiss
import numpy as np

from metaprobe.probes.neighbours import episode_neighbours, nearest_neighbours

from .sidebyside import Ratio, compare


def main(rounds: int = 5, rows: int = 20_000) -> list[Ratio]:
    """The ratios for one large gallery and for many small ones."""
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((rows, 384), dtype=np.float32)
    queries = rng.standard_normal((rows // 10, 384), dtype=np.float32)
    few = rng.standard_normal((300, 25, 64), dtype=np.float32)
    asked = rng.standard_normal((300, 75, 64), dtype=np.float32)
    return [
        compare(
            "neighbours",
            lambda: nearest_neighbours(gallery, queries, 20, metric="euclidean"),
            lambda: faiss.knn(queries, gallery, 20),
            peer_name="faiss.knn",
            rounds=rounds,
        ),
        compare(
            "neighbours-episodes",
            lambda: episode_neighbours(few, asked, 1, metric="euclidean"),
            lambda: [faiss.knn(q, g, 1) for g, q in zip(few, asked, strict=True)],
            peer_name="faiss.knn, one call an episode",
            rounds=rounds,
        ),
    ]
