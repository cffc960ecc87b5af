"""The noun every room passes on: vectors that know whose they are.

`N` rows of `D` features, with the sample id and label of each row beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import DataError


@dataclass(frozen=True)
class Embeddings:
    """Features with their ids and labels.

    Args:
        features: ``(N, D)`` float32, finite.
        ids: ``(N,)`` strings, the sample of each row. A sample may appear in
            several rows (the same image in several episodes).
        labels: ``(N,)`` int64.
        extras: Further named arrays kept beside the rows (any shape).

    Raises:
        DataError: If the lengths differ or a feature is not finite.

    >>> rows = Embeddings(np.zeros((2, 3), np.float32), np.array(["a", "b"]), np.array([0, 1]))
    >>> len(rows), rows.dim
    (2, 3)
    """

    features: NDArray[np.float32]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    extras: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise DataError(
                f"features have shape {self.features.shape}; (N, D) is needed", code="shape"
            )
        if not len(self.features) == len(self.ids) == len(self.labels):
            raise DataError(
                f"{len(self.features)} features, {len(self.ids)} ids and {len(self.labels)} labels; "
                "each row needs one of each",
                code="length",
            )
        if not np.isfinite(self.features).all():
            row = int(np.flatnonzero(~np.isfinite(self.features).all(axis=1))[0])
            raise DataError(
                f"row {row} (id {self.ids[row]}) is not finite; check the encoder's weights and input",
                code="not-finite",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def dim(self) -> int:
        """Width `D` of the features."""
        return int(self.features.shape[1])
