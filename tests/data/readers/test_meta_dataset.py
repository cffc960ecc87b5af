"""Meta-Dataset: its three kinds of specification, its records, and class folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.tfrecord import masked_crc, read_records

from .layouts import pixels, png, save

NAMES = ["Tram", "Bus", "Taxi", "Bike"]


def field(number: int, content: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def example(image: bytes, label: int | None) -> bytes:
    """A `tf.train.Example` of an image and a label."""
    entries = field(1, field(1, b"image") + field(2, field(1, field(1, image))))
    if label is not None:
        entries += field(1, field(1, b"label") + field(2, field(3, field(1, varint(label)))))
    return field(1, entries)


def record(content: bytes) -> bytes:
    size = len(content).to_bytes(8, "little")
    checks = [masked_crc(raw).to_bytes(4, "little") for raw in (size, content)]
    return size + checks[0] + content + checks[1]


def specification(**changes: Any) -> dict[str, Any]:
    return {
        "__class__": "DatasetSpecification",
        "name": "traffic",
        "classes_per_split": {"TRAIN": 2, "VALID": 1, "TEST": 1},
        "images_per_class": {str(n): 3 for n in range(4)},
        "class_names": {str(n): name for n, name in enumerate(NAMES)},
        "path": "/somewhere/else",
        "file_pattern": "{}.tfrecords",
        **changes,
    }


def source(root: Path, spec: dict[str, Any], form: str) -> Path:
    (root / "dataset_spec.json").write_text(json.dumps(spec))
    for n, name in enumerate(NAMES):
        images = [pixels(10 * n + i) for i in range(3)]
        if form == "records":
            raw = b"".join(record(example(png(image), n)) for image in images)
            (root / f"{n}.tfrecords").write_bytes(raw)
        else:
            for i, image in enumerate(images):
                save(root / (name if form == "names" else str(n)) / f"{i}.png", image)
    return root


@pytest.mark.parametrize("form", ["records", "names", "numbers"])
@pytest.mark.parametrize("named", ["", "meta-dataset:"])
def test_records_and_folders_give_the_same_images(tmp_path: Path, form: str, named: str) -> None:
    where = f"{named}{source(tmp_path, specification(), form)}"
    train = open_dataset(where, "train")
    assert train.name == "traffic"
    assert set(train.classes) == {"Tram", "Bus"}
    rows = train.rows_by_class[train.classes.index("Bus")]
    assert np.array_equal(train.images[rows[2]], pixels(12).transpose(2, 0, 1))
    assert open_dataset(where, "validation").classes == ("Taxi",)
    assert open_dataset(where, "valid").classes == ("Taxi",)
    assert len(open_dataset(where, "all")) == 12


def test_superclasses_are_groups_and_are_counted_for_the_splits(tmp_path: Path) -> None:
    spec = specification(
        __class__="BiLevelDatasetSpecification",
        superclasses_per_split={"TRAIN": 1, "VALID": 0, "TEST": 1},
        classes_per_superclass={"0": 3, "1": 1},
        superclass_names={"0": "motor", "1": "muscle"},
    )
    where = source(tmp_path, spec, "records")
    train = open_dataset(where, "train")
    assert set(train.classes) == {"Tram", "Bus", "Taxi"}
    assert set(train.groups) == {"motor"}
    assert open_dataset(where, "test").groups == ("muscle",)
    with pytest.raises(DataError, match="it has train, test"):
        open_dataset(where, "validation")


def test_imagenet_lists_the_leaves_of_each_split(tmp_path: Path) -> None:
    spec = {
        "__class__": "HierarchicalDatasetSpecification",
        "name": "ilsvrc_2012",
        "class_names_to_ids": {name: n for n, name in enumerate(NAMES)},
        "images_per_class": {
            "TRAIN": {"Bus": 3, "Taxi": 3, "vehicle": 6},
            "VALID": {"Tram": 3},
            "TEST": {"Bike": 3},
        },
        "split_subgraphs": {},
    }
    where = source(tmp_path, spec, "records")
    assert set(open_dataset(where, "train").classes) == {"Bus", "Taxi"}
    assert open_dataset(where, "test").classes == ("Bike",)


def test_a_folder_that_lacks_images_or_a_class_is_incomplete(tmp_path: Path) -> None:
    source(tmp_path, specification(), "names")
    (tmp_path / "Taxi" / "2.png").unlink()
    with pytest.raises(DataError, match=r"'Taxi' .* has 2 images .* says 3"):
        open_dataset(tmp_path, "validation")
    source(
        tmp_path, specification(class_names={"0": "Tram", "1": "x", "2": "y", "3": "../z"}), "names"
    )
    with pytest.raises(DataError, match=r"folder '../z' for class 3"):
        open_dataset(tmp_path, "test")


def test_a_record_of_another_class_is_mislabelled(tmp_path: Path) -> None:
    source(tmp_path, specification(), "records")
    raw = b"".join(record(example(png(pixels(i)), label)) for i, label in enumerate([3, 3, 1]))
    (tmp_path / "3.tfrecords").write_bytes(raw)
    with pytest.raises(DataError, match=r"'3/000002' \(record of class 1 in the file of class 3"):
        open_dataset(tmp_path, "test")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"__class__": "Other"}, "kind 'Other'"),
        ({"classes_per_split": {"TRAIN": 5}}, "class 4 has no name"),
        ({"classes_per_split": {"TRAIN": -1}}, "-1 is no count"),
        ({"classes_per_split": {"TRAIN": 10**9}}, "is no count"),
        ({"class_names": {str(n): "same" for n in range(4)}}, "one name"),
        ({"class_names": []}, "no specification"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    source(tmp_path, specification(**changes), "names")
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path, "train")


WHOLE = record(example(png(pixels(0)), 0)) + record(example(png(pixels(1)), None))


def test_records_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "0.tfrecords"
    path.write_bytes(WHOLE)
    assert list(read_records(path)) == [(png(pixels(0)), 0), (png(pixels(1)), None)]


@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_record_gives_bytes_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int, cut: bool
) -> None:
    raw = bytearray(WHOLE[:at] if cut else WHOLE)
    if not cut:
        raw[at] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "damaged.tfrecords"
    path.write_bytes(bytes(raw))
    try:
        found = list(read_records(path))
    except DataError:
        return
    assert all(isinstance(image, bytes) for image, _ in found)
