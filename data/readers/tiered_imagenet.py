"""tiered-ImageNet (Ren et al. 2018): 608 classes in 34 broader categories, which are the groups.

    {split}_images_png.pkl  list of PNG files as bytes     +  {split}_labels.pkl
    {split}_images.npz      images (N, 84, 84, 3)          +  {split}_labels.pkl
    train/ val/ test/       of class folders               as any image folder

A label file holds ``label_specific`` (the class) and ``label_general`` (the
category) of each image, and their names; some hold ``labels`` alone. A PNG is
read as the PNG standard says; code that reads it with OpenCV gets the colour
channels the other way round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import read_npz
from ..errors import DataError
from ..folders import read_image_folder
from ..images import LabelledImages
from .options import DEFAULT, ReadOptions
from .paths import SPLIT_NAMES, choose_split, folder
from .pickles import labelled, unpickled
from .pictures import Listing, Picture, read_pictures
from .plain_values import plain_text, whole_numbers
from .split_pickles import joined

NAME = "tiered-imagenet"

MOST_CLASSES = 100_000
"""Labels above are no labels: a name is made for each number up to the largest."""


def read_tiered_imagenet(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of tiered-ImageNet.

    Args:
        path: Its folder.
        split: ``train``, ``val`` (also ``validation``), ``test`` or ``all``.
        options: How images are read.

    Raises:
        DataError: If no layout is found, or what is found cannot be used.
    """
    root = folder(path, NAME)
    there = _splits(root)
    if not there:
        return read_image_folder(root, split, options, name=NAME)
    if split == "all":
        return joined([_read(root, word, word, options) for word in there])
    return _read(root, choose_split(split, there, str(path)), split, options)


def is_tiered_imagenet(root: Path) -> bool:
    """Whether a folder holds a split's images and labels by their published names."""
    return bool(_splits(root))


def _splits(root: Path) -> list[str]:
    return [
        word
        for words in SPLIT_NAMES.values()
        for word in words
        if (root / f"{word}_labels.pkl").is_file()
        and any((root / f"{word}_images{end}").is_file() for end in ("_png.pkl", ".npz"))
    ]


def _read(root: Path, word: str, split: str, options: ReadOptions) -> LabelledImages:
    where = str(root / f"{word}_labels.pkl")
    labels, names, groups = _labels(root / f"{word}_labels.pkl", options)
    packed = root / f"{word}_images_png.pkl"
    if not packed.is_file():
        arrays = root / f"{word}_images.npz"
        images = read_npz(arrays, ("images",)).get("images")
        if images is None or images.ndim != 4 or images.dtype != np.uint8:
            raise DataError(
                f"{str(arrays)!r} has no array 'images' of (N, H, W, 3) bytes", code="missing-array"
            )
        _same_length(len(labels), len(images), where)
        found = labelled(NAME, split, str(arrays), images, labels, names, {}, options)
        return _grouped(found, groups)
    files = _files(unpickled(packed, options), packed)
    _same_length(len(labels), len(files), where)
    pictures = [
        Picture(f"{names[label]}/{row:06d}.png", names[label], raw)
        for row, (label, raw) in enumerate(zip(labels, files, strict=True))
    ]
    return read_pictures(Listing(NAME, split, str(packed), pictures, groups), options)


def _files(found: Any, path: Path) -> list[bytes]:
    """Image files as bytes, from a list of arrays of bytes."""
    where = str(path)
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    if not isinstance(found, list) or not found:
        raise DataError(f"{where!r} is not a pickled list of images", code="layout")
    files = []
    for row, one in enumerate(found):
        if isinstance(one, np.ndarray) and one.dtype == np.uint8:
            files.append(one.tobytes())
        elif isinstance(one, bytes):
            files.append(one)
        else:
            raise DataError(
                f"{where!r} holds a {type(one).__name__} as image {row}; the bytes of a PNG are "
                "needed",
                code="layout",
            )
    if sum(map(len, files)) > path.stat().st_size:
        raise DataError(
            f"{where!r} holds {len(files):,} images that are the same few over and over",
            code="too-large",
        )
    return files


def _labels(path: Path, options: ReadOptions) -> tuple[list[int], list[str], dict[str, str]]:
    """For each image a position among the class names, the names, and their groups."""
    found = unpickled(path, options)
    if not isinstance(found, dict):
        raise DataError(f"{str(path)!r} is not a pickled dictionary of labels", code="layout")
    table = {plain_text(k, str(path)): v for k, v in found.items()}
    key = "label_specific" if "label_specific" in table else "labels"
    if key not in table:
        raise DataError(
            f"{str(path)!r} has {', '.join(map(repr, sorted(table)[:6]))} and neither 'label_specific' nor "
            "'labels'",
            code="layout",
        )
    raw = _numbers(table[key], str(path))
    names = _names(table.get("label_specific_str"), max(raw, default=0) + 1, str(path))
    groups: dict[str, str] = {}
    if "label_general" in table:
        general = _numbers(table["label_general"], str(path))
        _same_length(len(general), len(raw), str(path))
        broad = _names(table.get("label_general_str"), max(general, default=0) + 1, str(path))
        for label, above in zip(raw, general, strict=True):
            if groups.setdefault(names[label], broad[above]) != broad[above]:
                raise DataError(
                    f"{str(path)!r} puts class {names[label]!r} into both {groups[names[label]]!r} "
                    f"and {broad[above]!r}",
                    code="label",
                )
    return raw, names, groups


def _numbers(given: Any, where: str) -> list[int]:
    flat = whole_numbers(given, where)
    if min(flat, default=0) < 0 or max(flat, default=0) >= MOST_CLASSES:
        raise DataError(
            f"{where!r} has labels {min(flat)}…{max(flat)}; whole numbers from 0 to "
            f"{MOST_CLASSES - 1} are read",
            code="label",
        )
    return flat


def _names(given: Any, least: int, where: str) -> list[str]:
    """A name for each number; two of one name are told apart by their number."""
    if given is None:
        wide = len(str(least - 1))
        return [f"{i:0{wide}d}" for i in range(least)]
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list) or len(given) < least:
        raise DataError(
            f"{where!r} names {len(given) if isinstance(given, list) else 'no'} classes and uses "
            f"{least}",
            code="label",
        )
    words = [plain_text(name, where) for name in given]
    times = Counter(words)
    return [f"{w} ({i})" if times[w] > 1 else w for i, w in enumerate(words)]


def _grouped(data: LabelledImages, groups: dict[str, str]) -> LabelledImages:
    return replace(data, groups=tuple(groups.get(name, "all") for name in data.classes))


def _same_length(labels: int, images: int, where: str) -> None:
    if labels != images:
        raise DataError(
            f"{where!r} has {labels} labels for {images} images; each needs one", code="length"
        )
