"""One pickle a split, found by its file name; ``all`` joins them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..images import LabelledImages
from .options import ReadOptions
from .paths import SPLIT_NAMES, choose_split
from .pickles import read_pickled_arrays
from .shared import refuse_shared


def split_pickles(root: Path, patterns: Iterable[str]) -> dict[str, Path]:
    """Files of a folder whose name is a pattern with ``{split}`` filled in; the first counts."""
    found: dict[str, Path] = {}
    for pattern in patterns:
        for words in SPLIT_NAMES.values():
            for word in words:
                path = root / pattern.format(split=word)
                if path.is_file():
                    found.setdefault(word, path)
    return found


def read_split_pickles(
    name: str, files: Mapping[str, Path], split: str, options: ReadOptions
) -> LabelledImages:
    """A split of a dataset that is kept as one pickle a split.

    Raises:
        DataError: If the split is not there, or its file cannot be used.
    """
    if split != "all" or set(files) == {"all"}:
        path = files[choose_split(split, files, str(next(iter(files.values())).parent))]
        return read_pickled_arrays(path, split, options, name=name)
    return joined(
        [read_pickled_arrays(path, word, options, name=name) for word, path in files.items()]
    )


def joined(parts: list[LabelledImages]) -> LabelledImages:
    """Splits of one dataset as one, ids led by the split's name.

    Raises:
        DataError: If their images differ in shape, or they share a class: files that number their
            classes from 0 each cannot be told from a leak.
    """
    first = parts[0]
    refuse_shared({part.split: part.classes for part in parts}, first.name)
    if len({part.shape for part in parts}) > 1:
        raise DataError(
            f"the splits of {first.name!r} have images of shapes "
            f"{', '.join(sorted({str(part.shape) for part in parts}))}; read one at a time",
            code="mixed-sizes",
        )
    images: Any = np.concatenate([part.images for part in parts])
    groups = {c: g for part in parts for c, g in zip(part.classes, part.groups, strict=True)}
    classes = sorted(groups)
    number = {name: i for i, name in enumerate(classes)}
    return LabelledImages(
        name=first.name,
        split="all",
        images=images,
        labels=np.concatenate(
            [np.array([number[name] for name in part.classes])[part.labels] for part in parts]
        ),
        ids=np.array([f"{part.split}/{id_}" for part in parts for id_ in part.ids]),
        classes=tuple(classes),
        groups=tuple(groups[name] for name in classes),
        prepared=first.prepared,
        notes=tuple(f"{part.split}: {note}" for part in parts for note in part.notes),
    )
