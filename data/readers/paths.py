"""Names that a dataset gives: of files, which must lie inside it, and of splits, which vary.

A path in a table is a stranger's word. It may not be absolute, climb with ``..``,
or pass through a link that leads out; what it names must be a file in the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import DataError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".tif", ".tiff"}
)
"""Endings of image files, in lower case."""

SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "base"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "novel"),
}
"""What a split is called, ours first."""

SPLIT_WORDS = frozenset(word for words in SPLIT_NAMES.values() for word in words)


def spellings(split: str) -> tuple[str, ...]:
    """Every name of a split, the one asked for first.

    >>> spellings("val")
    ('val', 'validation', 'valid')
    """
    for words in SPLIT_NAMES.values():
        if split in words:
            return (split, *(word for word in words if word != split))
    return (split,)


def canonical(split: str) -> str:
    """Our name of a split.

    >>> canonical("novel"), canonical("far")
    ('test', 'far')
    """
    return next((ours for ours, words in SPLIT_NAMES.items() if split in words), split)


def choose_split(split: str, there: Iterable[str], where: str) -> str:
    """The name under which a split is there.

    Raises:
        DataError: If it is not, naming those that are.
    """
    known = list(there)
    found = next((word for word in spellings(split) if word in known), None)
    if found is None:
        raise DataError(
            f"{where!r} has no split {split!r}; it has {', '.join(known) or 'none'}",
            code="unknown-split",
        )
    return found


def inside(root: Path, text: str) -> Path:
    """The file that a dataset names, when it lies in the dataset's folder.

    Args:
        root: The folder, resolved.
        text: A relative path; backslashes count as slashes.

    Raises:
        DataError: If the path is absolute, climbs, or leads out through a link.
    """
    plain = PurePosixPath(text.replace("\\", "/"))
    climbs = plain.is_absolute() or ".." in plain.parts or re.match(r"[A-Za-z]:", text)
    if climbs or not plain.parts or "\0" in text:
        raise DataError(
            f"{text!r} in {str(root)!r} leads out of the folder; paths must be relative to it and "
            "without '..'",
            code="outside",
        )
    path = root / plain
    try:
        home = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise DataError(f"{str(path)!r} leads nowhere: {error}", code="outside") from error
    if not home.is_relative_to(root):
        raise DataError(f"{str(path)!r} leads out of the folder", code="outside")
    return path


def folder(path: Path, what: str) -> Path:
    """A folder, resolved.

    Raises:
        DataError: If it is none.
    """
    if not path.is_dir():
        raise DataError(f"{what} folder {str(path)!r} does not exist", code="missing-file")
    return path.resolve()


def subfolders(root: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are none of the data."""
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def image_files(root: Path) -> list[Path]:
    """Image files directly in a folder, sorted; hidden ones are none of the data."""
    return sorted(
        p
        for p in root.iterdir()
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and not p.is_dir()
    )


def text_lines(path: Path, *, most: int = 64 * 2**20) -> list[str]:
    """Lines of a small text file that have something in them, stripped.

    Raises:
        DataError: If it is missing, not UTF-8, or large beyond reason.
    """
    return [line.strip() for line in read_text(path, most=most).splitlines() if line.strip()]


def read_text(path: Path, *, most: int = 64 * 2**20) -> str:
    """A small text file; a byte-order mark is dropped.

    Raises:
        DataError: If it is missing, no file, not UTF-8, or large beyond reason.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise DataError(f"{str(path)!r} is no file", code="not-a-file")
        if path.stat().st_size > most:
            raise DataError(
                f"{str(path)!r} has {path.stat().st_size:,} bytes; {most:,} are allowed in a list",
                code="too-large",
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)!r} cannot be read: {reason}", code="unreadable") from error
