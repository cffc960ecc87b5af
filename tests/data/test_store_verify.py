"""Looking after a store: list, verify, explain and prune."""

import os
import time
from pathlib import Path

import pytest

from metaprobe.data.errors import StoreError
from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_prune import DAY, prune
from metaprobe.data.store_verify import explain, list_entries, verify

from .stored import KEY, rows, same


def age(path: Path, seconds: float) -> None:
    """Makes everything under ``path`` look so much older."""
    for file in [path, *path.rglob("*")]:
        status = file.lstat()
        times = (status.st_atime - seconds, status.st_mtime - seconds)
        os.utime(file, times, follow_symlinks=False)


# Looking after it


def test_entries_are_listed_least_recently_used_first(store: Store) -> None:
    keys = [{"n": n} for n in range(3)]
    for n, key in enumerate(keys):
        store.put(key, rows(n))
        age(store.entry(key_hash(key)).folder, 100 - n)
    assert [e.hash for e in list_entries(store)] == [key_hash(key) for key in keys]
    store.get(keys[0])
    assert [e.hash for e in list_entries(store)] == [key_hash(keys[n]) for n in (1, 2, 0)]
    assert {e.state for e in list_entries(store)} == {"whole"}


def test_verify_finds_damage_in_any_file_and_changes_nothing(store: Store) -> None:
    for n in range(4):
        store.put({"n": n}, rows(n))
    assert verify(store).checked == 4
    hurt = []
    for n, pattern in enumerate(["key.json", "commit.json", "s-*.h5"]):
        entry = store.entry(key_hash({"n": n}))
        (file,) = entry.folder.glob(pattern)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        hurt.append(entry.hash)
    before = sorted(store.root.rglob("*"))
    found = verify(store)
    assert sorted(found.damaged) == sorted(hurt)
    assert sorted(store.root.rglob("*")) == before
    assert [store.get({"n": n}) is None for n in range(4)] == [True, True, True, False]
    assert verify(store).damaged == {}
    assert verify(store).quarantined == 3


def test_verify_can_read_a_share(store: Store) -> None:
    for n in range(10):
        store.put({"n": n}, rows(n, n=1))
    assert verify(store, sample=0.25).checked == 3
    with pytest.raises(StoreError):
        verify(store, sample=5)


def test_explain_gives_the_key_and_where_it_came_from(store: Store) -> None:
    store.put(KEY, rows(1), provenance={"path": "anil.pt"})
    told = explain(store, key_hash(KEY)[:6])
    assert told["key"] == KEY
    assert told["provenance"] == {"path": "anil.pt"}
    assert (told["rows"], told["dim"], told["state"]) == (7, 5, "whole")
    with pytest.raises(StoreError, match="0 entries") as refused:
        explain(store, "z")
    assert refused.value.code == "no-entry"
    store.put({"another": 1}, rows(2))
    with pytest.raises(StoreError, match="2 entries") as refused:
        explain(store, "")
    assert refused.value.code == "ambiguous"


def test_explain_knows_an_unfinished_entry(store: Store) -> None:
    with pytest.raises(StoreError), store.writer(KEY, rows=9) as writer:
        writer.append(rows(1))
    told = explain(store, "")
    assert (told["state"], told["key"]) == ("unfinished", KEY)


def test_prune_keeps_what_was_used_last_and_says_first_what_would_go(store: Store) -> None:
    for n in range(4):
        store.put({"n": n}, rows(n))
        age(store.entry(key_hash({"n": n})).folder, 100 - n)
    size = list_entries(store)[0].bytes
    planned = prune(store, max_bytes=2 * size + 10)
    assert planned.dry_run
    assert len(list_entries(store)) == 4
    done = prune(store, max_bytes=2 * size + 10, dry_run=False)
    assert [e.hash for e in done.entries] == [e.hash for e in planned.entries]
    assert done.bytes == planned.bytes == sum(e.bytes for e in done.entries)
    assert [store.get({"n": n}) is None for n in range(4)] == [True, True, False, False]
    assert list((store.root / "trash").iterdir()) == []


def test_prune_by_age_counts_from_the_last_use(store: Store) -> None:
    for n in range(3):
        store.put({"n": n}, rows(n))
        age(store.entry(key_hash({"n": n})).folder, 10 * DAY)
    store.get({"n": 1})
    prune(store, older_than=5 * DAY, dry_run=False)
    assert [store.get({"n": n}) is None for n in range(3)] == [True, False, True]


def test_prune_leaves_what_a_writer_may_be_at(store: Store) -> None:
    with pytest.raises(StoreError), store.writer(KEY, rows=9) as writer:
        writer.append(rows(1))
    store.put({"whole": 1}, rows(2))
    folder = store.entry(key_hash({"whole": 1})).folder
    (folder / ".tmp-0123456789abcdef").touch()
    assert prune(store, max_bytes=0, dry_run=False).entries == ()
    later = time.time() + 2 * DAY
    assert len(prune(store, max_bytes=0, dry_run=False, now=later).entries) == 2
    assert list_entries(store) == []


def test_prune_sweeps_day_old_leftovers_and_keeps_the_entry(store: Store) -> None:
    store.put(KEY, rows(1))
    folder = store.entry(key_hash(KEY)).folder
    old = [
        store.root / ".tmp-0123456789abcdef",
        folder / ".tmp-0123456789abcdef",
        folder / f"s-0-7-{'0' * 64}.h5",
    ]
    for path in old:
        path.write_bytes(b"left behind")
    assert prune(store).leftovers == ()
    later = time.time() + 2 * DAY
    assert set(prune(store, dry_run=False, now=later).leftovers) == set(old)
    assert not any(path.exists() for path in old)
    assert same(store.get(KEY), rows(1))


def test_prune_takes_quarantine_first(store: Store) -> None:
    store.put(KEY, rows(1))
    store.put({"n": 2}, rows(2))
    (store.entry(key_hash({"n": 2})).folder / "key.json").write_text("{}")
    assert store.get({"n": 2}) is None
    (gone,) = prune(store, max_bytes=list_entries(store)[0].bytes, dry_run=False).entries
    assert gone.state == "quarantined"
    assert same(store.get(KEY), rows(1))


def test_prune_works_only_where_the_tag_says_cache(store: Store) -> None:
    store.put(KEY, rows(1))
    tag = store.root / "CACHEDIR.TAG"
    for spoil in (lambda: tag.write_text("some other file"), tag.unlink):
        spoil()
        with pytest.raises(StoreError) as refused:
            prune(store, max_bytes=0, dry_run=False)
        assert refused.value.code == "not-a-store"
        assert same(store.get(KEY), rows(1))


def test_prune_follows_no_link_and_deletes_no_strangers(store: Store, tmp_path: Path) -> None:
    store.put(KEY, rows(1))
    entry = store.entry(key_hash(KEY))
    (entry.folder / "notes.txt").write_text("precious")
    outside = tmp_path / "outside" / "ab" / ("ab" * 32)
    outside.mkdir(parents=True)
    (outside / "commit.json").write_text("precious")
    (store.root / "entries" / "ab").symlink_to(outside.parent, target_is_directory=True)
    (entry.folder.parent / (entry.hash[:2] * 32)).symlink_to(outside, target_is_directory=True)
    (store.root / "trash").symlink_to(outside.parent, target_is_directory=True)
    with pytest.raises(StoreError):
        prune(store, max_bytes=0, dry_run=False, now=time.time() + 2 * DAY)
    (store.root / "trash").unlink()
    prune(store, max_bytes=0, dry_run=False, now=time.time() + 2 * DAY)
    assert (outside / "commit.json").read_text() == "precious"
    (kept,) = (store.root / "trash").rglob("notes.txt")
    assert kept.read_text() == "precious"
    assert store.get(KEY) is None
