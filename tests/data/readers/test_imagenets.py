"""mini-ImageNet and tiered-ImageNet in every layout they travel in."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.options import ReadOptions

from .layouts import MINI_SPLITS as SPLITS
from .layouts import mini_csv, pixels, png, python2, save, write


@pytest.mark.parametrize("named", ["", "mini-imagenet:"])
def test_mini_imagenet_tables_over_a_flat_folder(tmp_path: Path, named: str) -> None:
    source = f"{named}{mini_csv(tmp_path)}"
    train = open_dataset(source, "train")
    assert train.name == "mini-imagenet"
    assert train.classes == SPLITS["train"]
    assert train.shape == (3, 84, 84)
    assert train.ids[0] == "images/n0153282900000001.jpg"
    assert open_dataset(source, "validation").classes == SPLITS["val"]
    assert open_dataset(source, "val").fingerprint == open_dataset(source, "validation").fingerprint
    assert len(open_dataset(source, "all").classes) == 4
    with pytest.raises(DataError, match="it has train, val, test"):
        open_dataset(source, "far")


def test_mini_imagenet_images_of_the_original_sizes_need_a_size(tmp_path: Path) -> None:
    save(mini_csv(tmp_path) / "images" / "n0193011200000001.jpg", pixels(0, 375, 500))
    with pytest.raises(DataError, match="--image-size"):
        open_dataset(tmp_path, "test")
    found = open_dataset(tmp_path, "test", options=ReadOptions(image_size=84))
    assert found.shape == (3, 84, 84)


def test_mini_imagenet_rows_that_contradict_their_file_are_mislabelled(tmp_path: Path) -> None:
    mini_csv(tmp_path)
    write(
        tmp_path / "test.csv",
        [
            "filename,label",
            "n0193011200000001.jpg,n01930112",
            "n0185567200000001.jpg,n01930112",
            "../n0193011200000002.jpg,n01930112",
        ],
    )
    with pytest.raises(DataError, match="out of the folder"):
        open_dataset(tmp_path, "test")
    lines = (tmp_path / "test.csv").read_text().splitlines()[:3]
    write(tmp_path / "test.csv", lines)
    with pytest.raises(DataError, match=r"1 of 2 .*file of 'n01855672' listed as 'n01930112'"):
        open_dataset(tmp_path, "test")


def cache(classes: tuple[str, ...], seed: int) -> dict[str, Any]:
    images = np.stack([pixels(seed + i, 84) for i in range(3 * len(classes))])
    rows = {name: list(range(3 * c, 3 * c + 3)) for c, name in enumerate(classes)}
    return {"image_data": images, "class_dict": rows}


@pytest.mark.parametrize("writer", [pickle.dumps, python2])
@pytest.mark.parametrize("named", ["", "mini-imagenet:"])
def test_mini_imagenet_caches(tmp_path: Path, named: str, writer: Any) -> None:
    for seed, (split, classes) in enumerate(SPLITS.items()):
        raw = writer(cache(classes, 10 * seed))
        (tmp_path / f"mini-imagenet-cache-{split}.pkl").write_bytes(raw)
    source = f"{named}{tmp_path}"
    found = open_dataset(source, "validation")
    assert found.classes == SPLITS["val"]
    assert np.array_equal(found.images[2], pixels(12, 84).transpose(2, 0, 1))
    whole = open_dataset(source, "all")
    assert whole.classes == tuple(c for cs in SPLITS.values() for c in cs)
    assert whole.ids[0].startswith("train/n01532829/")
    one = open_dataset(f"mini-imagenet:{tmp_path}/mini-imagenet-cache-val.pkl", "val")
    assert one.fingerprint == found.fingerprint


def test_mini_imagenet_pickles_by_category(tmp_path: Path) -> None:
    for split in ("train_phase_train", "train_phase_val", "val", "test"):
        value = {"data": cache(("a", "b"), 0)["image_data"], "labels": [0] * 3 + [1] * 3}
        value["catname2label"] = {f"{split}-a": 0, f"{split}-b": 1}
        path = tmp_path / f"miniImageNet_category_split_{split}.pickle"
        path.write_bytes(python2(value))
    assert open_dataset(tmp_path, "train").classes == ("train_phase_train-a", "train_phase_train-b")
    assert open_dataset(tmp_path, "val").classes == ("val-a", "val-b")
    assert len(open_dataset(tmp_path, "all").classes) == 6


def test_mini_imagenet_split_folders(tmp_path: Path) -> None:
    for split, classes in SPLITS.items():
        for name in classes:
            save(tmp_path / split / name / "0.jpg", pixels(0))
    found = open_dataset(f"mini-imagenet:{tmp_path}", "validation")
    assert (found.name, found.classes) == ("mini-imagenet", SPLITS["val"])


GENERAL = [0, 0, 1, 1]
NAMES = ["Yorkshire terrier", "crane", "crane", "tusker"]


def tiered(root: Path, form: str, split: str = "val") -> Path:
    """Four classes of three images, two categories; one name is that of two classes."""
    images = [pixels(i, 84) for i in range(12)]
    if form == "npz":
        np.savez(root / f"{split}_images.npz", images=np.stack(images))
    else:
        packed = [np.frombuffer(png(image), np.uint8)[:, None] for image in images]
        (root / f"{split}_images_png.pkl").write_bytes(pickle.dumps(packed, 2))
    labels = [i // 3 for i in range(12)]
    value = {
        "label_specific": np.array(labels),
        "label_general": np.array([GENERAL[label] for label in labels]),
        "label_specific_str": NAMES,
        "label_general_str": ["dog", "animal"],
    }
    (root / f"{split}_labels.pkl").write_bytes(pickle.dumps(value, 2))
    return root


@pytest.mark.parametrize("named", ["", "tiered-imagenet:"])
@pytest.mark.parametrize("form", ["png", "npz"])
def test_tiered_imagenet_has_categories_as_groups(tmp_path: Path, form: str, named: str) -> None:
    found = open_dataset(f"{named}{tiered(tmp_path, form)}", "validation")
    assert found.name == "tiered-imagenet"
    assert dict(zip(found.classes, found.groups, strict=True)) == {
        "Yorkshire terrier": "dog",
        "crane (1)": "dog",
        "crane (2)": "animal",
        "tusker": "animal",
    }
    for row, image in enumerate(found.images):
        number = int(Path(found.ids[row]).stem)
        assert np.array_equal(image, pixels(number, 84).transpose(2, 0, 1))
        assert found.classes[found.labels[row]].startswith(NAMES[number // 3])


def test_tiered_imagenet_splits_are_joined_and_labels_alone_suffice(tmp_path: Path) -> None:
    tiered(tmp_path, "png", "train")
    tiered(tmp_path, "npz", "test")
    (tmp_path / "test_labels.pkl").write_bytes(python2({"labels": [i // 6 for i in range(12)]}))
    assert open_dataset(tmp_path, "test").classes == ("0", "1")
    assert len(open_dataset(tmp_path, "all").classes) == 6
    with pytest.raises(DataError, match="it has train, test"):
        open_dataset(tmp_path, "val")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"label_specific": [0] * 11}, "11 labels for 12|12 labels for 11"),
        ({"label_specific": [9] * 12}, "names 4 classes and uses 10"),
        ({"label_specific": [-1] * 12}, "whole numbers from 0"),
        ({"label_general": [0, 1] * 6}, "into both 'dog' and 'animal'"),
    ],
)
def test_tiered_labels_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    path = tiered(tmp_path, "png") / "val_labels.pkl"
    path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), **changed}))
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path, "val")


def test_a_tiered_image_that_is_no_png_is_named(tmp_path: Path) -> None:
    path = tiered(tmp_path, "png") / "val_images_png.pkl"
    files = pickle.loads(path.read_bytes())
    files[4] = files[4][:50]
    path.write_bytes(pickle.dumps(files))
    with pytest.raises(DataError, match=r"1 of 12 .*'crane \(1\)/000004.png'"):
        open_dataset(tmp_path, "val")
