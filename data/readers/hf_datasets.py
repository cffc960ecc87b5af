"""Hugging Face `datasets` as `save_to_disk` writes them, read without that library.

    dataset_dict.json  {"splits": ["train", "test"]}
    train/  state.json  dataset_info.json  data-00000-of-00001.arrow

or one split alone: ``state.json``, ``dataset_info.json`` and its ``.arrow`` files.
The image column is the one of feature type Image (a structure of bytes and path),
the label column the one of type ClassLabel, whose names are the classes; failing
that, columns called ``image``/``img`` and ``label``/``fine_label``. A column
``coarse_label`` of ClassLabel gives the groups. Nothing in the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..images import LabelledImages
from .arrow import arrow_rows
from .options import DEFAULT, ReadOptions
from .paths import choose_split, folder, inside, read_text, subfolders
from .pictures import Listing, Picture, read_pictures

IMAGES = ("image", "img", "images", "picture")
LABELS = ("label", "fine_label", "labels", "class", "character")
GROUPS = ("coarse_label", "superclass", "alphabet", "group")


def read_hf_datasets(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of a dataset saved to disk.

    Args:
        path: The folder given to `save_to_disk`.
        split: One of its splits, or ``"all"``; of a folder without splits every row, whatever
            is asked.
        options: How images are read.

    Raises:
        DataError: If the folder is no such thing, has no image or label column, or pyarrow is
            missing.
    """
    root = folder(path, "datasets")
    there = _splits(root)
    if not there:
        words, split = [""], "all"
    elif split == "all":
        words = there
    else:
        words = [choose_split(split, there, str(path))]
    pictures: list[Picture] = []
    groups: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for word in words:
        home = inside(root, word) if word else root
        for row in _rows(home, root, f"{word}/" if split == "all" and word else "", wrong):
            picture, group = row
            pictures.append(picture)
            if group and groups.setdefault(picture.label, group) != group:
                wrong[picture.id] = (
                    f"class {picture.label!r} in groups {groups[picture.label]!r} and {group!r}"
                )
    return read_pictures(Listing(root.name, split, str(path), pictures, groups, wrong), options)


def is_hf_datasets(root: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return bool(_splits(root)) or (
        (root / "state.json").is_file() and (root / "dataset_info.json").is_file()
    )


def _splits(root: Path) -> list[str]:
    """Names of the splits; none where the folder is one itself."""
    listed = root / "dataset_dict.json"
    if not listed.is_file():
        return []
    found = _json(listed).get("splits")
    if not isinstance(found, list) or not all(isinstance(word, str) and word for word in found):
        raise DataError(f"{str(listed)!r} names no splits", code="layout")
    missing = [word for word in found if word not in subfolders(root)]
    if missing:
        raise DataError(
            f"{str(listed)!r} names split {missing[0]!r}, which is not in the folder",
            code="missing-file",
        )
    return found


def _rows(
    home: Path, root: Path, lead: str, wrong: dict[str, str]
) -> Iterator[tuple[Picture, str]]:
    """Each image of one saved split, and the name of its group."""
    features = _json(home / "dataset_info.json").get("features")
    if not isinstance(features, dict):
        raise DataError(f"{str(home)!r} has no features in dataset_info.json", code="layout")
    image = _column(features, "Image", IMAGES, home)
    label = _column(features, "ClassLabel", LABELS, home)
    above = next((n for n in GROUPS if n in features and n != label), None)
    columns = [image, label, *([above] if above else [])]
    number = 0
    for file in _files(home):
        for content, value, *over in arrow_rows(file, columns):
            id_ = f"{lead}{number:07d}"
            name = _name(features[label], value)
            if name is None:
                wrong[id_] = f"label {value!r} has no name"
            yield (
                Picture(id_, name or "", _source(content, root, id_, wrong)),
                (_name(features[above], over[0]) or "") if above else "",
            )
            number += 1


def _source(content: Any, root: Path, id_: str, wrong: dict[str, str]) -> bytes | Path:
    """The file's content, or the file, from a structure of bytes and path."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, dict):
        raw, path = content.get("bytes"), content.get("path")
        if isinstance(raw, bytes):
            return raw
        if isinstance(path, str):
            return inside(root, path)
    wrong[id_] = "neither bytes nor path"
    return b""


def _name(feature: Any, value: Any) -> str | None:
    """The class of a value: by its name where the feature has names."""
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(names, list):
        known = isinstance(value, int) and 0 <= value < len(names)
        return str(names[value]) if known else None
    return None if value is None or isinstance(value, dict | list | bytes) else str(value)


def _column(features: Mapping[str, Any], kind: str, names: tuple[str, ...], home: Path) -> str:
    """The column of a feature type; by its name where that decides nothing.

    Raises:
        DataError: If none or several would do.
    """
    typed = [n for n, f in features.items() if isinstance(f, dict) and f.get("_type") == kind]
    if len(typed) == 1:
        return typed[0]
    for name in names:
        if name in (typed or features):
            return name
    raise DataError(
        f"{str(home)!r} has {len(typed) or 'no'} columns of type {kind} among "
        f"{', '.join(map(repr, features))}; one is needed, or one called {names[0]!r}",
        code="missing-column",
    )


def _files(home: Path) -> list[Path]:
    """The data files that the state lists."""
    state = _json(home / "state.json")
    if state.get("_indices_data_files"):
        raise DataError(
            f"{str(home)!r} is a selection by index; call flatten_indices() and save it again",
            code="layout",
        )
    listed = state.get("_data_files")
    names = [f.get("filename") for f in listed] if isinstance(listed, list) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{str(home / 'state.json')!r} lists no data files", code="layout")
    files = [inside(home.resolve(), name) for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(f"{str(home)!r} lacks its file {missing[0]!r}", code="missing-file")
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{str(path)!r} is no JSON: {error}", code="layout") from error
    if not isinstance(found, dict):
        raise DataError(f"{str(path)!r} is no JSON object", code="layout")
    return found
