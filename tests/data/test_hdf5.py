"""HDF5 of strangers reads only itself, and only as much as it stores."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from metaprobe.data.arrays import read_arrays
from metaprobe.data.errors import DataError
from metaprobe.data.foreign import read_embeddings
from metaprobe.data.hdf5 import read_hdf5

FEATURES = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
SECRET = np.arange(64, dtype=np.float32).reshape(8, 8)
Maker = Callable[[Any, Path], object]


def embeddings(file: Any, features: Any = FEATURES, **how: Any) -> None:
    file.create_dataset("features", data=features, **how)
    file["ids"] = np.arange(len(features))
    file["labels"] = np.arange(len(features)) % 4


def made(path: Path, *makers: Maker) -> Path:
    with h5py.File(path.with_name("secret.h5"), "w") as file:
        file["features"] = SECRET
    path.with_name("secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File(path, "w") as file:
        for make in makers:
            make(file, path)
    return path


def code(path: Path, **how: Any) -> str:
    with pytest.raises(DataError) as refused:
        read_embeddings(path, **how)
    assert "\n" not in str(refused.value)
    return refused.value.code


def virtual(file: Any, path: Path) -> None:
    layout = h5py.VirtualLayout((8, 8), "f4")
    layout[:] = h5py.VirtualSource(str(path.with_name("secret.h5")), "features", (8, 8))
    file.create_virtual_dataset("features", layout)


def external_storage(file: Any, path: Path) -> None:
    place = [(str(path.with_name("secret.bin")), 0, 256)]
    file.create_dataset("features", (8, 8), "f4", external=place)


def external_link(file: Any, path: Path) -> None:
    file["features"] = h5py.ExternalLink(str(path.with_name("secret.h5")), "/features")


def link_on_the_way(file: Any, path: Path) -> None:
    embeddings(file)
    file["deep/er/by"] = h5py.ExternalLink(str(path.with_name("secret.h5")), "/")


def soft_loop(file: Any, path: Path) -> None:
    file["features"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/features")


def hard_cycle(file: Any, path: Path) -> None:
    embeddings(file)
    group = file.create_group("g")
    group["me"] = group


def unknown_filter(file: Any, path: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((8, 8))
    plan.set_filter(32768, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((8, 8))
    h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, plan)


def shape_bomb(file: Any, path: Path) -> None:
    file.create_dataset("features", (10**12, 8), "f4", chunks=(1024, 8))


def huge_chunk(file: Any, path: Path) -> None:
    file.create_dataset("features", (10, 8), "f4", chunks=(1 << 25, 8), maxshape=(None, 8))


def deflate_bomb(file: Any, path: Path) -> None:
    embeddings(file, np.zeros((1 << 21, 8), np.float32), chunks=(1 << 18, 8), compression="gzip")


def rows_of_any_length(file: Any, path: Path) -> None:
    file.create_dataset("features", (4,), h5py.vlen_dtype("f4"))


LEADS_OUT = {
    "link": (external_link, link_on_the_way, soft_loop),
    "not-plain": (virtual, external_storage),
}
ASKS_TOO_MUCH = {
    "cycle": (hard_cycle,),
    "filter": (unknown_filter,),
    "too-large": (shape_bomb, huge_chunk, deflate_bomb),
    "missing-array": (rows_of_any_length,),
}


def pairs(table: Mapping[str, Sequence[Maker]]) -> list[Any]:
    return [pytest.param(c, m, id=m.__name__) for c, makers in table.items() for m in makers]


@contextmanager
def openings_of(*paths: Path) -> Iterator[list[bytes]]:
    """Whether the kernel saw any of these files opened, by whichever process."""
    if sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    for path in paths:
        assert libc.inotify_add_watch(watch, os.fsencode(path), 0x20) > 0  # IN_OPEN
    seen: list[bytes] = []
    try:
        yield seen
        with suppress(BlockingIOError):
            seen.append(os.read(watch, 4096))
    finally:
        os.close(watch)


@pytest.mark.parametrize(("wrong", "make"), pairs(LEADS_OUT))
def test_r23_what_leads_out_of_the_file_is_refused_and_never_opened(
    tmp_path: Path, wrong: str, make: Maker
) -> None:
    path = made(tmp_path / "a.h5", make)
    secrets = (tmp_path / "secret.h5", tmp_path / "secret.bin")
    with openings_of(*secrets) as opened:
        assert code(path) == wrong
        with pytest.raises(DataError) as refused:
            read_arrays(path, "all")
        assert refused.value.code == wrong
    assert opened == []


@pytest.mark.parametrize("make", [external_link, virtual, external_storage])
def test_r23_the_control_reads_the_other_file(tmp_path: Path, make: Maker) -> None:
    path = made(tmp_path / "a.h5", make)
    with (
        openings_of(tmp_path / "secret.h5", tmp_path / "secret.bin") as opened,
        h5py.File(path, "r") as file,
    ):
        found: Any = file["features"]
        assert np.array_equal(found[()], SECRET)
    assert opened != []


@pytest.mark.parametrize(("wrong", "make"), pairs(ASKS_TOO_MUCH))
def test_r24_what_asks_for_more_than_it_stores_is_refused_at_once(
    tmp_path: Path, wrong: str, make: Maker
) -> None:
    path = made(tmp_path / "a.h5", make)
    start = time.monotonic()
    found = code(path)
    assert found == wrong or (make is rows_of_any_length and found == "dtype")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "how",
    [{}, {"chunks": (8, 8)}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {"fletcher32": True}],
    ids=str,
)  # fmt: skip
def test_honest_embeddings_come_back_as_they_are(tmp_path: Path, how: dict[str, Any]) -> None:
    path = made(tmp_path / "a.h5", lambda file, _: embeddings(file, **how))
    rows, notes = read_embeddings(path)
    assert np.array_equal(rows.features, FEATURES)
    assert rows.ids.tolist() == [str(i) for i in range(32)]
    assert notes == ()


def test_text_and_numbers_of_every_kind_come_back(tmp_path: Path) -> None:
    given = {
        "words": np.array(["a", "bcd", "é"], object),
        "bytes": np.array([b"a", b"bcd"]),
        "bools": np.array([True, False]),
        "big": np.arange(3, dtype=">f4"),
        "small": np.arange(6, dtype=np.uint8).reshape(2, 3).T,
        "scalar": np.array(3.5),
        "none": np.zeros((0, 4)),
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in given.items():
            file[name] = array
        file.attrs["note"] = "hello"
    found = read_hdf5(tmp_path / "a.h5", (*given, "absent"))
    assert found.arrays.keys() == given.keys()
    for name, array in given.items():
        words = array.astype(str) if name == "bytes" else array  # text is text
        assert found.arrays[name].tolist() == words.tolist(), name
    assert found.attributes == {"note": "hello"}
    assert found.sha256 == hashlib.sha256((tmp_path / "a.h5").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("wrong", "change"),
    [
        ("dtype", {"features": FEATURES.astype(np.int32)}),
        ("shape", {"features": FEATURES[:0]}),
        ("shape", {"features": FEATURES[0]}),
        ("not-finite", {"features": np.where(FEATURES > 2, np.nan, FEATURES)}),
        ("overflow", {"features": np.where(FEATURES > 1, np.inf, FEATURES).astype(np.float16)}),
        ("overflow", {"features": FEATURES * np.float32(1e30)}),
        ("duplicate-ids", {"ids": np.zeros(32, int)}),
        ("length", {"labels": np.zeros(31, int)}),
        ("dtype", {"labels": np.linspace(0, 1, 32)}),
        ("missing-array", {"labels": None}),
        ("missing-array", {"emb": FEATURES}),
    ],
)
def test_rows_that_cannot_be_measured_are_refused(
    tmp_path: Path, wrong: str, change: dict[str, Any]
) -> None:
    arrays = {"features": FEATURES, "ids": np.arange(32), "labels": np.arange(32) % 4, **change}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    assert code(tmp_path / "a.h5") == wrong
    np.savez(tmp_path / "a.npz", **{n: a for n, a in arrays.items() if a is not None})
    assert code(tmp_path / "a.npz") == wrong


def test_what_is_odd_in_rows_is_said(tmp_path: Path) -> None:
    odd = FEATURES.copy().astype(">f4")
    odd[3] = 0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["emb"], file["ids"], file["labels"] = odd, np.arange(32), np.zeros(32, int)
        file.attrs["name"] = "=cmd|' /C calc'!A0<script>\x1b[2J"
    _, notes = read_embeddings(tmp_path / "a.h5")
    for part in ("'name'", "byte order", "1 rows that are zero", "single class"):
        assert any(part in note for note in notes), part
    assert not any("\x1b" in note for note in notes)


def test_a_changed_bit_is_noticed_where_the_hash_is_known(tmp_path: Path) -> None:
    path = made(tmp_path / "a.h5", lambda file, _: embeddings(file))
    raw = bytearray(path.read_bytes())
    right = hashlib.sha256(raw).hexdigest()
    raw[raw.find(FEATURES.tobytes()[:16])] ^= 1
    path.write_bytes(raw)
    assert len(read_embeddings(path)[0]) == 32
    assert code(path, expect_sha256=right) == "sha256"


@pytest.mark.parametrize("count", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_r04_changed_and_cut_bytes_give_rows_or_a_typed_refusal(tmp_path: Path, count: int) -> None:
    good = made(tmp_path / "a.h5", lambda file, _: embeddings(file, chunks=(8, 8))).read_bytes()
    rng = np.random.default_rng(count)
    codes = []
    for _ in range(count):
        raw = bytearray(good)
        for place in rng.integers(len(raw), size=3):
            raw[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "b.h5").write_bytes(
            raw[: int(rng.integers(len(raw)))] if rng.random() < 0.3 else raw
        )
        try:
            read_embeddings(tmp_path / "b.h5")
        except DataError as refused:
            codes.append(refused.code)
    assert count / 4 < len(codes) < count
    assert "internal" not in codes
