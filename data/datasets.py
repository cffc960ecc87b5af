"""Opening data by name: ``glyphs``, ``digits``, a folder, a file, or ``FORMAT:PATH``.

A format may be named, as in ``omniglot:DIR``, or is recognised. What a reader needs
to know of a dataset is its path, the split asked for, and how to read images.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from . import glyphs
from .arrays import read_arrays
from .digits import digits
from .errors import DataError, MetaprobeError
from .files import write_whole
from .images import LabelledImages
from .keys import key_hash
from .readers.doubts import with_doubts
from .readers.formats import FORMATS, SINGLE, recognise
from .readers.options import DEFAULT, ReadOptions
from .store import default_cache_dir

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "glyphs": tuple(glyphs.SPLITS),
    "digits": ("all", "train", "test"),
}
"""Datasets that need no file, and their splits."""


ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".zip", ".7z", ".rar")
"""Endings of files that hold files; none is unpacked here."""


def open_dataset(
    source: str | Path,
    split: str = "test",
    *,
    cache: Path | None = None,
    options: ReadOptions = DEFAULT,
) -> LabelledImages:
    """A split of a dataset.

    Args:
        source: ``"glyphs"``, ``"digits"``, a folder or file of a format that can be recognised,
            or ``"format:path"``.
        split: Which split; ``"all"`` where the data has none.
        cache: Where built datasets are kept; the default cache when None.
        options: How image files are read.

    Raises:
        DataError: If the source is unknown, missing or unreadable, or has no such split.

    >>> open_dataset("digits", "all").shape
    (1, 28, 28)
    """
    name = str(source)
    if name == "glyphs":
        return _glyphs(split, cache or default_cache_dir())
    if name == "digits":
        return digits(split)
    form, _, path = name.partition(":")
    if path and form in FORMATS:
        return _read(form, Path(path), split, options)
    if Path(name).is_file() and name.lower().endswith(ARCHIVES):
        raise DataError(
            f"{name!r} is an archive; unpack it and give its folder, for what lies in it is "
            "checked as files",
            code="archive",
        )
    found = recognise(Path(name))
    if found is None:
        raise DataError(
            f"dataset {name!r} is neither known nor there; use glyphs, digits, a folder, a "
            f"{', '.join(s for f in FORMATS.values() for s in f.suffixes)} file, or FORMAT:PATH "
            f"with FORMAT one of {', '.join(FORMATS)}",
            code="unknown-dataset",
        )
    return _read(found, Path(name), split, options)


def _read(form: str, path: Path, split: str, options: ReadOptions) -> LabelledImages:
    if options.expect_sha256 is not None and form not in SINGLE:
        raise DataError(
            f"{str(path)!r} ({form}) is no single file, so no hash of one says what it holds; compare "
            "its fingerprint, which is over pixels, labels and names",
            code="sha256",
        )
    return with_doubts(FORMATS[form].read(path, split, options))


def _glyphs(split: str, cache: Path) -> LabelledImages:
    """The glyphs, built once and then kept on disk."""
    if split not in glyphs.SPLITS:
        raise DataError(
            f"glyphs has no split {split!r}; choose {', '.join(glyphs.SPLITS)}",
            code="unknown-split",
        )
    recipe = glyphs.Recipe()
    key = key_hash({"glyphs": glyphs.VERSION, "fonts": glyphs.fonts_hash(), **asdict(recipe)})
    folder = cache / "datasets" / f"glyphs-{key[:16]}"
    kept = _kept(folder / f"{split}.npz")
    if kept is None:
        built = glyphs.build(recipe)
        for name, part in built.items():
            _keep(folder / f"{name}.npz", part)
        return built[split]
    return replace(kept, name="glyphs", split=split)


def _kept(path: Path) -> LabelledImages | None:
    """A built split as it was kept, if its fingerprint still fits."""
    try:
        found = read_arrays(path, "all")
        mark = path.with_suffix(".sha256").read_text(encoding="ascii").strip()
    except (DataError, OSError, UnicodeDecodeError):
        return None
    return found if found.fingerprint == mark else None


def _keep(path: Path, data: LabelledImages) -> None:
    """Write a split whole or not at all; a cache that cannot be written is done without."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        images=data.images,
        labels=data.labels,
        ids=data.ids,
        classes=np.array(data.classes),
        groups=np.array(data.groups),
    )
    with contextlib.suppress(MetaprobeError):
        write_whole(path, buffer.getvalue())
        write_whole(path.with_suffix(".sha256"), data.fingerprint.encode() + b"\n")
