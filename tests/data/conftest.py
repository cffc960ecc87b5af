"""Stores to write into: one that is empty, one that holds a good entry and a damaged one."""

from pathlib import Path

import pytest

from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store

from .faults import HURT, OLD, TRUTH
from .stored import NoSync


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", NoSync())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a good entry and a damaged one."""
    root = tmp_path_factory.mktemp("prepared") / "store"
    store = Store(root, NoSync())
    store.put(OLD, TRUTH["old"])
    store.put(HURT, TRUTH["hurt"])
    (shard,) = store.entry(key_hash(HURT)).folder.glob("s-*.h5")
    shard.write_bytes(shard.read_bytes()[:-1])
    return root
