"""A map as files: the figure, its numbers, the page, and what other tools read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.files import write_together
from ..figure_files import in_formats
from .export import EXPORTS, exporter
from .interactive import can_be_live
from .page import map_page
from .result import Map


def save_map(drawn: Map, folder: Path, exports: Sequence[str] = ()) -> list[Path]:
    """Write ``map.png``, ``.svg``, ``.pdf``, ``map.json``, and each export in a folder of its name.

    Where bokeh is installed ``map.html`` is written too: the same map, to point at.

    Raises:
        MetaprobeError: If an export is unknown or needs a library that is not installed, or the
            folder cannot be written.
    """
    writers = [(name, exporter(name)) for name in exports]  # refused before anything is written
    files = {**in_formats(drawn.plot(), "map"), "map.json": drawn.to_json().encode()}
    if can_be_live():
        files["map.html"] = map_page(drawn).encode()
    written = write_together({folder / name: content for name, content in files.items()})
    for name, write in writers:
        written += write(drawn, folder / name)
    return written


__all__ = ["EXPORTS", "save_map"]
