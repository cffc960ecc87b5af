"""CUB-200-2011 (Wah et al. 2011): 200 birds, with its own lists, and few-shot splits beside them.

    CUB_200_2011/  images.txt               1 001.Black_footed_Albatross/….jpg
                   image_class_labels.txt   1 1
                   classes.txt              1 001.Black_footed_Albatross
                   train_test_split.txt     1 0          (1: training image)
                   images/001.Black_footed_Albatross/….jpg

The dataset's own split divides the *images* of every class. Few-shot work divides
the classes, by lists beside it: ``{base,val,novel}.json`` (label_names,
image_names, image_labels; Chen et al. 2019) or ``{train,val,test}.csv``
(filename, label). Where such lists lie in the folder, or in its ``split`` folder,
``train``, ``val`` and ``test`` mean theirs, and ``official-train`` and
``official-test`` the dataset's own.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from ..errors import DataError
from ..images import LabelledImages
from .options import DEFAULT, ReadOptions
from .paths import SPLIT_NAMES, choose_split, folder, inside, read_text, text_lines
from .pictures import Listing, Picture, read_pictures
from .shared import refuse_shared
from .tables import read_split_tables, split_tables

LISTS = ("images.txt", "image_class_labels.txt", "classes.txt")


def read_cub(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of CUB-200-2011.

    Args:
        path: ``CUB_200_2011``, or the folder above it.
        split: A split by class where its list is there; else ``train`` or ``test`` by image;
            ``all`` for every image.
        options: How images are read.

    Raises:
        DataError: If the lists are missing or contradict each other, or there is no such split.
    """
    root = folder(path, "cub")
    home = inside(root, "CUB_200_2011") if (root / "CUB_200_2011").is_dir() else root
    lists = _json_lists(root) or _json_lists(home)
    tables = split_tables(root) or split_tables(home)
    if split not in ("all", "official-train", "official-test"):
        if lists:
            word = choose_split(split, lists, str(path))
            listings = {name: _from_json(home, file, split) for name, file in lists.items()}
            refuse_shared(
                {n: {p.label for p in one.pictures} for n, one in listings.items()}, str(path)
            )
            return read_pictures(listings[word], options)
        if tables:
            return read_split_tables("cub", home, tables, split, options)
    return read_pictures(_official(home, split), options)


def is_cub(root: Path) -> bool:
    """Whether a folder, or its ``CUB_200_2011``, has the dataset's lists."""
    return any(all((p / n).is_file() for n in LISTS) for p in (root, root / "CUB_200_2011"))


def _official(home: Path, split: str) -> Listing:
    """Images by the dataset's own lists."""
    files = _numbered(home / "images.txt")
    labels = _numbered(home / "image_class_labels.txt")
    classes = _numbered(home / "classes.txt")
    kept = set(files)
    if split != "all":
        word = choose_split(split.removeprefix("official-"), ("train", "test"), str(home))
        ours = "1" if word == "train" else "0"
        kept = {n for n, mark in _numbered(home / "train_test_split.txt").items() if mark == ours}
    pictures, wrong = [], {}
    for number, file in files.items():
        if number not in kept:
            continue
        name = classes.get(labels.get(number, ""), "")
        pictures.append(Picture(file, name, inside(home / "images", file)))
        if not name:
            wrong[file] = (
                f"image {number} has no label"
                if number not in labels
                else (f"label {labels[number]} has no name")
            )
        elif (folder_name := PurePosixPath(file).parts[0]) != name:
            wrong[file] = f"in folder {folder_name!r} and labelled {name!r}"
    return Listing("cub", split, str(home), pictures, wrong=wrong)


def _numbered(path: Path) -> dict[str, str]:
    """Lines of ``number value``."""
    found: dict[str, str] = {}
    for row, line in enumerate(text_lines(path), start=1):
        number, mark, value = line.partition(" ")
        if not mark or not number.isdecimal():
            raise DataError(
                f"line {row} of {str(path)!r} is no number and value with a space between",
                code="layout",
            )
        if found.setdefault(number, value.strip()) != value.strip():
            raise DataError(f"{str(path)!r} has number {number} twice", code="duplicate")
    return found


def _json_lists(root: Path) -> dict[str, Path]:
    """The few-shot lists of a folder or its ``split`` folder."""
    for place in (root, root / "split", root / "splits"):
        names = {w: place / f"{w}.json" for ws in SPLIT_NAMES.values() for w in ws}
        found = {word: path for word, path in names.items() if path.is_file()}
        if found:
            return found
    return {}


def _from_json(home: Path, path: Path, split: str) -> Listing:
    """Images by a list of label_names, image_names and image_labels.

    The list's image names are paths on the machine that wrote it: what follows ``images/`` counts.
    """
    try:
        found = json.loads(read_text(path))
        names, files, labels = (found[k] for k in ("label_names", "image_names", "image_labels"))
        fits = (
            all(isinstance(one, list) for one in (names, files, labels))
            and all(isinstance(one, str) for one in (*names, *files))
            and all(type(one) is int for one in labels)
            and len(files) == len(labels)
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r} is no list of label_names, image_names and image_labels: {error!r}",
            code="layout",
        ) from error
    if not fits:
        raise DataError(
            f"{str(path)!r} has label_names, image_names and image_labels that do not fit each other",
            code="layout",
        )
    pictures, wrong = [], {}
    for file, label in zip(files, labels, strict=True):
        _, mark, tail = file.replace("\\", "/").rpartition("/images/")
        inner = tail if mark else file
        name = names[label] if 0 <= label < len(names) else ""
        pictures.append(Picture(inner, name, inside(home / "images", inner)))
        above = PurePosixPath(inner).parts[0]
        if not name:
            wrong[inner] = f"label {label} has no name"
        elif above != inner and above != name:
            wrong[inner] = f"in folder {above!r} and labelled {name!r}"
    return Listing("cub", split, str(path), pictures, wrong=wrong)
