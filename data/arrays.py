"""Readers for arrays people have: ``.npz`` and ``.h5`` with ``images`` and ``labels``.

Beside these two a file may hold ``ids``, ``classes`` (names), ``groups`` (of the
classes) and ``split`` (a word for each image). Nothing in a file is executed:
object arrays are refused, and HDF5 is read in a child (`hdf5`). Sizes are checked
before memory is taken.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .hdf5 import read_hdf5
from .images import LabelledImages
from .private import private_copy
from .readers.options import DEFAULT
from .readers.paths import choose_split

KNOWN = ("images", "labels", "ids", "classes", "groups", "split")
MOST_GROWTH = 1000
"""A compressed array may grow this much when read; more is taken for a bomb."""


def read_arrays(path: Path, split: str, *, expect_sha256: str | None = None) -> LabelledImages:
    """A dataset in one ``.npz`` or ``.h5`` file.

    Args:
        path: File with ``images`` ``(N, C, H, W)``, ``(N, H, W, C)`` or ``(N, H, W)``
            and ``labels`` ``(N,)``.
        split: Which split, when the file has ``split``; else ``"all"`` or anything.
        expect_sha256: What its bytes must hash to.

    Raises:
        DataError: If the file is not such a file, is another than expected, or has no such split.
    """
    if not path.is_file():
        raise DataError(f"data file {str(path)!r} does not exist", code="missing-file")
    if path.suffix == ".npz":
        arrays = read_npz(path, KNOWN, expect_sha256=expect_sha256)
        return from_arrays(path.stem, split, arrays, where=str(path))
    found = read_hdf5(path, KNOWN, expect_sha256=expect_sha256)
    return from_arrays(path.stem, split, found.arrays, where=str(path))


def from_arrays(
    name: str, split: str, arrays: Mapping[str, NDArray[Any]], *, where: str
) -> LabelledImages:
    """Labelled images from plain arrays.

    Raises:
        DataError: If an array is missing or does not fit.
    """
    for needed in ("images", "labels"):
        if needed not in arrays:
            raise DataError(
                f"{where!r} has no array {needed!r} (it has {', '.join(sorted(arrays)) or 'none'})",
                code="missing-array",
            )
    images = _channels_first(np.asarray(arrays["images"]), where)
    raw = np.asarray(arrays["labels"])
    if raw.ndim != 1 or len(raw) != len(images):
        raise DataError(
            f"{where!r} has labels of shape {raw.shape} for {len(images)} images; (N,) is needed",
            code="shape",
        )
    if "ids" in arrays:
        ids = _words(arrays["ids"], where)
    else:
        ids = np.array([f"{name}/{i}" for i in range(len(raw))])
    if "split" not in arrays:
        split = "all"
    elif split != "all":
        words = _words(arrays["split"], where)
        rows = np.flatnonzero(words == choose_split(split, sorted(set(words)), where))
        images, raw, ids = images[rows], raw[rows], ids[rows]
    if "classes" in arrays and raw.dtype.kind in "iu":
        names = _words(arrays["classes"], where)
        labels = raw.astype(np.int64)
        groups = (
            _words(arrays["groups"], where) if "groups" in arrays else np.full(len(names), "all")
        )
    else:
        if raw.dtype.kind not in "biuOSU":
            raise DataError(
                f"{where!r} has {raw.dtype} labels; whole numbers or text are needed", code="dtype"
            )
        found, labels = np.unique(raw if raw.dtype.kind in "biu" else _words(raw, where),
                                  return_inverse=True)  # fmt: skip
        names, groups = found.astype(str), np.full(len(found), "all")
    whole = LabelledImages(
        name=name,
        split=split,
        images=images,
        labels=labels.astype(np.int64),
        ids=ids,
        classes=tuple(map(str, names)),
        groups=tuple(map(str, groups)),
    )
    filled = [c for c, rows in enumerate(whole.rows_by_class) if len(rows)]
    return whole if len(filled) == len(whole.classes) else whole.subset(filled)


def _channels_first(images: NDArray[Any], where: str) -> NDArray[Any]:
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if images.dtype == np.float64:
        images = images.astype(np.float32)
    if images.ndim != 4:
        raise DataError(
            f"{where!r} has images of shape {images.shape}; (N, C, H, W), (N, H, W, C) or (N, H, W) "
            "is needed",
            code="shape",
        )
    return images


def _words(array: NDArray[Any], where: str) -> NDArray[np.str_]:
    flat = np.asarray(array).ravel()
    try:
        if flat.dtype.kind == "O":  # HDF5 strings
            flat = np.array([w.decode() if isinstance(w, bytes) else str(w) for w in flat])
        elif flat.dtype.kind == "S":
            flat = np.char.decode(flat, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where!r} has names that are not UTF-8", code="not-text") from error
    return flat.astype(str)


def read_npz(
    path: Path, names: Sequence[str], *, expect_sha256: str | None = None
) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz``, by name; those that are missing are left out.

    Args:
        path: The file.
        names: Which arrays.
        expect_sha256: What its bytes must hash to; a copy is hashed and read then.

    Raises:
        DataError: If it is damaged, another than expected, holds Python objects, or claims more
            than it stores.
    """
    try:
        if expect_sha256 is None:
            return _read_npz(path, path, names)
        with private_copy(path, expect_sha256, refusal=DataError) as file:
            return _read_npz(path, file.copy, names)
    except _DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{str(path)!r} cannot be read as .npz arrays: {error}", code="unreadable"
        ) from error


_DAMAGE = (
    OSError, ValueError, LookupError, TypeError, OverflowError, zipfile.BadZipFile, zlib.error,
    EOFError, RuntimeError, MemoryError,
)  # fmt: skip
"""What NumPy and zipfile raise at bytes they cannot use."""


def _read_npz(
    path: Path, source: Path | IO[bytes], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    stored = path.stat().st_size
    out: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(source) as archive:
        wanted = [m for m in archive.infolist() if m.filename.removesuffix(".npy") in names]
        unpacked = sum(member.file_size for member in wanted)
        DEFAULT.require_bytes(unpacked, f"{unpacked:,} bytes unpacked", str(path))
        for member in wanted:
            name = member.filename.removesuffix(".npy")
            if name in out:
                raise DataError(f"{str(path)!r} holds array {name!r} twice", code="duplicate")
            if member.file_size > MOST_GROWTH * max(stored, 4096):
                raise DataError(
                    f"array {name!r} in {str(path)!r} says it holds {member.file_size} bytes in a "
                    f"file of {stored}; that is refused",
                    code="too-large",
                )
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }.get(version)
                if read is None:
                    raise DataError(f"array {name!r} has .npy version {version}", code="unreadable")
                shape, _, dtype = read(file)
            if dtype.hasobject:
                raise DataError(
                    f"array {name!r} in {str(path)!r} holds Python objects; numbers and text are read",
                    code="dtype",
                )
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if size > member.file_size:
                raise DataError(
                    f"array {name!r} in {str(path)!r} claims shape {shape}, more than its "
                    f"{member.file_size} bytes hold",
                    code="size",
                )
            with archive.open(member) as file:
                out[name] = np.lib.format.read_array(file, allow_pickle=False)
    return out
