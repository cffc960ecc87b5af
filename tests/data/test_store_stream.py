"""Long entries: written in blocks, gone on with after an interruption, read block by block."""

import pickle

import numpy as np
import pytest

from metaprobe.data import store_format
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import StoreError
from metaprobe.data.keys import canonical_json, key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_entry import Chain
from metaprobe.data.store_format import (
    Record,
    decode_shard,
    join,
    split,
)
from metaprobe.data.store_verify import explain

from .stored import KEY, rows, same


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
