"""Files written whole or not at all: temporary, fsync, rename.

For results that people ask for by name. The store has a stricter protocol of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
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
    return write_together({path: content})[0]


def write_together(files: Mapping[Path, bytes]) -> list[Path]:
    """Write files that belong together: none gets its name before all are on the disk.

    Args:
        files: Bytes by path; folders are made.

    Returns:
        The paths.

    Raises:
        MetaprobeError: If a folder or the disk refuses; nothing is left behind.
    """
    waiting: dict[Path, Path] = {}
    path = Path()
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            waiting[path] = Path(temporary)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, whole in waiting.items():
            os.chmod(whole, 0o644)
            os.replace(whole, path)
    except OSError as error:
        raise MetaprobeError(
            f"{str(path)!r} cannot be written: {error.strerror or error}; "
            "choose another place or free space",
            code="cannot-write",
        ) from error
    finally:
        for left in waiting.values():
            left.unlink(missing_ok=True)
    return list(files)


def require_writable(folder: Path) -> None:
    """Find out before the work whether results can be written.

    Raises:
        MetaprobeError: If they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise MetaprobeError(
            f"the folder {str(folder)!r} cannot be written: {error.strerror or error}; "
            "choose another place or free space",
            code="cannot-write",
        ) from error
