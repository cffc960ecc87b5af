"""Other people's embeddings, from ``.h5`` or ``.npz``: checked, then rows like any others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import read_npz
from .embeddings import Embeddings
from .errors import DataError
from .hdf5 import read_hdf5

FEATURES = ("features", "emb", "embeddings")
LARGEST_VALUE = 1e18
"""A larger value has no squared distance in float32; one flipped bit of an exponent makes one."""

NAMES = (*FEATURES, "ids", "labels")


def read_embeddings(
    path: Path, *, expect_sha256: str | None = None
) -> tuple[Embeddings, tuple[str, ...]]:
    """Vectors that somebody else computed.

    Args:
        path: A file with ``features`` (or ``emb``, ``embeddings``) ``(N, D)`` of floats,
            ``labels`` ``(N,)`` of integers and ``ids`` ``(N,)``, each once.
        expect_sha256: What its bytes must hash to.

    Returns:
        The rows, and sentences about what is odd in them.

    Raises:
        DataError: If the file is not such a file, or its rows cannot be measured.
    """
    where = str(path)
    notes: list[str] = []
    arrays: Mapping[str, NDArray[Any]]
    if path.suffix == ".npz":
        arrays = read_npz(path, NAMES, expect_sha256=expect_sha256)
        has = tuple(arrays)
    else:
        found = read_hdf5(path, NAMES, expect_sha256=expect_sha256)
        arrays, has = found.arrays, found.has
        notes += _attributes(found.attributes, where)
    names = [name for name in FEATURES if name in arrays]
    if len(names) != 1 or "labels" not in arrays or "ids" not in arrays:
        raise DataError(
            f"{where!r} holds {', '.join(has) or 'nothing'}; one of {', '.join(FEATURES)} is "
            "needed, and labels and ids",
            code="missing-array",
        )
    features, labels, ids = arrays[names[0]], arrays["labels"], arrays["ids"]
    if features.dtype.kind != "f" or features.ndim != 2 or not features.size:
        raise DataError(
            f"{names[0]!r} of {where!r} is {features.dtype} of shape {features.shape}; floats of "
            "shape (N, D) with at least one row are needed",
            code="shape" if features.dtype.kind == "f" else "dtype",
        )
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"labels of {where!r} are {labels.dtype} of shape {labels.shape}; integers of shape "
            "(N,) are needed",
            code="dtype",
        )
    largest = float(np.abs(features.astype(np.float64)).max())
    if largest > LARGEST_VALUE:  # NaN is left to Embeddings, which names the row
        raise DataError(
            f"features of {where!r} reach {largest:.3g}, whose square is no float32; the file is "
            "damaged or not of embeddings",
            code="overflow",
        )
    if len(np.unique(ids)) != len(ids):
        raise DataError(f"{where!r} gives the same id to several rows", code="duplicate-ids")
    if not features.dtype.isnative:
        notes.append(f"{where} stores its features in the other byte order")
    rows = Embeddings(features.astype(np.float32), ids.astype(str), labels.astype(np.int64))
    empty = int((~rows.features.any(axis=1)).sum())
    if empty:
        notes.append(f"{where} has {empty} rows that are zero, which have no direction")
    if len(np.unique(rows.labels)) == 1:
        notes.append(f"{where} has rows of a single class")
    return rows, tuple(notes)


def _attributes(words: Mapping[str, Any], where: str) -> list[str]:
    """What a file says of itself, where it says it in our words.

    Raises:
        DataError: If it says that it is not whole, or of a version not known.
    """
    if words.get("complete", 1) != 1:
        raise DataError(f"{where!r} says that it was not written to its end", code="incomplete")
    if words.get("metaprobe_format", 1) != 1:
        raise DataError(
            f"{where!r} is of format {words['metaprobe_format']}; 1 is read", code="version"
        )
    odd = [k for k, v in words.items() if not f"{k}{v}".isprintable() or str(v)[:1] in "=+@"]
    return [f"{where} has attributes with signs for programs: {odd[0]!a}"] if odd else []
