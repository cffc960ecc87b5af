"""Hostile, damaged and awkward files, written anew into a folder, and how each must end.

``reject``: status 2 and one sentence. ``accept``: status 0. ``flag``: read with a flag, or
refused. Payloads make a folder in ``PWNED``, which stays empty unless somebody obeys a file.
"""

from __future__ import annotations

from pathlib import Path

from .corpus_files import folders, headers, layouts, looks, places, weights
from .corpus_parts import Entry
from .corpus_pickles import containers, endless, programs, views


def write_corpus(folder: Path) -> tuple[Entry, ...]:
    """Write every file.

    Args:
        folder: An empty folder; it comes to hold a pipe, a socket and links to devices.

    Returns:
        What was written.
    """
    (folder / "PWNED").mkdir(parents=True)
    out: list[Entry] = []
    for part in (
        programs,
        endless,
        containers,
        views,
        headers,
        looks,
        weights,
        layouts,
        folders,
        places,
    ):
        for name, content, end, *rest in part(folder):
            if isinstance(content, bytes):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            out.append(Entry(name, end, code=next((r for r in rest if isinstance(r, str)), None), live=True in rest))  # fmt: skip
    assert len({entry.name for entry in out}) == len(out)
    return tuple(out)
