"""Readers take what people have and refuse what is not it."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from metaprobe.data.arrays import read_arrays
from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.folders import read_image_folder

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (12, 1, 6, 6), dtype=np.uint8)
LABELS = np.repeat(np.arange(3), 4)


def picture(path: Path, mode: str = "L", size: tuple[int, int] = (6, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    Image.fromarray(RNG.integers(0, 255, shape, dtype=np.uint8)).save(path)


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_arrays_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    if suffix == "npz":
        np.savez(path, images=IMAGES, labels=LABELS, ids=np.arange(12).astype(str))
    else:
        with h5py.File(path, "w") as file:
            file["images"], file["labels"] = IMAGES, LABELS
            file["ids"] = [str(i) for i in range(12)]
    found = open_dataset(path, "all")
    assert np.array_equal(found.images, IMAGES)
    assert np.array_equal(found.labels, LABELS)
    assert found.ids.tolist() == [str(i) for i in range(12)]


def test_layouts_and_labels_people_use_are_understood(tmp_path: Path) -> None:
    last = IMAGES.transpose(0, 2, 3, 1)
    np.savez(tmp_path / "a.npz", images=np.repeat(last, 3, axis=3), labels=LABELS)
    assert read_arrays(tmp_path / "a.npz", "all").shape == (3, 6, 6)
    np.savez(tmp_path / "b.npz", images=IMAGES[:, 0] / 255.0, labels=np.array(list("aabbccddeeff")))
    found = read_arrays(tmp_path / "b.npz", "all")
    assert found.shape == (1, 6, 6)
    assert found.classes == tuple("abcdef")
    assert found.images.dtype == np.float32


def test_a_split_array_selects_rows(tmp_path: Path) -> None:
    words = np.array(["train"] * 8 + ["test"] * 4)
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, split=words)
    assert len(read_arrays(tmp_path / "a.npz", "test")) == 4
    with pytest.raises(DataError, match="test, train"):
        read_arrays(tmp_path / "a.npz", "dev")


def test_nothing_in_an_array_file_is_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "PWNED"),)

    evil = np.empty(12, object)
    evil[:] = [Bomb()] * 12
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=evil)
    with pytest.raises(DataError):
        read_arrays(tmp_path / "a.npz", "all")
    assert not (tmp_path / "PWNED").exists()


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 1, 6, 6)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"\0" * 100)
    with pytest.raises(DataError, match="more than its"):
        read_arrays(tmp_path / "a.npz", "all")


def test_a_link_out_of_an_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["images"] = IMAGES
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = h5py.ExternalLink("secret.h5", "/images")
        file["labels"] = LABELS
    with pytest.raises(DataError, match="is a link"):
        read_arrays(tmp_path / "a.h5", "all")


def test_an_hdf5_bomb_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (10**9, 1, 6, 6), "u1", chunks=(1000, 1, 6, 6))
        file["labels"] = LABELS
    with pytest.raises(DataError, match="claims"):
        read_arrays(tmp_path / "a.h5", "all")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", b"\x89HDF\r\n\x1a\nrubbish"])
@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_arrays(tmp_path / f"a.{suffix}", "all")


def test_missing_arrays_and_lengths_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES)
    with pytest.raises(DataError, match="'labels'"):
        read_arrays(tmp_path / "a.npz", "all")
    np.savez(tmp_path / "b.npz", images=IMAGES, labels=LABELS[:5])
    with pytest.raises(DataError, match="12 images"):
        read_arrays(tmp_path / "b.npz", "all")


def test_an_image_folder_is_read_in_order_with_paths_as_ids(tmp_path: Path) -> None:
    for name in ("b", "a"):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png")
    found = open_dataset(tmp_path, "all")
    assert found.classes == ("a", "b")
    assert found.ids.tolist() == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert found.shape == (1, 6, 6)


def test_split_folders_are_told_from_class_folders(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a" / "0.png", "RGB")
    picture(tmp_path / "val" / "b" / "0.png", "RGB", (9, 7))
    assert open_dataset(f"image-folder:{tmp_path}", "train").classes == ("a",)
    other = open_dataset(tmp_path, "validation")
    assert other.classes == ("b",)
    assert other.shape == (3, 7, 9)
    with pytest.raises(DataError, match="train, val"):
        open_dataset(tmp_path, "test")


def test_a_link_out_of_the_folder_and_a_broken_image_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "outside.png")
    picture(tmp_path / "data" / "a" / "0.png")
    (tmp_path / "data" / "a" / "1.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match="leads out"):
        read_image_folder(tmp_path / "data", "all")
    (tmp_path / "data" / "a" / "1.png").unlink()
    (tmp_path / "data" / "a" / "1.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match="not an image"):
        read_image_folder(tmp_path / "data", "all")


def test_unknown_sources_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="glyphs, digits"):
        open_dataset("nonsense")
    with pytest.raises(DataError, match="class/image"):
        open_dataset(tmp_path, "all")
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(f"npz:{tmp_path}/none.npz")
