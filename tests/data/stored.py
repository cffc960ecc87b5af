"""Rows to store, and whether they came back bit for bit."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaprobe.data.embeddings import Embeddings
from metaprobe.data.store_files import Files

KEY = {"weights": "9f2c", "layer": "body.3"}


def rows(seed: int, n: int = 7, dim: int = 5, **extras: NDArray[Any]) -> Embeddings:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, dim)).astype(np.float32)
    ids = np.array([f"glyph-{seed}/é{i}" for i in range(n)], dtype=np.str_)
    return Embeddings(features, ids, rng.integers(0, 5, n), extras)


def same_array(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind == "U":
        return other.dtype.kind == "U" and one.shape == other.shape and bool(np.all(one == other))
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def same(one: Embeddings | None, other: Embeddings) -> bool:
    return (
        one is not None
        and same_array(one.features, other.features)
        and same_array(one.ids, other.ids)
        and same_array(one.labels, other.labels)
        and one.extras.keys() == other.extras.keys()
        and all(
            same_array(np.asarray(one.extras[k]), np.asarray(v)) for k, v in other.extras.items()
        )
    )


class NoSync(Files):
    """Does not wait for the disk: for tests of what is written, not of when."""

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return None if function is os.fsync else function(*args, **kwargs)
