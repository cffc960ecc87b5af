"""Pickled benchmarks: both layouts, whoever wrote them, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.options import ReadOptions

from .layouts import pixels, python2

IMAGES = np.stack([pixels(i) for i in range(20)])
ROWS = {f"n{c:08d}": list(range(5 * c, 5 * c + 5)) for c in range(4)}
LABELS = [row // 5 for row in range(20)]
NAMES = {name: c for c, name in enumerate(ROWS)}

WRITERS: dict[str, Callable[[Any], bytes]] = {
    "protocol 0": lambda value: pickle.dumps(value, 0),
    "protocol 2": lambda value: pickle.dumps(value, 2),
    "protocol 4": lambda value: pickle.dumps(value, 4),
    "protocol 5": lambda value: pickle.dumps(value, 5),
    "python 2": python2,
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "class_dict": {"image_data": IMAGES, "class_dict": ROWS},
    "labels and names": {"data": IMAGES, "labels": LABELS, "catname2label": NAMES},
    "labels as an array": {"data": IMAGES, "labels": np.array(LABELS)},
    "a list of images": {"data": list(IMAGES), "labels": LABELS},
}


def check(found: Any) -> None:
    assert len(found.classes) == 4
    assert found.labels.tolist() == LABELS
    assert np.array_equal(found.images, IMAGES.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_whoever_wrote_it(tmp_path: Path, layout: str, writer: str) -> None:
    path = tmp_path / "some.pkl"
    path.write_bytes(WRITERS[writer](LAYOUTS[layout]))
    found = open_dataset(path, "test")
    check(found)
    if layout in ("class_dict", "labels and names"):
        assert found.classes == tuple(ROWS)


def test_python_two_is_imitated_faithfully() -> None:
    back = pickle.loads(python2(LAYOUTS["class_dict"]), encoding="latin1")
    assert back["class_dict"] == ROWS
    assert np.array_equal(back["image_data"], IMAGES)


def test_keys_in_bytes_are_keys(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({b"data": IMAGES, b"labels": LABELS}))
    check(open_dataset(tmp_path / "a.pkl", "all"))


def test_rows_as_cifar_keeps_them_are_images(tmp_path: Path) -> None:
    images = np.stack([pixels(i, 32) for i in range(4)])
    flat = images.transpose(0, 3, 1, 2).reshape(4, -1)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"data": flat, "labels": [0, 0, 1, 1]}))
    assert np.array_equal(open_dataset(tmp_path / "a.pkl").images, images.transpose(0, 3, 1, 2))


def test_nothing_that_a_pickle_names_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "PWNED"),)

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({**LAYOUTS["class_dict"], "x": Evil()}))
    with pytest.raises(DataError, match=r"mkdir.*refused"):
        open_dataset(path)
    assert not (tmp_path / "PWNED").exists()
    pickle.loads(path.read_bytes())  # the control: the payload is live
    assert (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"class_dict": {"a": [0, 999]}}, "image 999 and has 20 images"),
        ({"class_dict": {"a": [0, -1]}}, "image -1"),
        ({"class_dict": {}}, "no classes"),
        ({"class_dict": {"a": ["x"]}}, "whole numbers"),
        ({"class_dict": {"a": [[0]]}}, "whole numbers"),
        ({"class_dict": {"a": list(range(19))}}, "1 of 20 .*'image 19' \\(in no class\\)"),
        (
            {"class_dict": {**ROWS, "again": [3]}},
            "'image 3' \\(listed as 'again' and as 'n00000000'\\)",
        ),
        ({"image_data": IMAGES / 255}, "whole numbers in 0…255"),
        ({"image_data": IMAGES.astype(np.int32) - 1}, "whole numbers in 0…255"),
        ({"image_data": IMAGES[..., :2]}, "shape"),
        ({"image_data": "x"}, "no array"),
        ({"image_data": [IMAGES[0], IMAGES[0, :4]]}, "2 shapes"),
    ],
)
def test_a_cache_that_contradicts_itself_is_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({**LAYOUTS["class_dict"], **changed}))
    with pytest.raises(DataError, match=words):
        open_dataset(path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1, 2], "pickled list"),
        ({"images": IMAGES}, "'image_data' with 'class_dict'"),
        ({"data": IMAGES, "labels": LABELS[:-1]}, "19 labels for 20 images"),
        (
            {"data": IMAGES, "labels": LABELS, "catname2label": {"a": 0}},
            "15 of 20 .*label 1 has no name",
        ),
        ({"data": IMAGES, "labels": LABELS, "catname2label": {"a": 0, "b": 0}}, "both 'a' and 'b'"),
        ({"data": IMAGES, "labels": 3}, "whole numbers"),
    ],
)
def test_what_is_no_layout_says_what_is(tmp_path: Path, value: Any, words: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path / "a.pkl")


def test_mislabelled_images_may_be_left_out_on_request(tmp_path: Path) -> None:
    rows = {**ROWS, "n00000003": ROWS["n00000003"][:4]}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"image_data": IMAGES, "class_dict": rows}))
    found = open_dataset(path, options=ReadOptions(max_unreadable=0.05))
    assert len(found) == 19
    assert found.notes == ("1 of 20 images left out: 'image 19' (in no class)",)


def test_a_pickle_larger_than_memory_allows_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(LAYOUTS["class_dict"]))
    with pytest.raises(DataError, match=r"twice its [\d,]+ bytes .* are allowed"):
        open_dataset(path, options=ReadOptions(most_bytes=1000))


WHOLE = pickle.dumps(
    {"image_data": IMAGES[:4, :2, :2], "class_dict": {"a": [0, 1], "b": [2, 3]}}, 2
)


@pytest.mark.parametrize("opcode", [b"\x8e", b"\x96", b"\x8d", b"B", b"T", b"X", b"\x8b"])
def test_a_count_of_bytes_beyond_the_end_takes_no_memory(tmp_path: Path, opcode: bytes) -> None:
    wide = 8 if opcode in (b"\x8e", b"\x96", b"\x8d") else 4
    count = (2**46 if wide == 8 else 2**31 - 1).to_bytes(wide, "little")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05" + opcode + count + b"few bytes.")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="damaged"):
            open_dataset(tmp_path / "a.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_damaged_byte_gives_images_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])
    try:
        found = open_dataset(path)
    except DataError:
        return
    assert found.images.dtype == np.uint8


@pytest.mark.parametrize("cut", range(0, len(WHOLE), 17))
def test_a_pickle_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "a.pkl").write_bytes(WHOLE[:cut])
    with pytest.raises(DataError):
        open_dataset(tmp_path / "a.pkl")
