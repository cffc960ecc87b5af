"""A file of a stranger's is opened once, and work is done on a private copy of it.

What is hashed is the copy that is parsed, and nobody else can change or shorten it
while it is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import CheckpointError, MetaprobeError

LARGEST = 8 * 2**30
"""Bytes; a larger file is not read."""

CHUNK = 4 * 2**20


@dataclass(frozen=True)
class Private:
    """A private copy of a file.

    Args:
        path: As it was given.
        realpath: Where links led.
        size: Bytes.
        sha256: Of the copy.
        head: Its first bytes.
        copy: The copy, positioned at its start.
    """

    path: str
    realpath: str
    size: int
    sha256: str
    head: bytes
    copy: IO[bytes]


@contextmanager
def private_copy(
    path: Path,
    expect_sha256: str | None = None,
    *,
    refusal: type[MetaprobeError] = CheckpointError,
    look: Callable[[bytes, int, str], object] | None = None,
) -> Iterator[Private]:
    """A private copy of a regular file, deleted when done with.

    Args:
        path: The file; a link is followed and its end recorded.
        expect_sha256: What its bytes must hash to.
        refusal: The error's class.
        look: Given the first bytes, the size and the path before anything is copied; it raises
            where a copy would be in vain. What it saw is to be looked at again in the copy.

    Raises:
        MetaprobeError: If it is missing, no regular file, too large, changes while it is
            copied, or is another file than expected.
    """
    handle = _handle(path, refusal)
    with os.fdopen(handle, "rb", buffering=0) as source, _temporary(path, refusal) as copy:
        status = os.fstat(source.fileno())
        if status.st_size > LARGEST:
            raise refusal(
                f"{str(path)!r} holds {status.st_size} bytes; {LARGEST} are allowed, so save what is "
                "needed of it alone (of a checkpoint its weights, without the optimiser's state)",
                code="too-large",
            )
        if look is not None:
            look(os.pread(source.fileno(), 2**13, 0), status.st_size, str(path))
        digest = hashlib.sha256()
        size = 0
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > min(LARGEST, status.st_size):  # it grows, perhaps for ever
                break
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        if size != status.st_size:
            raise refusal(
                f"{str(path)!r} changed while it was read ({status.st_size} bytes, then {size}); "
                "read it when nobody writes it",
                code="changed",
            )
        found = digest.hexdigest()
        if expect_sha256 is not None and found != expect_sha256.lower():
            raise refusal(
                f"{str(path)!r} has SHA-256 {found}, not the expected {expect_sha256[:64]}; it is "
                "another file or a damaged one",
                code="sha256",
            )
        copy.seek(0)
        head = copy.read(2**13)
        copy.seek(0)
        yield Private(str(path), os.path.realpath(path), size, found, head, copy)


def _handle(path: Path, refusal: type[MetaprobeError]) -> int:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise refusal(f"{str(path)!r} cannot be opened: {reason}", code="cannot-open") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise refusal(f"{str(path)!r} is {what}, not a file", code="not-a-file")
    return handle


@contextmanager
def _temporary(path: Path, refusal: type[MetaprobeError]) -> Iterator[IO[bytes]]:
    try:
        with tempfile.TemporaryFile() as copy:
            yield copy
    except OSError as error:
        raise refusal(
            f"{str(path)!r} cannot be copied to a temporary file: {error.strerror or error}; free "
            "space or set TMPDIR",
            code="no-space",
        ) from error
