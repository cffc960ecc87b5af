"""Arrays about episodes, kept in the store: bits and statistics where features would be huge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.embeddings import Embeddings
from ..data.store import Store

Arrays = Mapping[str, NDArray[Any]]


def kept(
    key: Mapping[str, object], episodes: int, store: Store | None, compute: Callable[[], Arrays]
) -> tuple[Arrays, int]:
    """Arrays that lead with `E` from the store, or computed and then kept.

    Args:
        key: Everything they depend on.
        episodes: `E`.
        store: Where to look and keep; None to do without.
        compute: What makes them.

    Returns:
        The arrays, and 1 if they had to be computed, else 0.
    """
    found = store.get(key) if store else None
    if found is not None:
        return found.extras, 0
    arrays = compute()
    if store:
        ids = np.array([str(e) for e in range(episodes)])
        rows = Embeddings(
            np.zeros((episodes, 1), np.float32), ids, np.zeros(episodes, np.int64), arrays
        )
        store.put(key, rows)
    return arrays, 1
