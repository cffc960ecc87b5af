"""Maps for the tools that people already use; none of them is needed to write."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..result import Map

EXPORTS = ("projector", "atlas", "fiftyone", "npz")

Exporter = Callable[[Map, Path], list[Path]]
"""``(map, folder) -> the files written``."""


def exporter(name: str) -> Exporter:
    """What writes this format.

    Raises:
        MetaprobeError: ``unknown-export``; ``extra`` if a library it needs is not installed.
    """
    from ....data.errors import MetaprobeError

    if name not in EXPORTS:
        raise MetaprobeError(
            f"export {name!r} is unknown; choose {', '.join(EXPORTS)}", code="unknown-export"
        )
    found = import_module(f".{name}", __name__)
    write: Exporter = found.write
    return write
