"""The store gives back exactly what was put, says why it hits, and refuses in one sentence."""

import json
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metaprobe.data import store_format
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import StoreError
from metaprobe.data.keys import canonical_json, key_hash
from metaprobe.data.store import Store, default_cache_dir
from metaprobe.data.store_entry import Chain
from metaprobe.data.store_files import Files
from metaprobe.data.store_format import (
    Record,
    decode_shard,
    join,
    split,
)
from metaprobe.data.store_verify import explain, list_entries, verify

KEY = {"weights": "9f2c", "layer": "body.3"}


def rows(seed: int, n: int = 7, dim: int = 5, **extras: NDArray[Any]) -> Embeddings:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, dim)).astype(np.float32)
    ids = np.array([f"glyph-{seed}/é{i}" for i in range(n)], dtype=np.str_)
    return Embeddings(features, ids, rng.integers(0, 5, n), extras)


def same_array(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind == "U":
        return other.dtype.kind == "U" and one.shape == other.shape and bool(np.all(one == other))
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def same(one: Embeddings | None, other: Embeddings) -> bool:
    return (
        one is not None
        and same_array(one.features, other.features)
        and same_array(one.ids, other.ids)
        and same_array(one.labels, other.labels)
        and one.extras.keys() == other.extras.keys()
        and all(
            same_array(np.asarray(one.extras[k]), np.asarray(v)) for k, v in other.extras.items()
        )
    )


class NoSync(Files):
    """Does not wait for the disk: for tests of what is written, not of when."""

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return None if function is os.fsync else function(*args, **kwargs)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", NoSync())


# What goes in comes out


def test_a_put_is_a_hit_with_the_same_bits(store: Store) -> None:
    put = rows(1, bits=np.eye(3) > 0, accuracy=np.array(0.25))
    assert store.get(KEY) is None
    assert not store.contains(KEY)
    store.put(KEY, put)
    assert store.contains(KEY)
    assert same(store.get(KEY), put)
    assert same(Store(str(store.path)).get(dict(reversed(KEY.items()))), put)


def test_another_key_is_a_miss(store: Store) -> None:
    store.put(KEY, rows(1))
    assert store.get({**KEY, "layer": "body.2"}) is None


def test_what_is_there_stays_when_the_key_is_put_again(store: Store) -> None:
    store.put(KEY, rows(1))
    store.put(KEY, rows(2))
    assert same(store.get(KEY), rows(1))


def test_a_key_that_does_not_name_everything_is_noticed_when_the_rows_differ(store: Store) -> None:
    store.put(KEY, rows(1, n=7))
    with pytest.raises(StoreError, match="holds 7 rows and 8") as refused:
        store.put(KEY, rows(1, n=8))
    assert refused.value.code == "rows"


def test_a_large_entry_is_split_and_joined(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_format, "SHARD_BYTES", 3000)
    put = rows(1, n=1000, dim=3, mean=np.zeros(3))
    store.put(KEY, put)
    assert explain(store, "")["shards"] == len(list(split(put)))
    assert same(store.get(KEY), put)
    assert same(join(list(split(put))), put)


# What would not come back is refused


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("features", np.zeros((7, 5))),
        ("features", np.zeros((7, 5), np.float16)),
        ("labels", np.zeros(7, np.int32)),
        ("labels", np.zeros((7, 1), np.int64)),
        ("ids", np.arange(7)),
        ("ids", np.array(list("abcdefg"), dtype=object)),
        ("ids", np.full((7, 2), "a")),
        ("extras", {"a": np.array([object()])}),
        ("extras", {"a": np.zeros(2, [("x", "f4")])}),
        ("extras", {"a": np.zeros(2, "M8[s]")}),
        ("extras", {"a/b": np.zeros(2)}),
        ("extras", {".": np.zeros(2)}),
        ("extras", {"": np.zeros(2)}),
    ],
)
def test_arrays_that_would_not_come_back_exactly_are_refused(
    store: Store, part: str, wrong: Any
) -> None:
    with pytest.raises(StoreError) as refused:
        store.put(KEY, replace(rows(1), **{part: wrong}))
    assert refused.value.code == "dtype"
    assert store.get(KEY) is None


def test_provenance_that_json_cannot_hold_is_refused_before_the_work(store: Store) -> None:
    with pytest.raises(StoreError), store.writer(KEY, rows=3, provenance={"when": object()}):
        pytest.fail("the block was entered")


# Long entries


def test_a_writer_commits_only_when_all_rows_are_there(store: Store) -> None:
    put = rows(1, n=10, extra=np.eye(2))
    parts = [slice(0, 4), slice(4, 8), slice(8, 10)]
    blocks = [
        Embeddings(put.features[p], put.ids[p], put.labels[p], put.extras if p.stop == 10 else {})
        for p in parts
    ]
    with store.writer(KEY, rows=10, provenance={"host": "here"}) as writer:
        for block in blocks:
            assert store.get(KEY) is None
            writer.append(block)
    assert same(store.get(KEY), put)
    assert explain(store, key_hash(KEY)[:8])["provenance"] == {"host": "here"}


def test_an_exception_commits_nothing_and_the_next_writer_goes_on(store: Store) -> None:
    put = rows(1, n=10)
    first, second = (
        Embeddings(put.features[p], put.ids[p], put.labels[p]) for p in (slice(0, 6), slice(6, 10))
    )

    def interrupted() -> None:
        with store.writer(KEY, rows=10) as writer:
            writer.append(first)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.get(KEY) is None
    with store.writer(KEY, rows=10) as writer:
        assert writer.done == 6
        writer.append(second)
    assert same(store.get(KEY), put)
    with store.writer(KEY, rows=10) as writer:
        assert writer.done == 10
    assert same(store.get(KEY), put)


def test_ending_early_is_an_error_and_loses_nothing(store: Store) -> None:
    with (
        pytest.raises(StoreError, match="7 of 9 rows") as refused,
        store.writer(KEY, rows=9) as writer,
    ):
        writer.append(rows(1))
    assert refused.value.code == "incomplete"
    with store.writer(KEY, rows=9) as writer:
        assert writer.done == 7
        writer.append(rows(2, n=2))


def test_a_chain_never_mixes_two_runs_and_the_longest_wins(store: Store) -> None:
    entry = store.entry(key_hash(KEY))
    entry.begin(canonical_json(KEY))

    def run(seed: int, sizes: list[int]) -> None:
        chain = store.entry(entry.hash).longest_chain(0)
        for i, size in enumerate(sizes):
            chain = entry.add(rows(seed * 100 + i, n=size), chain)

    run(1, [4, 4])
    run(2, [3, 3, 3])
    run(3, [4])
    found = entry.longest_chain(20)
    assert found.rows == 9
    read = [
        decode_shard((entry.folder / shard.name).read_bytes(), shard, entry=entry.hash)[0]
        for shard in found.shards
    ]
    assert [int(block.ids[0][6:9]) for block in read] == [200, 201, 202]
    assert entry.longest_chain(8).rows == 8  # the chain of nine rows would be too long
    second = entry.folder / found.shards[1].name
    data = bytearray(second.read_bytes())
    data[data.index(read[1].features.tobytes())] ^= 1  # HDF5 would not notice
    second.write_bytes(data)
    assert entry.longest_chain(20).rows == 8


def test_the_first_of_two_commits_stays(store: Store) -> None:
    entry = store.entry(key_hash(KEY))
    entry.begin(canonical_json(KEY))
    for seed in (1, 2):
        chain = entry.add(rows(seed), Chain())
        entry.commit(Record(entry.hash, 5, chain.shards))
    assert same(store.get(KEY), rows(1))


def test_a_store_can_be_sent_to_another_process(store: Store) -> None:
    store.put(KEY, rows(1))
    assert same(pickle.loads(pickle.dumps(store)).get(KEY), rows(1))


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (rows(1, n=11), "11 rows after 0 of 10"),
        (rows(1, n=0), "without rows"),
        (rows(1, n=3, extra=np.zeros(1)), "extras before the last"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(store: Store, block: Embeddings, said: str) -> None:
    with pytest.raises(StoreError, match=said), store.writer(KEY, rows=10) as writer:
        writer.append(block)


def test_a_block_of_another_width_is_refused(store: Store) -> None:
    def write() -> None:
        with store.writer(KEY, rows=10) as writer:
            writer.append(rows(1, n=3, dim=5))
            writer.append(rows(1, n=3, dim=4))

    with pytest.raises(StoreError, match="width 4 after rows of width 5"):
        write()


def test_rows_can_be_read_block_by_block_and_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_format, "SHARD_BYTES", 1000)
    put = rows(1, n=200)
    assert store.open_rows(KEY) is None
    store.put(KEY, put)
    stored = store.open_rows(KEY)
    assert stored is not None
    assert (len(stored), stored.dim) == (200, 5)
    for _ in range(2):
        blocks = list(stored)
        assert len(blocks) > 3
        assert same(join(blocks), put)


def test_damage_found_while_streaming_is_said_after_the_good_blocks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_format, "SHARD_BYTES", 1000)
    put = rows(1, n=200)
    store.put(KEY, put)
    stored = store.open_rows(KEY)
    assert stored is not None
    victim = store.entry(key_hash(KEY)).folder / stored.record.shards[2].name
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    seen: list[Embeddings] = []
    with pytest.raises(StoreError) as refused:
        seen.extend(stored)
    assert refused.value.code == "damaged"
    assert same(join(seen), join(list(split(put))[:2]))
    assert store.get(KEY) is None


# Where the store lives


def test_the_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("METAPROBE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_cache_dir() == tmp_path / ".cache" / "metaprobe"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert default_cache_dir() == tmp_path / ".cache" / "metaprobe"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert default_cache_dir() == Path("/var/cache/metaprobe")
    monkeypatch.setenv("METAPROBE_CACHE", "~/mine")
    assert default_cache_dir() == tmp_path / "mine" == Store().root


def test_a_new_store_is_tagged_and_says_its_format(store: Store) -> None:
    store.put(KEY, rows(1))
    tag = (store.root / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert json.loads((store.root / "format.json").read_text()) == {"metaprobe_cache": 1}


@contextmanager
def nobody() -> Iterator[None]:
    """The test as a user without rights, where it runs as one with all of them."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


@pytest.fixture
def locked() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_store_still_serves_and_says_why_it_keeps_nothing(locked: Path) -> None:
    locked.chmod(0o755)
    store = Store(locked)
    store.put(KEY, rows(1))
    for path in [locked, *locked.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        assert same(store.get(KEY), rows(1))
        assert verify(store).damaged == {}
        reason = store.unwritable()
        assert reason is not None
        assert reason.code == "read-only"
        with pytest.raises(StoreError, match="Permission denied") as refused:
            store.put({"another": 1}, rows(2))
        assert refused.value.code == "read-only"
    for path in locked.rglob("*"):
        path.chmod(0o755)


def test_a_store_that_cannot_be_made_is_an_empty_store_that_keeps_nothing(locked: Path) -> None:
    store = Store(locked / "deeper" / "store")
    with nobody():
        reason = store.unwritable()
        assert reason is not None
        assert reason.code == "read-only"
        assert store.get(KEY) is None
        assert list_entries(store) == []


def test_a_path_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for store in (Store(tmp_path / "file"), Store(tmp_path / "file" / "below")):
        assert store.get(KEY) is None
        reason = store.unwritable()
        assert reason is not None
        with pytest.raises(StoreError) as refused:
            store.put(KEY, rows(1))
        for error in (reason, refused.value):
            assert error.code == "not-a-folder"
            assert "\n" not in str(error)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_full_of_other_things_is_not_made_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match=r"thesis\.tex") as refused:
        Store(tmp_path).put(KEY, rows(1))
    assert refused.value.code == "not-a-store"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_of_another_format_is_left_alone(store: Store) -> None:
    store.put(KEY, rows(1))
    (store.root / "format.json").write_text('{"metaprobe_cache":2}')
    with pytest.raises(StoreError) as refused:
        store.put({"another": 1}, rows(1))
    assert refused.value.code == "format"


def test_a_writable_store_has_nothing_to_say_and_keeps_no_probe(store: Store) -> None:
    assert store.unwritable() is None
    assert sorted(path.name for path in store.root.iterdir()) == ["CACHEDIR.TAG", "format.json"]


def test_importing_the_store_imports_no_torch() -> None:
    code = "import sys, metaprobe.data.store_prune; sys.exit('torch' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
