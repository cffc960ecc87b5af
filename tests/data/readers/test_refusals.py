"""Classes that are named and have no image: counted, named, and refused above the share allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.options import ReadOptions

from .layouts import pixels, save, write


def image_folder(root: Path) -> str:
    for name in "ab":
        save(root / name / "0.png", pixels(ord(name)))
    (root / "c").mkdir()
    return str(root)


def omniglot(root: Path) -> str:
    top = root / "images_evaluation" / "Latin"
    for name in "ab":
        save(top / name / "0.png", pixels(ord(name), grey=True))
    (top / "c").mkdir()
    return f"omniglot:{root}"


def cifar_lists(root: Path) -> str:
    for name in "ab":
        save(root / "data" / name / "0.png", pixels(ord(name)))
    (root / "data" / "c").mkdir()
    write(root / "splits" / "bertinetto" / "test.txt", "abc")
    return f"cifar-fs:{root}"


def meta_dataset(root: Path) -> str:
    spec = {
        "name": "three",
        "classes_per_split": {"TRAIN": 0, "VALID": 0, "TEST": 3},
        "class_names": {"0": "a", "1": "b", "2": "c"},
    }
    image_folder(root)
    (root / "dataset_spec.json").write_text(json.dumps(spec))
    return f"meta-dataset:{root}"


@pytest.mark.parametrize("lay_out", [image_folder, omniglot, cifar_lists, meta_dataset])
def test_a_class_without_images_is_refused_by_name_and_noted_on_request(
    tmp_path: Path, lay_out: Callable[[Path], str]
) -> None:
    source = lay_out(tmp_path / "data")
    with pytest.raises(
        DataError, match=r"1 of 3 classes without images: '(Latin/)?c'; .*--max-unreadable 0\.3334"
    ) as refused:
        open_dataset(source, "test")
    assert refused.value.code == "empty-class"
    found = open_dataset(source, "test", options=ReadOptions(max_unreadable=0.3334))
    assert len(found.classes) == 2
    [note] = found.notes
    assert note.startswith("1 of 3 classes without images")


def test_a_class_whose_every_image_was_left_out_is_noted(tmp_path: Path) -> None:
    for number in range(9):
        save(tmp_path / "a" / f"{number}.png", pixels(number))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.png").write_bytes(b"")
    found = open_dataset(tmp_path, "test", options=ReadOptions(max_unreadable=0.1))
    assert found.classes == ("a",)
    assert "1 of 2 classes without images: 'b'" in found.notes
