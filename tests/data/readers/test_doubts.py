"""Oddities are told and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError

from .layouts import pixels, save


def test_the_same_pixels_under_two_labels_are_told(tmp_path: Path) -> None:
    for i, (name, seed) in enumerate([("a", 0), ("a", 1), ("b", 2), ("b", 1), ("a", 0)]):
        save(tmp_path / name / f"{i}.png", pixels(seed))
    found = open_dataset(tmp_path, "all")
    assert len(found) == 5
    assert found.notes == (
        "1 images have the pixels of one in another class: 'b/3.png' ('b') those of 'a/1.png' ('a')",
    )


def test_a_single_class_is_told(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", pixels(0))
    assert open_dataset(tmp_path, "all").notes == (
        "there is one class, 'a', so no task can be drawn",
    )


@pytest.mark.parametrize("name", ["images.tar", "images.TGZ", "images.zip"])
def test_an_archive_is_not_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(DataError, match="is an archive; unpack it"):
        open_dataset(tmp_path / name)
