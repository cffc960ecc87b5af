"""CUB-200-2011: its own lists, and the few-shot lists beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.options import ReadOptions

from .layouts import pixels, save, write

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")


def cub(root: Path) -> Path:
    """Three birds of four images each; the first two of each are training images."""
    home = root / "CUB_200_2011"
    files = [f"{b}/{b[4:]}_{i:04d}_{796111 + i}.jpg" for b in BIRDS for i in range(4)]
    for n, file in enumerate(files):
        save(home / "images" / file, pixels(n, 20, 25))
    write(home / "images.txt", (f"{n} {file}" for n, file in enumerate(files, 1)))
    write(home / "image_class_labels.txt", (f"{n} {(n - 1) // 4 + 1}" for n in range(1, 13)))
    write(home / "classes.txt", (f"{n} {bird}" for n, bird in enumerate(BIRDS, 1)))
    write(home / "train_test_split.txt", (f"{n} {int((n - 1) % 4 < 2)}" for n in range(1, 13)))
    return home


def chen(home: Path, split: str, birds: tuple[str, ...]) -> dict[str, Any]:
    """A list as CloserLookFewShot writes it: paths of the machine that wrote it."""
    files = [(b, p.name) for b in birds for p in sorted((home / "images" / b).iterdir())]
    value = {
        "label_names": list(BIRDS),
        "image_names": [
            f"/home/someone/filelists/CUB/CUB_200_2011/images/{b}/{f}" for b, f in files
        ],
        "image_labels": [BIRDS.index(b) for b, _ in files],
    }
    (home.parent / f"{split}.json").write_text(json.dumps(value))
    return value


@pytest.mark.parametrize("named", ["", "cub:"])
def test_its_own_split_divides_the_images(tmp_path: Path, named: str) -> None:
    cub(tmp_path)
    for place in (tmp_path, tmp_path / "CUB_200_2011"):
        train, test = (open_dataset(f"{named}{place}", s) for s in ("train", "test"))
        assert train.classes == test.classes == BIRDS
        assert len(train) == len(test) == 6
        assert not set(train.ids) & set(test.ids)
        assert train.shape == (3, 20, 25)
        assert len(open_dataset(f"{named}{place}", "all")) == 12


def test_lists_of_chen_divide_the_classes(tmp_path: Path) -> None:
    home = cub(tmp_path)
    for split, bird in zip(("base", "val", "novel"), BIRDS, strict=True):
        chen(home, split, (bird,))
    for split, bird in zip(("train", "validation", "test"), BIRDS, strict=True):
        found = open_dataset(tmp_path, split)
        assert found.classes == (bird,)
        assert len(found) == 4
    assert open_dataset(tmp_path, "novel").fingerprint == open_dataset(tmp_path, "test").fingerprint
    assert len(open_dataset(tmp_path, "official-test").classes) == 3


def test_split_tables_divide_the_classes(tmp_path: Path) -> None:
    home = cub(tmp_path)
    for split, bird in zip(("train", "val", "test"), BIRDS, strict=True):
        files = sorted((home / "images" / bird).iterdir())
        write(
            home / "split" / f"{split}.csv",
            ["filename,label", *(f"{p.name},{bird}" for p in files)],
        )
    found = open_dataset(f"cub:{tmp_path}", "val")
    assert found.classes == (BIRDS[1],)
    assert found.ids[0].startswith(f"images/{BIRDS[1]}/")


def test_lists_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    home = cub(tmp_path)
    labels = (home / "image_class_labels.txt").read_text().splitlines()
    write(home / "image_class_labels.txt", ["1 2", *labels[1:-2], "12 7"])
    with pytest.raises(DataError, match=r"3 of 12 .*labelled '002.Laysan.*no label.*no name"):
        open_dataset(tmp_path, "all", options=ReadOptions(max_unreadable=0.1))
    assert len(open_dataset(tmp_path, "all", options=ReadOptions(max_unreadable=0.25))) == 9


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "x/../../../secret.jpg"])
def test_lists_may_not_lead_out(tmp_path: Path, path: str) -> None:
    home = cub(tmp_path)
    write(home / "images.txt", [f"1 {path}"])
    with pytest.raises(DataError, match="out of the folder"):
        open_dataset(tmp_path, "all")
    value = chen(home, "base", BIRDS[:1])
    value["image_names"][0] = f"/x/images/../{path}"
    (tmp_path / "base.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="out of the folder"):
        open_dataset(tmp_path, "train")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"label_names": [], "image_names": ["a"], "image_labels": []}',
     '{"label_names": ["a"], "image_names": ["a"], "image_labels": [true]}', "[" * 100_000],
)  # fmt: skip
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    cub(tmp_path)
    (tmp_path / "base.json").write_text(text)
    with pytest.raises(DataError, match=r"label_names, image_names and image_labels"):
        open_dataset(tmp_path, "train")
