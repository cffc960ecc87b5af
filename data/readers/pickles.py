"""Pickled arrays of the few-shot benchmarks: two layouts, and a reader that runs nothing.

    {image_data: (N, H, W, C), class_dict: {class: [rows]}}          mini-imagenet-cache-*.pkl
    {data: (N, H, W, C), labels: [N], catname2label: {class: label}} CIFAR_FS_*, FC100_*, …

Keys may be bytes or text, for Python 2 wrote many of these files. They are
followed by `data/unpickle.py`: arrays, lists, dictionaries, text and numbers come
back, and a file that names anything else is refused.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..images import LabelledImages
from ..private import private_copy
from ..unpickle import read_pickle
from ..unpickle_plain import DATASETS, filled_arrays
from .options import DEFAULT, ReadOptions
from .plain_values import plain_text, whole_numbers
from .refusals import left_out, refuse_above, refuse_empty, without_images

MOST_STEPS = 1_000_000
"""Instructions of a pickled dataset, beyond one for each 100 bytes: what it holds is arrays."""

MOST_MADE = 64 * 2**20
"""Bytes that its arrays may take, beyond twice those of the file."""


def read_pickled_arrays(
    path: Path, split: str, options: ReadOptions = DEFAULT, *, name: str | None = None
) -> LabelledImages:
    """A dataset pickled as one array of images, in either layout.

    Args:
        path: The file; it is one split, whatever `split` says.
        split: What to call it.
        options: Mislabelled images count as unreadable ones do.
        name: Name of the dataset; the file's when None.

    Raises:
        DataError: If it is neither layout, names a function or class, or contradicts itself.
    """
    images, labels, classes, wrong = pickled_arrays(path, options)
    return labelled(name or path.stem, split, str(path), images, labels, classes, wrong, options)


def labelled(
    name: str,
    split: str,
    where: str,
    images: NDArray[np.uint8],
    labels: Sequence[int],
    classes: Sequence[str],
    wrong: Mapping[int, str],
    options: ReadOptions,
) -> LabelledImages:
    """Labelled images from an array `(N, H, W, C)`, rows that are wrong left out if allowed."""
    bad = {f"image {row}": why for row, why in sorted(wrong.items())}
    refuse_above(bad, len(images), where, options)
    keep = np.array([row not in wrong for row in range(len(images))])
    rows: list[int] = np.flatnonzero(keep).tolist()
    used = sorted({classes[labels[row]] for row in rows})
    number = {word: i for i, word in enumerate(used)}
    return LabelledImages(
        name=name,
        split=split,
        images=np.ascontiguousarray(images[rows].transpose(0, 3, 1, 2)),
        labels=np.array([number[classes[labels[row]]] for row in rows], dtype=np.int64),
        ids=np.array([f"{classes[labels[row]]}/{row:06d}" for row in rows]),
        classes=tuple(used),
        groups=("all",) * len(used),
        notes=(
            *([left_out(bad, len(images))] if bad else []),
            *without_images(set(classes) - set(used), classes),
        ),
    )


def pickled_arrays(
    path: Path, options: ReadOptions
) -> tuple[NDArray[np.uint8], list[int], list[str], dict[int, str]]:
    """Images `(N, H, W, C)`, a position in the classes for each, the classes, and what is wrong.

    Raises:
        DataError: If the file is not in either layout.
    """
    found = unpickled(path, options)
    where = str(path)
    if not isinstance(found, dict):
        raise DataError(
            f"{where!r} is a pickled {type(found).__name__}; a dictionary of images and labels is "
            "needed",
            code="layout",
        )
    table = {plain_text(key, where): value for key, value in found.items()}
    raw = next((table[key] for key in ("image_data", "data", "images") if key in table), None)
    if raw is None or not ({"class_dict", "labels"} & set(table)):
        raise DataError(
            f"{where!r} is a pickled dictionary of {', '.join(sorted(map(repr, table))[:6])}; "
            "'image_data' with 'class_dict', or 'data' with 'labels', are needed",
            code="layout",
        )
    images = _images(raw, where, MOST_MADE + 2 * path.stat().st_size)
    if "class_dict" in table:
        labels, classes, wrong = _from_class_dict(table["class_dict"], len(images), where)
        empty = [plain_text(k, where) for k, rows in table["class_dict"].items() if not len(rows)]
        refuse_empty(empty, classes, where, options)
        return images, labels, classes, wrong
    return images, *_from_labels(table["labels"], table.get("catname2label"), len(images), where)


def unpickled(path: Path, options: ReadOptions) -> Any:
    """The plain values in a pickle, after a look at its size.

    Raises:
        DataError: If it is missing, too large, damaged, or names anything but plain data.
    """
    if not path.is_file():
        raise DataError(f"data file {str(path)!r} does not exist", code="missing-file")
    size = path.stat().st_size  # its bytes are held once as they are and once as arrays
    options.require_bytes(2 * size, f"twice its {size:,} bytes", str(path))
    policy = replace(DATASETS, most_steps=MOST_STEPS + size // 100, most_bytes=MOST_MADE + 2 * size)
    with _opened(path, options) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # odd escapes in Python 2's text
        return filled_arrays(read_pickle(stream, policy, str(path)).value)


@contextmanager
def _opened(path: Path, options: ReadOptions) -> Iterator[_Clipped]:
    """The file, or the copy of it that was hashed where a hash is expected."""
    if options.expect_sha256 is None:
        with _Clipped(io.FileIO(path)) as stream:
            yield stream
        return
    with private_copy(path, options.expect_sha256, refusal=DataError) as file:
        yield _Clipped(io.FileIO(file.copy.fileno(), closefd=False))


class _Clipped(io.BufferedReader):
    """A file that gives what it has: a count beyond its end takes no memory for what is not there."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(left if size is None or size < 0 else min(size, max(left, 0)))


def _images(raw: Any, where: str, most: int) -> NDArray[np.uint8]:
    """An array `(N, H, W, C)` of bytes, from an array or a list of arrays of `most` bytes."""
    if isinstance(raw, list):
        if not raw or not all(isinstance(one, np.ndarray) for one in raw):
            raise DataError(f"{where!r} holds images that are not arrays", code="layout")
        shapes = {one.shape for one in raw}
        if len(shapes) > 1:
            raise DataError(
                f"{where!r} holds images of {len(shapes)} shapes, such as "
                f"{' and '.join(map(str, sorted(shapes)[:2]))}; one is needed",
                code="mixed-sizes",
            )
        if sum(one.nbytes for one in raw) > most:
            raise DataError(
                f"{where!r} holds {len(raw):,} images that are the same few over and over",
                code="too-large",
            )
        raw = np.stack(raw)
    if not isinstance(raw, np.ndarray):
        raise DataError(f"{where!r} holds images that are no array", code="layout")
    if raw.ndim == 2 and raw.shape[1] == 3 * 32 * 32:  # rows as CIFAR's own files have them
        raw = raw.reshape(-1, 3, 32, 32)
    if raw.ndim == 3:
        raw = raw[..., None]
    if raw.ndim == 4 and raw.shape[3] not in (1, 3) and raw.shape[1] in (1, 3):
        raw = raw.transpose(0, 2, 3, 1)
    if raw.ndim != 4 or raw.shape[3] not in (1, 3) or 0 in raw.shape:
        raise DataError(
            f"{where!r} has images of shape {raw.shape}; (N, H, W, C) with 1 or 3 channels is "
            "needed",
            code="shape",
        )
    if raw.dtype != np.uint8:
        whole = raw.dtype.kind in "iuf" and bool(((raw >= 0) & (raw <= 255)).all())
        if not whole or not bool((raw == np.floor(raw)).all()) or raw.max() <= 1:
            raise DataError(
                f"{where!r} has images of {raw.dtype} that are not whole numbers in 0…255",
                code="dtype",
            )
    return np.asarray(raw, dtype=np.uint8)


def _from_class_dict(given: Any, n: int, where: str) -> tuple[list[int], list[str], dict[int, str]]:
    """A class for each row, from rows by class."""
    if not isinstance(given, dict) or not given:
        raise DataError(f"{where!r} has a class_dict that names no classes", code="layout")
    rows_by_class = {
        plain_text(name, where): whole_numbers(rows, where) for name, rows in given.items()
    }
    classes = sorted(rows_by_class)
    labels = [-1] * n
    wrong: dict[int, str] = {}
    for label, name in enumerate(classes):
        for row in rows_by_class[name]:
            if not 0 <= row < n:
                raise DataError(
                    f"{where!r} gives class {name!r} image {row} and has {n} images; the file is "
                    "damaged",
                    code="label",
                )
            if labels[row] >= 0:
                wrong[row] = f"listed as {classes[labels[row]]!r} and as {name!r}"
            labels[row] = label
    wrong |= {row: "in no class" for row, label in enumerate(labels) if label < 0}
    return labels, classes, wrong


def _from_labels(
    given: Any, named: Any, n: int, where: str
) -> tuple[list[int], list[str], dict[int, str]]:
    """A class for each row, from a label for each and maybe names of the labels."""
    if isinstance(given, list) and any(isinstance(one, str | bytes) for one in given):
        words = [plain_text(one, where) for one in given]
    else:
        words = [str(label) for label in whole_numbers(given, where)]
    if len(words) != n:
        raise DataError(
            f"{where!r} has {len(words)} labels for {n} images; each needs one", code="length"
        )
    if isinstance(named, dict) and named:
        names: dict[str, str] = {}
        for key, value in named.items():
            name, label = plain_text(key, where), plain_text(value, where)
            if names.setdefault(label, name) != name:
                raise DataError(
                    f"{where!r} names label {label} both {names[label]!r} and {name!r}",
                    code="duplicate",
                )
        wrong = {row: f"label {w} has no name" for row, w in enumerate(words) if w not in names}
        words = [names.get(word, word) for word in words]
    else:
        names = {}
        wrong = {row: f"label {w} is below 0" for row, w in enumerate(words) if w[:1] == "-"}
        if all(word.isdecimal() for word in words):  # so that their order is that of numbers
            wide = max(map(len, words))
            words = [word.zfill(wide) for word in words]
    classes = sorted({*words, *names.values()})
    number = {word: i for i, word in enumerate(classes)}
    return [number[word] for word in words], classes, wrong
