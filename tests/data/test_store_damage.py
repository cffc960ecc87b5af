"""Flipped bits, cut files and other damage are never served."""

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_verify import verify

from .faults import LONG, NEW, OLD, TRUTH, held, put_new, refuse, write_long
from .stored import NoSync, rows


def wounds(rng: random.Random, size: int) -> Callable[[bytearray], None]:
    at = rng.randrange(size)

    def flip(data: bytearray) -> None:
        data[at] ^= 1 << rng.randrange(8)

    def cut(data: bytearray) -> None:
        del data[at:]

    def append(data: bytearray) -> None:
        data += rng.randbytes(rng.randint(1, 100))

    def zero(data: bytearray) -> None:
        data[at : at + 512] = bytes(len(data[at : at + 512]))
        data[at] ^= 255

    def swap(data: bytearray) -> None:
        data[at : at + 8] = rng.randbytes(8)
        data[at] ^= 255

    return rng.choice([flip, flip, flip, cut, append, zero, swap])


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 100), pytest.param(1, 1000, marks=pytest.mark.slow)]
)
def test_no_damage_to_any_file_is_ever_served(tmp_path: Path, seed: int, count: int) -> None:
    store = Store(tmp_path / "store", NoSync())
    write_long(store)
    entry = store.entry(key_hash(LONG))
    good = {path: path.read_bytes() for path in entry.folder.iterdir()}
    assert len(good) == 5
    rng = random.Random(seed)
    for _ in range(count):
        path = rng.choice(sorted(good))
        data = bytearray(good[path])
        wounds(rng, len(data))(data)
        path.write_bytes(data)
        assert list(verify(store).damaged) == [entry.hash]
        assert store.get(LONG) is None
        (aside,) = (store.root / "quarantine").iterdir()
        os.rename(aside, entry.folder)
        path.write_bytes(good[path])
        assert held(store, LONG)


def test_a_file_that_is_something_else_is_damage_too(tmp_path: Path) -> None:
    def swap_for_folder(path: Path) -> None:
        path.mkdir()

    def swap_for_pipe(path: Path) -> None:
        os.mkfifo(path)

    def swap_for_link(path: Path) -> None:
        path.symlink_to("/dev/zero")

    def remove(path: Path) -> None:
        pass

    for number, swap in enumerate([swap_for_folder, swap_for_pipe, swap_for_link, remove]):
        for pattern in ("commit.json", "key.json", "s-*.h5"):
            store = Store(tmp_path / f"{number}-{pattern[0]}", NoSync())
            put_new(store)
            (path,) = store.entry(key_hash(NEW)).folder.glob(pattern)
            path.unlink()
            swap(path)
            assert store.get(NEW) is None, (swap, pattern)
            put_new(store)
            assert held(store, NEW), (swap, pattern)


def test_a_file_that_merely_cannot_be_read_now_is_a_miss_and_stays(
    tmp_path: Path, prepared: Path
) -> None:
    root = shutil.copytree(prepared, tmp_path / "store")

    class OutOfHandles(NoSync):
        def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if function is os.open and args[0].suffix == ".h5":
                refuse(errno.EMFILE)()
            return super().call(function, *args, **kwargs)

    assert Store(root, OutOfHandles()).get(OLD) is None
    assert held(Store(root), OLD)


def test_an_entry_renewed_by_another_process_is_not_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", NoSync())
    store.put(OLD, rows(99))
    entry = store.entry(key_hash(OLD))
    judged = entry.record()
    shutil.rmtree(entry.folder)
    store.put(OLD, TRUTH["old"])
    entry.set_aside(judged, OSError(errno.EIO, "bad sector"))
    assert held(store, OLD)
    shutil.rmtree(entry.folder)
    entry.set_aside(judged, OSError(errno.EIO, "bad sector"))
    assert not (store.root / "quarantine").exists()
