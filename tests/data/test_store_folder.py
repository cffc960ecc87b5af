"""Where the store lies, and what it does with a folder that it may not use."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metaprobe.data.errors import StoreError
from metaprobe.data.store import Store, default_cache_dir
from metaprobe.data.store_verify import list_entries, verify

from .stored import KEY, rows, same


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
