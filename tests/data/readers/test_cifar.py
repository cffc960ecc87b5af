"""CIFAR-FS and FC100: class folders with split lists, and the pickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError

from .layouts import pixels, python2, save, write

SPLITS = {"train": ("apple", "bear"), "val": ("cattle",), "test": ("dolphin", "elephant")}


def cifar_fs(root: Path) -> Path:
    """The archive's layout: images by class, and the lists of Bertinetto et al."""
    for s, (split, classes) in enumerate(SPLITS.items()):
        write(root / "splits" / "bertinetto" / f"{split}.txt", classes)
        for c, name in enumerate(classes):
            for i in range(3):
                path = root / "data" / name / f"{name}_s_{i:06d}.png"
                save(path, pixels(100 * s + 10 * c + i, 32))
    return root


@pytest.mark.parametrize("above", ["", "cifar100"])
@pytest.mark.parametrize("named", ["", "cifar-fs:"])
def test_class_folders_with_split_lists(tmp_path: Path, named: str, above: str) -> None:
    cifar_fs(tmp_path / above)
    found = open_dataset(f"{named}{tmp_path}", "validation")
    assert found.name == "cifar-fs"
    assert found.classes == ("cattle",)
    assert found.shape == (3, 32, 32)
    assert found.ids[1] == "data/cattle/cattle_s_000001.png"
    assert np.array_equal(found.images[1], pixels(101, 32).transpose(2, 0, 1))
    assert open_dataset(tmp_path, "test").classes == SPLITS["test"]
    assert len(open_dataset(tmp_path, "all").classes) == 5


def test_a_listed_class_without_a_folder_is_named(tmp_path: Path) -> None:
    write(cifar_fs(tmp_path) / "splits" / "bertinetto" / "val.txt", ["cattle", "../secret"])
    with pytest.raises(DataError, match=r"'../secret'"):
        open_dataset(tmp_path, "val")


def test_two_sets_of_split_lists_are_ambiguous(tmp_path: Path) -> None:
    write(cifar_fs(tmp_path) / "splits" / "other" / "train.txt", ["apple"])
    with pytest.raises(DataError, match="bertinetto, other"):
        open_dataset(f"cifar-fs:{tmp_path}", "train")


@pytest.mark.parametrize(("form", "stem"), [("cifar-fs", "CIFAR_FS"), ("fc100", "FC100")])
@pytest.mark.parametrize("named", [True, False])
def test_the_pickles(tmp_path: Path, form: str, stem: str, named: bool) -> None:
    for s, split in enumerate(SPLITS):
        images = np.stack([pixels(10 * s + i, 32) for i in range(6)])
        value = {"data": images, "labels": [20 * s + i // 3 for i in range(6)]}
        (tmp_path / f"{stem}_{split}.pickle").write_bytes(python2(value))
    source = f"{form}:{tmp_path}" if named else str(tmp_path)
    found = open_dataset(source, "test")
    assert (found.name, found.classes) == (form, ("40", "41"))
    assert np.array_equal(found.images[5], pixels(25, 32).transpose(2, 0, 1))
    assert len(open_dataset(source, "all").classes) == 6


def test_fc100_split_folders_need_their_name(tmp_path: Path) -> None:
    save(tmp_path / "train" / "apple" / "0.png", pixels(0, 32))
    assert open_dataset(f"fc100:{tmp_path}", "train").name == "fc100"
    assert open_dataset(tmp_path, "train").name == tmp_path.name
