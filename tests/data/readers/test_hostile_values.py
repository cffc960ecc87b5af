"""Short files that ask for long work or much memory: refused at once, by a sentence."""

from __future__ import annotations

import os
import pickle
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers import pickles
from metaprobe.data.readers.plain_values import plain_text, whole_numbers

from .layouts import pixels, png, save, write

IMAGES = np.stack([pixels(i) for i in range(4)])


def refused(path: Path, words: str, *, seconds: float = 5, memory: int = 64 * 2**20) -> None:
    """The file ends in a sentence, soon and small."""
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words):
            open_dataset(path, "test")
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 6 * seconds  # tracing memory is slow


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_r01_postscript_in_an_image_file_starts_no_ghostscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "PWNED"
    program = write(tmp_path / "bin" / "gs", ["#!/bin/sh", f"touch {marker}", "exit 1"])
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # it is looked for once
    for number in range(3):
        save(tmp_path / "data" / "a" / f"{number}.png", pixels(number))
    bad = tmp_path / "data" / "a" / "3.png"
    bad.write_bytes(EPS)
    refused(tmp_path / "data", r"1 of 4 .*'a/3.png' \(not an image\)")
    assert not marker.exists()
    with pytest.raises(Exception, match="gs"), Image.open(bad) as image:
        image.load()
    assert marker.exists()  # the control: Pillow, left to itself, does start it


@pytest.mark.parametrize("place", ["image", "class"])
def test_a_name_that_is_no_text_is_refused_by_name(tmp_path: Path, place: str) -> None:
    raw = os.fsencode(tmp_path) + (b"/a\xff" if place == "class" else b"/a")
    os.mkdir(raw)
    with open(raw + (b"/0.png" if place == "class" else b"/\xe9.png"), "wb") as file:
        file.write(png(pixels(0)))
    refused(tmp_path, r"\\udc(ff|e9).*not UTF-8; rename")


def test_arrays_with_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for words in (np.array([b"\xff", b"b"] * 2), np.array(["\ud800", "b"] * 2)):
        np.savez(tmp_path / "a.npz", images=IMAGES, labels=words)
        refused(tmp_path / "a.npz", "not UTF-8")


def test_arrays_say_what_is_wrong_with_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.full(4, np.nan))
    refused(tmp_path / "a.npz", "float64 labels; whole numbers or text")
    np.savez(tmp_path / "a.npz", images=IMAGES.astype(object), labels=np.arange(4))
    refused(tmp_path / "a.npz", "'images' .* holds Python objects")
    words = np.array(["train", "validation"] * 2)
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.arange(4), split=words)
    assert open_dataset(tmp_path / "a.npz", "val").labels.tolist() == [0, 1]


def shared_bytes(arrays: int, images: int) -> bytes:
    """A list of arrays that a pickle gives the same bytes, kept in its memo."""
    content = bytes(images * 84 * 84 * 3)
    make = b"h\x02h\x03K\x00\x85C\x01b\x87R(K\x01("
    make += b"".join(b"M" + struct.pack("<H", n) for n in (images, 84, 84, 3))
    make += b"th\x04\x89h\x01tb"
    return (
        b"\x80\x04}(\x8c\x04data](B" + struct.pack("<I", len(content)) + content + b"q\x010"
        b"cnumpy.core.multiarray\n_reconstruct\nq\x020cnumpy\nndarray\nq\x030"
        b"cnumpy\ndtype\n\x8c\x02u1\x85Rq\x040" + make * arrays + b"e\x8c\x06labels]u."
    )  # fmt: skip


def test_bytes_that_many_arrays_share_are_counted_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(shared_bytes(arrays=4000, images=10))
    refused(path, "many times its own size", memory=256 * 2**20)
    path.write_bytes(shared_bytes(arrays=2, images=10))  # the control: two of them are read
    with pytest.raises(DataError, match="shape"):
        open_dataset(path)


def test_one_array_listed_many_times_is_counted_each_time(tmp_path: Path) -> None:
    one = np.zeros((84, 84, 3), np.uint8)
    value = {"data": [one] * 4000, "labels": [0] * 4000}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    refused(tmp_path / "a.pkl", "same few over and over")
    (tmp_path / "val_images_png.pkl").write_bytes(pickle.dumps([png(pixels(0))] * 4000))
    labels = pickle.dumps({"labels": np.zeros(4000, int)})
    (tmp_path / "val_labels.pkl").write_bytes(labels)
    with pytest.raises(DataError, match="same few over and over"):
        open_dataset(f"tiered-imagenet:{tmp_path}", "val")


def laughs() -> list[Any]:
    """Sixty lists, each twice in the next: flat in memory, and endless when spelt out."""
    inner: list[Any] = [0]
    for _ in range(60):
        inner = [inner, inner]
    return inner


@pytest.mark.parametrize(
    "value",
    [
        {"data": IMAGES, "labels": laughs()},
        {"data": IMAGES, "labels": ["a", "b", "c", laughs()]},
        {"data": IMAGES, "labels": [0] * 4, "catname2label": {"a": laughs()}},
        {"data": IMAGES, "labels": [0, 0, 0, 10**5000]},
        {"data": IMAGES, "labels": [0] * 4, "catname2label": {"a": 10**5000}},
        {"image_data": IMAGES, "class_dict": {"a": laughs()}},
    ],
)
def test_values_that_are_endless_when_spelt_out_are_refused(tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    refused(tmp_path / "a.pkl", "whole numbers|name is needed|damaged")


@pytest.mark.parametrize(
    "changed",
    [{"label_specific": laughs()}, {"label_specific_str": ["a", laughs()]}, {"label_specific": [2**40, 0]}],
)  # fmt: skip
def test_tiered_labels_that_are_endless_are_refused(tmp_path: Path, changed: Any) -> None:
    labels = {"label_specific": [0, 1], "label_specific_str": ["a", "b"], **changed}
    (tmp_path / "val_labels.pkl").write_bytes(pickle.dumps(labels))
    files = [png(pixels(i)) for i in range(2)]
    (tmp_path / "val_images_png.pkl").write_bytes(pickle.dumps(files))
    with pytest.raises(DataError, match=r"whole numbers|name is needed"):
        open_dataset(f"tiered-imagenet:{tmp_path}", "val")


def test_a_pickle_of_instructions_and_no_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02}" + b"K\x01K\x02s" * 4_000 + b".")
    with pytest.raises(DataError, match="pickled dictionary"):
        open_dataset(path)
    monkeypatch.setattr(pickles, "MOST_STEPS", 10_000)
    refused(path, "more than 10,200 instructions")


def test_labels_below_zero_and_classes_without_images_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"data": IMAGES, "labels": [0, -1, 0, 1]}))
    refused(path, r"1 of 4 .*'image 1' \(label -1 is below 0\)")
    rows = {"a": [0, 1], "b": [2, 3], "c": []}
    path.write_bytes(pickle.dumps({"image_data": IMAGES, "class_dict": rows}))
    refused(path, "1 of 3 classes without images: 'c'; .*--max-unreadable 0.3334")
    names = {"a": 0, "b": 1, "elsewhere": 2}
    value: dict[str, Any] = {"data": IMAGES, "labels": [0, 0, 1, 1], "catname2label": names}
    path.write_bytes(pickle.dumps(value))
    assert open_dataset(path).notes == ("1 of 3 classes without images: 'elsewhere'",)


def test_names_and_numbers_are_plain() -> None:
    assert whole_numbers(np.array([1, 2], np.uint8), "it") == [1, 2]
    assert plain_text(np.int64(3), "it") == "3"
    odd: tuple[Any, ...] = (None, [], True, 1.5, 2**64)
    for value in odd:
        with pytest.raises(DataError):
            plain_text(value, "it")
        with pytest.raises(DataError):
            whole_numbers([value], "it")
