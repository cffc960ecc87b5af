"""Arrays out of other people's HDF5 files: read in a child, from a copy, and nothing else's.

The HDF5 library is large and reads what a file tells it to; files that nobody vouches for
do not reach it in this process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .confined import Answer, ask_child, exactly
from .errors import DataError
from .private import private_copy

LARGEST = 4 * 2**30
"""Bytes that one array may take."""

KINDS = "biufSU"


@dataclass(frozen=True, eq=False)
class Arrays:
    """Arrays of one file.

    Args:
        arrays: Those that were asked for and are there.
        attributes: Plain attributes of the file's top.
        has: Names at the top.
        sha256: Of the file.
    """

    arrays: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any]
    has: tuple[str, ...]
    sha256: str


def read_hdf5(path: Path, names: tuple[str, ...], *, expect_sha256: str | None = None) -> Arrays:
    """Arrays at the top of an HDF5 file.

    Args:
        path: The file.
        names: Which arrays; those that are missing are left out.
        expect_sha256: What its bytes must hash to; HDF5 itself does not notice a changed bit.

    Raises:
        DataError: If it is damaged, leads out of itself, or claims more than it stores.
    """
    module = __name__ + "_child"
    with private_copy(path, expect_sha256, refusal=DataError) as file:
        if not file.head.startswith(b"\x89HDF\r\n\x1a\n"):
            raise DataError(
                f"{str(path)!r} cannot be read as HDF5: it does not begin like one",
                code="unreadable",
            )
        most = min(LARGEST, 1000 * max(file.size, 4096))
        job = {"names": names, "most": most}
        return ask_child(
            module,
            job,
            file,
            lambda answer, stream: Arrays(
                _received(answer, stream, most * len(names)),
                answer["attributes"],
                tuple(answer["has"]),
                file.sha256,
            ),
            refusal=DataError,
        )


def _received(answer: Answer, stream: IO[bytes], most: int) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for told in answer["arrays"]:
        dtype = np.dtype(str(told["dtype"]))
        shape = tuple(told["shape"])
        if dtype.kind not in KINDS or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("an array of no plain kind")
        size = math.prod(shape) * dtype.itemsize
        most -= size
        if most < 0:
            raise ValueError("more bytes than the file can hold")
        out[str(told["name"])] = np.frombuffer(exactly(stream, size), dtype).reshape(shape)
    return out
