"""A class in two splits is a leak where splits divide the classes, and a note elsewhere."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.shared import refuse_shared, shared_note

from .layouts import pixels, save, write

Classes = dict[str, tuple[str, ...]]
APART: Classes = {
    "train": ("n01532829", "n01558993"),
    "val": ("n01855672",),
    "test": ("n01930112",),
}
LEAKING: Classes = {**APART, "test": ("n01930112", "n01558993")}


def mini_tables(root: Path, classes: Classes) -> str:
    for split, names in classes.items():
        for name in names:
            save(root / "images" / f"{name}00000001.jpg", pixels(0))
        write(root / f"{split}.csv", ["filename,label", *(f"{n}00000001.jpg,{n}" for n in names)])
    return f"mini-imagenet:{root}"


def mini_folders(root: Path, classes: Classes) -> str:
    for split, names in classes.items():
        for name in names:
            save(root / split / name / "0.jpg", pixels(0))
    return f"mini-imagenet:{root}"


def cifar_lists(root: Path, classes: Classes) -> str:
    for split, names in classes.items():
        for name in names:
            save(root / "data" / name / "0.png", pixels(0, 32))
        write(root / "splits" / "bertinetto" / f"{split}.txt", names)
    return f"cifar-fs:{root}"


def cub_lists(root: Path, classes: Classes) -> str:
    every = sorted({name for names in classes.values() for name in names})
    for split, names in classes.items():
        files = [str(save(root / "images" / name / "0.jpg", pixels(0))) for name in names]
        labels = [every.index(name) for name in names]
        listed = {"label_names": every, "image_names": files, "image_labels": labels}
        (root / f"{split}.json").write_text(json.dumps(listed))
    return f"cub:{root}"


def cub_tables(root: Path, classes: Classes) -> str:
    mini_tables(root, classes)
    return f"cub:{root}"


DIVIDED = (mini_tables, mini_folders, cifar_lists, cub_lists, cub_tables)


@pytest.mark.parametrize("lay_out", DIVIDED)
def test_a_class_in_two_splits_of_a_benchmark_is_refused_whichever_is_asked(
    tmp_path: Path, lay_out: Callable[[Path, Classes], str]
) -> None:
    good = lay_out(tmp_path / "good", APART)
    seen: set[str] = set()
    for split, names in APART.items():
        assert open_dataset(good, split).classes == names
        assert not seen & set(names)
        seen |= set(names)
    leaking = lay_out(tmp_path / "leaking", LEAKING)
    for split in APART:
        with pytest.raises(DataError, match=r"1 classes both in train and in test.*'n01558993'"):
            open_dataset(leaking, split)


@pytest.mark.parametrize(
    ("name", "named"),
    [("CIFAR_FS_{}.pickle", "cifar-fs"), ("mini-imagenet-cache-{}.pkl", "mini-imagenet")],
)
def test_pickles_whose_classes_are_numbered_alike_are_not_joined(
    tmp_path: Path, name: str, named: str
) -> None:
    images = np.stack([pixels(i) for i in range(4)])
    layouts = {
        "cifar-fs": {"data": images, "labels": [0, 0, 1, 1]},
        "mini-imagenet": {"image_data": images, "class_dict": {"a": [0, 1], "b": [2, 3]}},
    }
    for split in APART:
        (tmp_path / name.format(split)).write_bytes(pickle.dumps(layouts[named]))
    assert len(open_dataset(tmp_path, "test").classes) == 2
    with pytest.raises(DataError, match=f"{named}.* 2 classes both in train and in val"):
        open_dataset(tmp_path, "all")


def test_ordinary_data_may_share_classes_and_says_so(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate("ab"):
            save(tmp_path / "folder" / split / name / "0.png", pixels(number))
    found = open_dataset(tmp_path / "folder", "test")
    assert found.notes == ("2 of 2 classes are in split 'train' too",)
    rows = ["0.png,a,train", "1.png,b,test", "2.png,a,test"]
    for i in range(3):
        save(tmp_path / f"{i}.png", pixels(i))
    table = write(tmp_path / "list.csv", ["path,label,split", *rows])
    assert open_dataset(table, "test").notes == ("1 of 2 classes are in split 'train' too",)
    assert open_dataset(table, "train").notes[0] == "1 of 1 classes are in split 'test' too"


def test_two_names_of_one_split_and_unions_of_splits_are_no_leak() -> None:
    refuse_shared({"train": "ab", "base": "ab", "trainval": "abc", "val": "c"}, "it")
    assert shared_note("ab", {"train": "c"}) == []
