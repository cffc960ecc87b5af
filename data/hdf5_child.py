"""What runs in the child for an HDF5 file: every link is looked at before one is followed.

HDF5 can keep an array in another file, gather it from several, or point anywhere by a link;
all of that is refused, wherever in the file it stands. So are arrays that claim far more
than the file holds, chunks too large for memory, and filters that would load a plug-in.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .confined import Answer, Blob, serve
from .errors import DataError

FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
LARGEST_CHUNK = 64 * 2**20
MOST_GROWTH = 1000
MOST_OBJECTS = 10_000
LONGEST_WORD = 1000
KINDS = "biufSU"


def main() -> None:
    """Read standard input as the job says."""
    serve(read)


def read(content: mmap.mmap | bytes, job: Mapping[str, Any]) -> tuple[Answer, Sequence[Blob]]:
    """The arrays asked for, and the plain attributes of the top.

    Args:
        content: The file.
        job: ``names`` of arrays at the top, ``most`` bytes they may take, ``where`` for errors.

    Raises:
        DataError: If anything in the file leads out of it or claims too much.
    """
    where = job["where"]
    source: Any = io.BytesIO(content) if isinstance(content, bytes) else _MappedFile(content)
    try:
        file = h5py.File(source, "r")
    except Exception as error:  # of many types, at bytes that make no sense
        raise DataError(
            f"{where!r} cannot be read as HDF5: it is damaged or cut short", code="unreadable"
        ) from error
    try:
        _walk(file, where)
        arrays = {n: _array(file[n], n, job["most"], where) for n in job["names"] if n in file}
        words = {str(k)[:200]: _word(v) for k, v in list(file.attrs.items())[:100]}
        has = sorted(file)[:20]
    except Exception as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{where!r} cannot be read as HDF5: {str(error)[:120]}", code="unreadable"
        ) from error
    told = [{"name": n, "dtype": a.dtype.str, "shape": list(a.shape)} for n, a in arrays.items()]
    values = [a.tobytes() for a in arrays.values()]
    return {"arrays": told, "attributes": words, "has": has}, values


def _walk(file: Any, where: str) -> None:
    """Every object of the file, by hard links only, each group once."""
    low: Any = h5py  # its lower half is in no stub
    seen: set[Any] = set()
    stack = [("", file)]
    count = 0
    while stack:
        path, group = stack.pop()
        mark = low.h5o.get_info(group.id).addr
        if mark in seen:
            raise DataError(f"group {path!r} of {where!r} lies within itself", code="cycle")
        seen.add(mark)
        for name in group:
            count += 1
            below = f"{path}/{name}"
            if count > MOST_OBJECTS:
                raise DataError(
                    f"{where!r} holds more than {MOST_OBJECTS:,} objects", code="too-large"
                )
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise DataError(
                    f"{below!r} in {where!r} is a link; only arrays in the file itself are read",
                    code="link",
                )
            inner = group[name]
            if isinstance(inner, h5py.Group):
                stack.append((below, inner))
            elif isinstance(inner, h5py.Dataset):
                _plain(inner, below, where)


def _plain(found: Any, path: str, where: str) -> None:
    if found.is_virtual or found.external:
        raise DataError(
            f"{path!r} in {where!r} is not a plain dataset within the file", code="not-plain"
        )
    made = found.id.get_create_plist()
    for i in range(made.get_nfilters()):
        number = made.get_filter(i)[0]
        if number not in FILTERS:
            raise DataError(
                f"{path!r} in {where!r} needs filter {number}; {', '.join(FILTERS.values())} are "
                "read",
                code="filter",
            )
    if found.chunks is not None:
        chunk = int(np.prod(found.chunks, dtype=object)) * found.dtype.itemsize
        if chunk > LARGEST_CHUNK:
            raise DataError(
                f"{path!r} in {where!r} has chunks of {chunk} bytes; {LARGEST_CHUNK} are allowed",
                code="too-large",
            )
    size = int(np.prod(found.shape or (0,), dtype=object)) * found.dtype.itemsize
    stored = found.id.get_storage_size()
    if size > MOST_GROWTH * max(stored, 4096):
        raise DataError(
            f"{path!r} in {where!r} claims {size} bytes and stores {stored}", code="too-large"
        )


def _array(found: Any, name: str, most: int, where: str) -> NDArray[Any]:
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{name!r} in {where!r} is not an array", code="not-plain")
    words = h5py.check_string_dtype(found.dtype)
    if words is None and found.dtype.kind not in KINDS:
        raise DataError(
            f"{name!r} in {where!r} is {found.dtype}; numbers and text are read", code="dtype"
        )
    if found.size is None or found.size * found.dtype.itemsize > most:
        raise DataError(
            f"{name!r} in {where!r} would take {found.nbytes} bytes; {most} are allowed",
            code="too-large",
        )
    values = np.asarray(found.asstr()[()] if words is not None else found[()])
    if values.dtype.kind == "O":
        values = values.astype(str)
    return values


def _word(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value[:LONGEST_WORD]
    if isinstance(value, np.bool_ | np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value) if np.isfinite(value) else str(value)
    return type(value).__name__


class _MappedFile:
    """A mapped file as h5py wants one: it reads at a place, and never writes."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content

    def read(self, count: int = -1) -> bytes:
        return self._content.read(None if count < 0 else count)

    def readinto(self, buffer: Any) -> int:
        got = self._content.read(len(buffer))
        buffer[: len(got)] = got
        return len(got)

    def seek(self, offset: int, whence: int = 0) -> int:
        size = len(self._content)
        place = (0, self._content.tell(), size)[whence] + offset
        self._content.seek(min(place, size))
        return place

    def tell(self) -> int:
        return self._content.tell()

    def write(self, data: Any) -> int:
        raise OSError("read only")

    def truncate(self, size: int | None = None) -> int:
        raise OSError("read only")

    def flush(self) -> None: ...
