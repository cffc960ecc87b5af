"""Tables of paths and labels, in text and in Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers import tables
from metaprobe.data.readers.options import ReadOptions
from metaprobe.data.readers.tables import csv_rows

from .layouts import pixels, save, write


def table(root: Path, form: str = "csv") -> Path:
    """Six images of three classes, four of them training, in two groups."""
    rows = []
    for i in range(6):
        save(root / "pictures" / f"{i}.png", pixels(i))
        split = "train" if i < 4 else "val"
        rows.append((f"pictures/{i}.png", "abc"[i // 2], split, "xxy"[i // 2]))
    frame = pd.DataFrame(rows, columns=["path", "label", "split", "group"])
    path = root / f"list.{form}"
    if form == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
    return path


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("named", ["", "table:"])
def test_a_table_gives_images_labels_splits_and_groups(
    tmp_path: Path, form: str, named: str
) -> None:
    source = f"{named}{table(tmp_path, form)}"
    found = open_dataset(source, "train")
    assert found.classes == ("a", "b")
    assert found.groups == ("x", "x")
    assert found.ids.tolist() == [f"pictures/{i}.png" for i in range(4)]
    assert (found.images[3] == pixels(3).transpose(2, 0, 1)).all()
    assert open_dataset(source, "validation").classes == ("c",)
    assert len(open_dataset(source, "all")) == 6
    with pytest.raises(DataError, match="it has train, val"):
        open_dataset(source, "test")


def test_columns_go_by_the_names_that_people_use(tmp_path: Path) -> None:
    save(tmp_path / "0.png", pixels(0))
    write(tmp_path / "a.csv", ["id;File_Name;Category", "7;0.png;cat"])
    found = open_dataset(tmp_path / "a.csv", "all")
    assert found.classes == ("cat",)
    write(tmp_path / "b.csv", ["file,what", "0.png,cat"])
    with pytest.raises(DataError, match="none is a label; call it one of label"):
        open_dataset(tmp_path / "b.csv", "all")


@pytest.mark.parametrize("path", ["../0.png", "/etc/passwd", "sub/../../0.png", "out/0.png"])
def test_a_row_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    save(tmp_path / "0.png", pixels(0))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to(tmp_path)
    write(tmp_path / "data" / "a.csv", ["path,label", f"{path},cat"])
    with pytest.raises(DataError, match="out of the folder"):
        open_dataset(tmp_path / "data" / "a.csv", "all")


def test_missing_files_empty_labels_and_two_groups_are_named(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.png", pixels(i))
    rows = ["path,label,group", "0.png,a,x", "1.png,a,y", "2.png,,x", "3.png,b,x", "9.png,b,x"]
    path = write(tmp_path / "a.csv", rows)
    with pytest.raises(DataError, match=r"3 of 5 .*no such file|3 of 5 .*groups 'x' and 'y'"):
        open_dataset(path, "all")
    found = open_dataset(path, "all", options=ReadOptions(max_unreadable=0.6))
    assert found.ids.tolist() == ["0.png", "3.png"]
    [note] = found.notes
    for words in ("no such file", "no label", "groups 'x' and 'y'"):
        assert words in note


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty"),
        (["path,label", "a.png"], "1 cells in row 2"),
        (["path,path,label", "a,b,c"], "'path' twice"),
        (["path,label", '"a.png,b'], "line 2"),
        (["path,label", "a" * 5000 + ",b"], "more than 4096"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_dataset(write(tmp_path / "a.csv", lines), "all")


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "parquet")
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], b"PAR1" + whole[4:-8] + b"\0" * 8):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no Parquet file"):
            open_dataset(path, "all")


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(
    str.strip
).filter(bool)  # fmt: skip


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_what_is_written_as_csv_is_read_back(rows: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("path", "label"), *rows])
    found = csv_rows(buffer.getvalue(), where="it")
    assert [(row.path, row.label) for row in found] == rows


@given(st.text(max_size=200))
def test_any_text_gives_rows_or_a_typed_error(text: str) -> None:
    try:
        rows = csv_rows(text, where="it")
    except DataError:
        return
    assert all(isinstance(row.path, str) for row in rows)


def test_a_parquet_file_of_kilobytes_may_not_announce_gigabytes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    save(tmp_path / "0.png", pixels(0))
    many = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000_000, np.int32)), ["0.png"])
    parquet.write_table(pa.table({"path": many, "label": many}), tmp_path / "rows.parquet")
    wide = pa.table({"path": pa.array(["x" * 300_000_000]), "label": ["a"]})
    bare = {"use_dictionary": False, "write_statistics": False}
    parquet.write_table(wide, tmp_path / "cell.parquet", compression="zstd", **bare)
    for name, words in (("rows", "more than 2,000,000 rows"), ("cell", "memory|limits")):
        path = tmp_path / f"{name}.parquet"
        assert path.stat().st_size < 10**6
        with pytest.raises(DataError, match=words):
            open_dataset(path, "all")


def test_rows_beyond_all_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 10)
    save(tmp_path / "0.png", pixels(0))
    write(tmp_path / "a.csv", ["path,label", *["0.png,a"] * 11])
    with pytest.raises(DataError, match="more than 10 rows"):
        open_dataset(tmp_path / "a.csv", "all")
    write(tmp_path / "a.csv", ["path,label", *["0.png,a"] * 10])
    with pytest.raises(DataError, match="listed twice"):
        open_dataset(tmp_path / "a.csv", "all")


def test_one_file_in_two_spellings_is_one_image(tmp_path: Path) -> None:
    save(tmp_path / "x" / "0.png", pixels(0))
    write(tmp_path / "a.csv", ["path,label", "x/0.png,a", "./x//0.png,b"])
    with pytest.raises(DataError, match=r"'x/0.png' .listed as 'a' and as 'b'"):
        open_dataset(tmp_path / "a.csv", "all")
