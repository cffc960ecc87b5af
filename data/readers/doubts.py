"""What is odd about a dataset that was read: said in its notes, never acted upon.

The same pixels under two labels are a mistake of the benchmark or of the copy, and a
ceiling for any classifier; published benchmarks have some, so they are no refusal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..images import LabelledImages


def with_doubts(data: LabelledImages) -> LabelledImages:
    """The data with what is odd about it among its notes."""
    found = tuple(_doubts(data))
    return replace(data, notes=(*data.notes, *found)) if found else data


def _doubts(data: LabelledImages) -> Iterator[str]:
    if len(data.classes) == 1:
        yield f"there is one class, {data.classes[0]!r}, so no task can be drawn"
    pairs = list(_twins(data))
    if pairs:
        (a, b), more = pairs[0], f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
        yield (
            f"{len(pairs)} images have the pixels of one in another class: "
            f"{str(data.ids[b])!r} ({data.classes[data.labels[b]]!r}) those of "
            f"{str(data.ids[a])!r} ({data.classes[data.labels[a]]!r}){more}"
        )


def _twins(data: LabelledImages) -> Iterator[tuple[int, int]]:
    """Rows with equal pixels and other labels: the first such row, and the later one."""
    first: dict[bytes, int] = {}
    for row, image in enumerate(data.images):
        mark = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
        before = first.setdefault(mark, row)
        if data.labels[before] != data.labels[row]:
            yield before, row
