"""Results appear whole, and those that belong together appear together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metaprobe.data.errors import MetaprobeError
from metaprobe.data.files import require_writable, write_together, write_whole


def test_a_file_is_replaced_whole_and_readable_by_others(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "new" / "a.json", b"one")
    assert write_whole(path, b"two").read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_of_files_that_belong_together_none_appears_unless_all_can(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file, not a folder")
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(MetaprobeError, match=r"in the way/b.* cannot be written"):
        write_together({tmp_path / "a": b"new", tmp_path / "in the way" / "b": b"new"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "in the way"]


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", b"new")
    assert not list(tmp_path.iterdir())


def test_whether_a_folder_can_be_written_is_found_out_without_a_trace(tmp_path: Path) -> None:
    require_writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(MetaprobeError, match=r"folder '.*file/new' cannot be written"):
        require_writable(tmp_path / "file" / "new")
