"""The store under kills, torn writes, full disks and bad sectors.

The loop is SQLite's: run an operation with the fault at its 1st, 2nd, 3rd … system call until a
run meets no fault, and look at what is left each time.
"""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metaprobe.data.errors import StoreError
from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_files import TEMPORARY
from metaprobe.data.store_verify import verify

from .faults import (
    FAULTS,
    HURT,
    NEW,
    NO_LINKS,
    OLD,
    OPERATIONS,
    READ_ONLY,
    SHORT,
    TRUTH,
    Fault,
    Faulty,
    Killed,
    held,
    prune_all,
    put_new,
    read_old,
    replace_hurt,
    write_long,
)
from .stored import NoSync, rows


def entry_files(store: Store, key: dict[str, str]) -> dict[str, bytes]:
    folder = store.entry(key_hash(key)).folder
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(TEMPORARY)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_a_fault_at_any_call_loses_nothing_and_the_next_try_succeeds(
    tmp_path: Path, prepared: Path, operation: Callable[[Store], None], fault: Fault
) -> None:
    key = OPERATIONS[operation]
    writes = operation in (put_new, write_long, replace_hurt)
    undisturbed = Store(shutil.copytree(prepared, tmp_path / "undisturbed"), NoSync())
    operation(undisturbed)
    for n in range(1, 1000):
        root = shutil.copytree(prepared, tmp_path / f"store-{n}")
        files = Faulty(fault, n)
        outcome: BaseException | None = None
        try:
            operation(Store(root, files))
        except (Killed, StoreError) as error:
            outcome = error
        if not files.met:
            break
        killed = isinstance(outcome, Killed)
        store = Store(root, NoSync())
        assert verify(store).damaged.keys() <= {key_hash(HURT)}
        assert held(store, OLD) or not writes
        held(store, key)
        if operation is read_old:
            assert killed or outcome is None, "a failing read is a miss, not an error"
        if fault in (SHORT, NO_LINKS):
            assert outcome is None, "this much has to be coped with"
        if not killed and fault is not READ_ONLY:
            assert not list(root.rglob(TEMPORARY + "*"))
        operation(store)
        if writes:
            assert held(store, key)
            assert entry_files(store, key) == entry_files(undisturbed, key)
        if operation is prune_all:
            assert not held(store, OLD)
        shutil.rmtree(root)
    else:
        pytest.fail("the operation never ran without a fault")
    assert n > 1 or operation in (read_old, prune_all)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow past 1 MB: the kernel itself refuses, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_one_sentence_and_earlier_entries_are_intact(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put(OLD, TRUTH["old"])
    with pytest.raises(StoreError, match="free some space") as refused:
        store.put(NEW, rows(2, n=100_000))
    assert refused.value.code == "disk-full"
    assert not list(store.root.rglob(TEMPORARY + "*"))
    assert held(store, OLD)
    assert verify(store).damaged == {}
    put_new(store)
    assert held(store, NEW)


def test_a_put_whose_folder_is_pruned_under_its_hands_starts_over(tmp_path: Path) -> None:
    class Pruned(NoSync):
        puts = 0

        def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if function is os.link and not self.puts:
                self.puts += 1
                shutil.rmtree(args[1].parent)
            return super().call(function, *args, **kwargs)

    store = Store(tmp_path / "store", Pruned())
    put_new(store)
    assert held(store, NEW)
