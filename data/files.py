"""Files written whole or not at all: temporary, fsync, rename.

For results that people ask for by name. The store has a stricter protocol of its own.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import MetaprobeError


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file; whoever looks sees the old one or the new one, never a part.

    Args:
        path: Where to; its folder is made.
        content: The bytes.

    Returns:
        The path.

    Raises:
        MetaprobeError: If the folder or the disk refuses; nothing is left behind.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise MetaprobeError(
            f"{str(path)!r} cannot be written: {error.strerror or error}; "
            "choose another place or free space",
            code="cannot-write",
        ) from error
    return path


def require_writable(folder: Path) -> None:
    """Find out before the work whether results can be written.

    Raises:
        MetaprobeError: If they cannot.
    """
    probe = folder / f".{os.getpid()}.writable"
    write_whole(probe, b"")
    probe.unlink(missing_ok=True)
