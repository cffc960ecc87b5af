"""Omniglot (Lake et al. 2015): 1,623 characters of 50 alphabets, 20 drawings of each.

    images_background/  Alphabet/character01/0001_01.png      30 alphabets: train
    images_evaluation/  Alphabet/character01/0965_01.png      20 alphabets: test

A class is a character of its alphabet, a group is an alphabet. Drawings are black
on white, as stored. Characters turned by 90, 180 and 270 degrees are classes of
their own only on request (``omniglot-rotated``), as in Santoro et al. (2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..images import LabelledImages
from .options import DEFAULT, ReadOptions
from .paths import choose_split, folder, image_files, inside, subfolders
from .pictures import Listing, Picture, read_pictures

FOLDERS = {"train": "images_background", "test": "images_evaluation"}
ALSO = {"background": "train", "evaluation": "test"}


def read_omniglot(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """The characters of one set of alphabets, or of both.

    Args:
        path: The folder that holds ``images_background`` or ``images_evaluation``.
        split: ``train`` (or ``background``), ``test`` (or ``evaluation``) or ``all``.
        options: How images are read.

    Raises:
        DataError: If there is no such split, or images cannot be read.
    """
    root = folder(path, "omniglot")
    there = [word for word, name in FOLDERS.items() if (root / name).is_dir()]
    asked = ALSO.get(split, split)
    words = there if asked == "all" and there else [choose_split(asked, there, str(path))]
    pictures: list[Picture] = []
    groups: dict[str, str] = {}
    for word in words:
        for alphabet in subfolders(root / FOLDERS[word]):
            for name, picture in _drawings(root / FOLDERS[word] / alphabet, root):
                groups[name] = alphabet
                pictures += picture
    listing = Listing("omniglot", split, str(path), pictures, groups, classes=groups)
    return read_pictures(listing, options)


def read_rotated(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """The same with each character turned by 0, 90, 180 and 270 degrees: four classes of it.

    Raises:
        DataError: As for `read_omniglot`.
    """
    plain = read_omniglot(path, split, options)
    options.require_room(4 * len(plain), plain.shape, str(path))
    turns = range(4)
    return replace(
        plain,
        name="omniglot-rotated",
        images=np.concatenate([np.rot90(plain.images, turn, axes=(2, 3)) for turn in turns]),
        labels=np.concatenate([plain.labels + turn * len(plain.classes) for turn in turns]),
        ids=np.array([f"{id_}#rot{90 * turn:03d}" for turn in turns for id_ in plain.ids]),
        classes=tuple(f"{name}#rot{90 * turn:03d}" for turn in turns for name in plain.classes),
        groups=plain.groups * 4,
    )


def is_omniglot(root: Path) -> bool:
    """Whether a folder holds either set of alphabets."""
    return any((root / name).is_dir() for name in FOLDERS.values())


def _drawings(alphabet: Path, root: Path) -> Iterator[tuple[str, list[Picture]]]:
    """Each character of an alphabet by name, and its drawings."""
    for character in subfolders(alphabet):
        name = f"{alphabet.name}/{character}"
        ids = [p.relative_to(root).as_posix() for p in image_files(alphabet / character)]
        yield name, [Picture(id_, name, inside(root, id_)) for id_ in ids]
