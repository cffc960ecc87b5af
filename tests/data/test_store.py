"""The store gives back exactly what was put, says why it hits, and refuses in one sentence."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metaprobe.data import store_format
from metaprobe.data.errors import StoreError
from metaprobe.data.store import Store
from metaprobe.data.store_format import (
    join,
    split,
)
from metaprobe.data.store_verify import explain

from .stored import KEY, rows, same


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
