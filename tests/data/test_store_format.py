"""Shards and records: any rows come back, and each check sees what the others would miss."""

import tempfile
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metaprobe.data import store_format
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.keys import canonical_json, key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_format import (
    Damaged,
    Record,
    Shard,
    decode_shard,
    encode_shard,
)
from metaprobe.data.store_verify import verify

from .stored import KEY, NoSync, rows, same

ARRAYS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?"),
        hnp.complex_number_dtypes(),
        hnp.byte_string_dtypes(min_len=1, max_len=5),
        hnp.unicode_string_dtypes(endianness="=", min_len=1, max_len=5),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
EXTRAS = st.dictionaries(st.from_regex(r"\w[\w .:-]{0,6}", fullmatch=True), ARRAYS, max_size=3)


# numpy itself drops zeros at the end of a text; zeros inside and lone surrogates must survive
IDS = st.text(st.characters(codec=None) | st.sampled_from("\0\ud800"), max_size=6).map(
    lambda text: text.rstrip("\0")
)


@st.composite
def embeddings(draw: st.DrawFn) -> Embeddings:
    n, dim = draw(st.integers(0, 9)), draw(st.integers(0, 4))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return Embeddings(
        draw(hnp.arrays(np.float32, (n, dim), elements=finite)),
        draw(hnp.arrays("U6", n, elements=IDS)),
        draw(hnp.arrays(np.int64, n)),
        draw(EXTRAS),
    )


@given(put=embeddings(), shard_bytes=st.sampled_from([1, 100, 1 << 20]))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
def test_any_rows_any_text_and_any_extras_come_back(
    tmp_path: Path, put: Embeddings, shard_bytes: int
) -> None:
    temporary = tempfile.TemporaryDirectory(dir=tmp_path)
    with temporary as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_format, "SHARD_BYTES", shard_bytes)
        store = Store(folder, NoSync())
        store.put(KEY, put)
        assert same(store.get(KEY), put)
        assert verify(store).damaged == {}


def test_the_same_rows_give_the_same_bytes_at_another_time() -> None:
    def shard() -> bytes:
        return bytes(encode_shard(rows(1, extra=np.eye(2)), entry="e" * 64, start=0, previous=""))

    first = shard()
    time.sleep(1.1)  # HDF5 would stamp whole seconds
    assert shard() == first


def test_any_hdf5_reader_can_open_a_shard(store: Store) -> None:
    put = rows(1, bits=np.array([[True, False]]))
    store.put(KEY, put)
    (shard,) = store.entry(key_hash(KEY)).folder.glob("s-*.h5")
    with h5py.File(shard) as file:
        read: Any = {name: np.asarray(file[name]) for name in ("features", "ids", "labels")}
        assert np.array_equal(read["features"], put.features)
        assert [text.decode() for text in read["ids"]] == list(put.ids)
        assert np.array_equal(read["labels"], put.labels)
        assert np.array_equal(np.asarray(file["extras/bits"]), put.extras["bits"])
        assert file.attrs["key"] == key_hash(KEY)


def test_file_names_are_checkable_with_sha256sum(store: Store) -> None:
    store.put(KEY, rows(1))
    folder = store.entry(key_hash(KEY)).folder
    (shard,) = folder.glob("s-*.h5")
    assert shard.stem.endswith(sha256(shard.read_bytes()).hexdigest())
    tagged = b"metaprobe-key-v1\0" + (folder / "key.json").read_bytes()
    assert folder.name == sha256(tagged).hexdigest()


# One layer at a time: what each check sees when the others are content


def forge(store: Store, *blocks: tuple[Embeddings, dict[str, Any]], **changes: Any) -> None:
    """Writes an entry whose hashes are right and whose story is not."""
    entry = store.entry(key_hash(KEY))
    store.unwritable()
    entry.begin(canonical_json(KEY))
    shards = []
    for block, claims in blocks:
        data = encode_shard(block, **{"entry": entry.hash, "start": 0, "previous": "", **claims})
        shard = Shard(claims.get("start", 0), len(block), len(data), sha256(data).hexdigest())
        (entry.folder / shard.name).write_bytes(data)
        shards.append(shard)
    entry.commit(replace(Record(entry.hash, 5, tuple(shards)), **changes))


def test_a_forged_entry_is_served_if_its_story_is_right(store: Store) -> None:
    forge(store, (rows(1), {}))
    assert same(store.get(KEY), rows(1))


@pytest.mark.parametrize(
    ("claims", "changes"),
    [
        ({"entry": "0" * 64}, {}),
        ({"previous": "1" * 64}, {}),
        ({}, {"dim": 6}),
        ({}, {"entry": "0" * 64}),
    ],
)
def test_a_shard_of_another_entry_place_or_width_is_not_served(
    store: Store, claims: dict[str, Any], changes: dict[str, Any]
) -> None:
    forge(store, (rows(1), claims), **changes)
    assert store.get(KEY) is None
    assert verify(store).quarantined == 1


def test_shards_of_two_runs_are_not_served_together(store: Store) -> None:
    forge(store, (rows(1), {}), (rows(2), {"start": 7, "previous": "2" * 64}))
    assert store.get(KEY) is None


def test_a_record_whose_shards_do_not_follow_one_another_is_not_believed() -> None:
    shard = Shard(0, 7, 10, "a" * 64)
    for shards in [(replace(shard, start=1),), (shard, replace(shard, start=8))]:
        record = Record("e" * 64, 5, shards)
        with pytest.raises(Damaged, match="follow"):
            Record.from_bytes(record.to_bytes(), "e" * 64)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b'{"shards": []}', b"[" * 100_000])
def test_a_record_that_is_something_else_is_damaged(text: bytes) -> None:
    with pytest.raises(Damaged):
        Record.from_bytes(text, "e" * 64)


def hostile(file: h5py.File, how: str, outside: Path) -> None:
    features = np.ones((7, 5), np.float32)
    if how == "external link":
        file["features"] = h5py.ExternalLink(str(outside), "features")
    elif how == "soft link":
        file["elsewhere"] = features
        file["features"] = h5py.SoftLink("/elsewhere")
    elif how == "virtual":
        layout = h5py.VirtualLayout((7, 5), "f4")
        layout[:] = h5py.VirtualSource(str(outside), "features", (7, 5))
        file.create_virtual_dataset("features", layout)
    elif how == "external storage":
        raw = [(str(outside), 0, 140)]
        file.create_dataset("features", (7, 5), "f4", external=raw)
    elif how == "chunked":
        file.create_dataset("features", data=features, chunks=(7, 5))
    elif how == "not finite":
        file["features"] = features * np.nan
    elif how == "double":
        file["features"] = features.astype(np.float64)
    elif how == "group":
        file.create_group("features")


@pytest.mark.parametrize(
    "how",
    [
        *("external link", "soft link", "virtual", "external storage"),
        *("chunked", "not finite", "double", "group", "missing"),
    ],
)
def test_a_shard_with_the_right_hash_still_reads_only_plain_data_of_its_own(
    tmp_path: Path, how: str
) -> None:
    outside = tmp_path / "secret.h5"
    with h5py.File(outside, "w") as file:
        file["features"] = np.full((7, 5), 42, np.float32)
    path = tmp_path / "shard.h5"
    path.write_bytes(encode_shard(rows(1), entry="e" * 64, start=0, previous=""))
    with h5py.File(path, "a") as file:
        del file["features"]
        hostile(file, how, outside)
    data = path.read_bytes()
    shard = Shard(0, 7, len(data), sha256(data).hexdigest())
    with pytest.raises(Damaged):
        decode_shard(data, shard, entry="e" * 64)
