"""Meta-Dataset (Triantafillou et al. 2020): one folder a source, described by ``dataset_spec.json``.

    dataset_spec.json  +  0.tfrecords, 1.tfrecords, …   a class each, as its converter writes them
    dataset_spec.json  +  folders named by class, or by its number, of image files

The specification gives a number to each class and says how many belong to TRAIN,
VALID and TEST, in that order; with superclasses (Omniglot's alphabets) those are
counted, and they are the groups. For ImageNet it lists the WordNet ids of each split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..images import LabelledImages
from .options import DEFAULT, ReadOptions
from .paths import choose_split, folder, image_files, inside, read_text
from .pictures import Listing, Picture, read_pictures
from .tfrecord import read_records

SPLITS = {"train": "TRAIN", "validation": "VALID", "test": "TEST"}


@dataclass(frozen=True)
class Specification:
    """What ``dataset_spec.json`` says.

    Args:
        name: Name of the source.
        classes: Name of each class by its number.
        splits: Numbers of the classes of each split.
        groups: Superclass of a class, where there are any.
        counts: Images of a class, where they are counted.
    """

    name: str
    classes: dict[int, str]
    splits: dict[str, list[int]]
    groups: dict[int, str]
    counts: dict[int, int]


def read_meta_dataset(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of one source of Meta-Dataset.

    Args:
        path: The source's folder.
        split: ``train``, ``valid`` (also ``validation``), ``test`` or ``all``.
        options: How images are read.

    Raises:
        DataError: If the specification is missing or makes no sense, or images differ from it.
    """
    root = folder(path, "meta-dataset")
    spec = read_specification(root / "dataset_spec.json")
    there = {word: spec.splits[name] for word, name in SPLITS.items() if spec.splits.get(name)}
    words = list(there) if split == "all" else [choose_split(split, there, str(path))]
    pictures: list[Picture] = []
    groups: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for number in (n for word in words for n in there[word]):
        name = spec.classes[number]
        found = list(_class(root, number, name, wrong))
        expected = spec.counts.get(number, len(found))
        if len(found) != expected:
            raise DataError(
                f"class {name!r} of {str(path)!r} has {len(found)} images and dataset_spec.json "
                f"says {expected}; the folder is incomplete",
                code="count",
            )
        pictures += found
        groups[name] = spec.groups.get(number, "all")
    listing = Listing(spec.name, split, str(path), pictures, groups, wrong, classes=groups)
    return read_pictures(listing, options)


def is_meta_dataset(root: Path) -> bool:
    """Whether a folder has a ``dataset_spec.json``."""
    return (root / "dataset_spec.json").is_file()


def _class(root: Path, number: int, name: str, wrong: dict[str, str]) -> Iterator[Picture]:
    """Images of a class, from its records or its folder."""
    records = root / f"{number}.tfrecords"
    if records.is_file():
        for row, (raw, label) in enumerate(read_records(inside(root, records.name))):
            id_ = f"{number}/{row:06d}"
            if label is not None and label != number:
                wrong[id_] = f"record of class {label} in the file of class {number}"
            yield Picture(id_, name, raw)
        return
    place = next((root / p for p in (name, str(number)) if _is_folder(root, p)), None)
    if place is None:
        raise DataError(
            f"{str(root)!r} has neither {number}.tfrecords nor a folder {name!r} for class {number}",
            code="missing-class",
        )
    for path in image_files(place):
        id_ = path.relative_to(root).as_posix()
        yield Picture(id_, name, inside(root, id_))


def _is_folder(root: Path, name: str) -> bool:
    try:
        return inside(root, name).is_dir()
    except DataError:
        return False


def read_specification(path: Path) -> Specification:
    """A specification, in any of its three kinds.

    Raises:
        DataError: If it is none of them or contradicts itself.
    """
    try:
        given = json.loads(read_text(path))
        kind = given.get("__class__", "DatasetSpecification")
        make = {
            "DatasetSpecification": _plain,
            "BiLevelDatasetSpecification": _two_levels,
            "HierarchicalDatasetSpecification": _hierarchy,
        }.get(kind)
        if make is None:
            raise ValueError(f"kind {kind!r}")
        spec = make(given)
        missing = {n for ns in spec.splits.values() for n in ns} - set(spec.classes)
        if missing:
            raise ValueError(f"class {min(missing)} has no name")
        if len(set(spec.classes.values())) < len(spec.classes):
            raise ValueError("two classes have one name")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{str(path)!r} is no specification of Meta-Dataset: {error}", code="layout"
        ) from error
    return spec


def _plain(given: dict[str, Any]) -> Specification:
    counts = {split: _count(n) for split, n in given["classes_per_split"].items()}
    return Specification(
        str(given["name"]), _names(given["class_names"]), _ranges(counts), {}, _counts(given)
    )


def _two_levels(given: dict[str, Any]) -> Specification:
    """Classes are numbered superclass by superclass."""
    classes = _names(given["class_names"])
    above = _names(given["superclass_names"])
    sizes = {int(k): _count(n) for k, n in given["classes_per_superclass"].items()}
    supers = _ranges({s: _count(n) for s, n in given["superclasses_per_split"].items()})
    groups: dict[int, str] = {}
    members: dict[int, list[int]] = {}
    start = 0
    for number in sorted(sizes):
        members[number] = list(range(start, start + sizes[number]))
        groups |= dict.fromkeys(members[number], above[number])
        start += sizes[number]
    splits = {s: [c for n in numbers for c in members[n]] for s, numbers in supers.items()}
    return Specification(str(given["name"]), classes, splits, groups, _counts(given))


def _hierarchy(given: dict[str, Any]) -> Specification:
    """ImageNet: the leaves of a split are the WordNet ids that have a number."""
    numbers = {str(name): _count(n) for name, n in given["class_names_to_ids"].items()}
    images = given["images_per_class"]
    splits = {s: sorted(numbers[w] for w in ws if w in numbers) for s, ws in images.items()}
    counts = {
        numbers[w]: _count(n) for ws in images.values() for w, n in ws.items() if w in numbers
    }
    classes = {n: name for name, n in numbers.items()}
    return Specification(str(given["name"]), classes, splits, {}, counts)


def _ranges(counts: dict[str, int]) -> dict[str, list[int]]:
    """Numbers of each split, which follow on each other in the order of `SPLITS`."""
    found: dict[str, list[int]] = {}
    start = 0
    for name in SPLITS.values():
        found[name] = list(range(start, start + counts.get(name, 0)))
        start += counts.get(name, 0)
    return found


def _names(given: dict[str, Any]) -> dict[int, str]:
    return {int(number): str(name) for number, name in given.items()}


def _counts(given: dict[str, Any]) -> dict[int, int]:
    """Images by class; those of pools are added up."""
    return {
        int(number): sum(map(_count, n.values())) if isinstance(n, dict) else _count(n)
        for number, n in given.get("images_per_class", {}).items()
    }


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 10**7:
        raise ValueError(f"{value!r} is no count")
    return value
