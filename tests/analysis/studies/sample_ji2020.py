"""Small problems and one small run of the ANIL study, shared by its tests."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from metaprobe.analysis.studies.ji2020.ledger import Sizes
from metaprobe.analysis.studies.ji2020.problems import (
    Pool,
)
from metaprobe.analysis.studies.ji2020.run import Measured, measure

SMALL = Sizes(
    seed=5, exact=4, train=10, smooth=2, long=4, floor=2, floor_iterations=50, blow_up=6, encoders=1
)


def sines(shape: tuple[int, ...], k: float) -> np.ndarray:
    size = math.prod(shape)
    return np.asarray(np.sin(k * np.arange(1, size + 1)).reshape(shape))


def sine_pool(bound: float | None) -> Pool:
    head = np.array([0.3, -0.2])
    deep = np.concatenate([0.3 * sines((6,), 1.1), 0.3 * sines((3,), 1.9)])
    parts = (
        sines((3, 6, 4), 0.7),
        sines((3, 6), 1.3),
        sines((3, 8, 4), 0.9),
        sines((3, 8), 1.7),
        sines((4, 2), 0.5),
        head,
        deep,
    )
    x, y, xq, yq, body, head, deep = (p[None] for p in parts)
    return Pool(x, y, xq, yq, body, head, deep, bound)


@cache
def measured() -> Measured:
    return measure(SMALL, encoders=["maml-glyphs-s0"])
