"""No name in a dataset leads out of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.errors import DataError
from metaprobe.data.readers.paths import canonical, choose_split, inside, spellings, text_lines


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "../secret",
        "a/../../secret",
        "a\\..\\..\\secret",
        "C:\\x",
        "",
        ".",
        "a\0b",
        "//x",
    ],
)
def test_a_path_that_climbs_or_is_absolute_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="leads out of the folder"):
        inside(tmp_path.resolve(), text)


def test_a_link_may_stay_inside_and_not_lead_out(tmp_path: Path) -> None:
    root = (tmp_path / "data").resolve()
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "a")
    (root / "loop").symlink_to(root / "loop")
    assert inside(root, "in/x.png") == root / "in" / "x.png"
    for text in ("out/secret", "out"):
        with pytest.raises(DataError, match="leads out"):
            inside(root, text)
    with pytest.raises(DataError, match=r"leads nowhere|leads out"):
        inside(root, "loop/x")


PARTS = st.lists(st.sampled_from(["..", ".", "a", "b c", "~", "", "C:", "\\", "é"]), max_size=6)


@given(parts=PARTS, mark=st.sampled_from(["/", "\\"]), start=st.sampled_from(["", "/", "\\", "~"]))
def test_whatever_is_let_through_lies_inside(parts: list[str], mark: str, start: str) -> None:
    root = Path(os.sep, "nowhere", "data")
    try:
        found = inside(root, start + mark.join(parts))
    except DataError:
        return
    assert Path(os.path.normpath(found)).is_relative_to(root)


def test_splits_go_by_several_names() -> None:
    assert choose_split("validation", ["train", "val"], "x") == "val"
    assert choose_split("test", ["base", "novel"], "x") == "novel"
    assert spellings("far") == ("far",)
    assert canonical("valid") == "validation"
    with pytest.raises(DataError, match="it has base, novel"):
        choose_split("val", ["base", "novel"], "x")


def test_a_list_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "images.txt")
    with pytest.raises(DataError, match="is no file"):
        text_lines(tmp_path / "images.txt")
    with pytest.raises(DataError, match=r"gone\.txt' cannot be read: No such file"):
        text_lines(tmp_path / "gone.txt")
