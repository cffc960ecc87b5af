"""A bare folder is recognised where its layout is unmistakable, and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.formats import FORMATS, recognise

from .layouts import pixels, save, write


def test_the_names_that_people_are_promised_are_there() -> None:
    promised = {
        "mini-imagenet", "tiered-imagenet", "omniglot", "cifar-fs", "fc100", "cub", "meta-dataset",
        "hf-datasets", "table", "image-folder", "npz", "h5",
    }  # fmt: skip
    assert promised <= set(FORMATS)


def test_two_layouts_in_one_folder_are_an_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "images_background").mkdir()
    write(tmp_path / "dataset_spec.json", ["{}"])
    with pytest.raises(DataError, match="omniglot or meta-dataset; say which, as in omniglot:"):
        recognise(tmp_path)


def test_anything_else_is_an_image_folder(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a" / "0.png", pixels(0))
    assert recognise(tmp_path) == "image-folder"
    assert open_dataset(tmp_path / "images", "all").classes == ("a",)


@pytest.mark.parametrize("form", [f for f in FORMATS if not FORMATS[f].suffixes])
def test_a_folder_that_is_not_there_or_empty_is_refused_in_words(tmp_path: Path, form: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(f"{form}:{tmp_path}/nowhere", "train")
    with pytest.raises(DataError):
        open_dataset(f"{form}:{tmp_path}", "train")


@pytest.mark.parametrize("form", ["npz", "h5", "pickle", "table"])
def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path, form: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(f"{form}:{tmp_path}/nowhere.x", "train")


def test_a_hidden_folder_is_no_class(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", pixels(0))
    save(tmp_path / ".cache" / "0.png", pixels(0))
    save(tmp_path / "a" / "._0.png", pixels(0))
    assert open_dataset(tmp_path, "all").ids.tolist() == ["a/0.png"]
