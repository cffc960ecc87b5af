"""Datasets saved to disk: what that library wrote, and copies of it that are damaged."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError

from .layouts import pixels, png, save

pa = pytest.importorskip("pyarrow")

WRITTEN = Path(__file__).parent / "written-by-datasets"
"""`DatasetDict.save_to_disk` of datasets 5.2.0: train of 9, test of 6 images, seeds 0… and 100…"""


def drawn(seed: int) -> Any:
    return pixels(seed).transpose(2, 0, 1)


@pytest.mark.parametrize("named", ["", "hf-datasets:"])
def test_what_the_library_wrote_is_read_bit_for_bit(named: str) -> None:
    train, test = (open_dataset(f"{named}{WRITTEN}", split) for split in ("train", "test"))
    assert train.classes == ("apple", "bear", "cat")
    assert train.groups == ("fruit", "animal", "animal")
    assert train.labels.tolist() == [0, 1, 2] * 3
    assert all(np.array_equal(train.images[i], drawn(i)) for i in range(9))
    assert all(np.array_equal(test.images[i], drawn(100 + i)) for i in range(6))
    assert len(open_dataset(f"{named}{WRITTEN}", "all")) == 15
    with pytest.raises(DataError, match="it has train, test"):
        open_dataset(f"{named}{WRITTEN}", "validation")


def saved(
    home: Path,
    columns: dict[str, Any],
    features: dict[str, Any],
    *,
    whole: bool = False,
    at_once: bool = False,
    compression: str | None = None,
) -> Path:
    """One split as `save_to_disk` lays it out, as an Arrow stream or as an Arrow file."""
    home.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    make = pa.ipc.new_file if whole else pa.ipc.new_stream
    options = pa.ipc.IpcWriteOptions(compression=compression)
    file = str(home / "data-00000-of-00001.arrow")
    with make(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=None if at_once else 2)
    (home / "dataset_info.json").write_text(json.dumps({"features": features}))
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (home / "state.json").write_text(json.dumps(state))
    return home


IMAGE = {"image": {"_type": "Image"}}
TEXT = {"label": {"dtype": "string", "_type": "Value"}}


@pytest.mark.parametrize("whole", [False, True])
def test_labels_in_text_and_images_by_path(tmp_path: Path, whole: bool) -> None:
    save(tmp_path / "files" / "3.png", pixels(3))
    content: list[Any] = [{"bytes": png(pixels(i)), "path": None} for i in range(3)]
    content.append({"bytes": None, "path": "files/3.png"})
    columns = {"image": content, "label": ["x", "y", "x", "y"]}
    found = open_dataset(saved(tmp_path, columns, {**IMAGE, **TEXT}, whole=whole), "anything")
    assert found.classes == ("x", "y")
    assert all(np.array_equal(found.images[i], drawn(i)) for i in range(4))


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd"])
def test_a_path_may_not_lead_out(tmp_path: Path, path: str) -> None:
    save(tmp_path / "secret.png", pixels(0))
    columns = {"image": [{"bytes": None, "path": path}], "label": ["x"]}
    home = saved(tmp_path / "data", columns, {**IMAGE, **TEXT})
    with pytest.raises(DataError, match="out of the folder"):
        open_dataset(home, "all")
    (home / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../x.arrow"}]}))
    with pytest.raises(DataError, match="out of the folder"):
        open_dataset(home, "all")


def test_labels_without_a_name_and_rows_without_an_image_are_named(tmp_path: Path) -> None:
    content = [{"bytes": png(pixels(0)), "path": None}, {"bytes": None, "path": None}] * 2
    names = {"label": {"names": ["a"], "_type": "ClassLabel"}}
    home = saved(tmp_path, {"image": content, "label": [0, 0, 1, 0]}, {**IMAGE, **names})
    with pytest.raises(DataError, match=r"3 of 4 .*neither bytes nor path.*label 1 has no name"):
        open_dataset(home, "all")


def test_columns_are_found_by_their_type_and_asked_for_otherwise(tmp_path: Path) -> None:
    columns = {"photo": [{"bytes": png(pixels(0)), "path": None}], "what": ["x"]}
    home = saved(tmp_path, columns, {"photo": {"_type": "Image"}, "what": TEXT["label"]})
    with pytest.raises(DataError, match="no columns of type ClassLabel among 'photo', 'what'"):
        open_dataset(home, "all")
    (home / "dataset_info.json").write_text(
        json.dumps({"features": {"photo": IMAGE["image"], "label": TEXT["label"]}})
    )
    with pytest.raises(DataError, match="has columns 'photo', 'what', not one 'label'"):
        open_dataset(home, "all")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("dataset_dict.json", "[]", "no JSON object"),
        ("dataset_dict.json", '{"splits": ["../x"]}', "not in the folder"),
        ("dataset_dict.json", '{"splits": 3}', "names no splits"),
        ("train/state.json", "{", "no JSON"),
        ("train/state.json", "{}", "no data files"),
        ("train/state.json", '{"_data_files": [{"filename": "gone.arrow"}]}', "lacks its file"),
        ("train/state.json", '{"_indices_data_files": [1]}', "flatten_indices"),
        ("train/dataset_info.json", "{}", "no features"),
        ("train/data-00000-of-00001.arrow", "", "no Arrow file"),
        ("train/data-00000-of-00001.arrow", "ARROW1\0\0 and so on", "no Arrow file"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(WRITTEN, root)
    (root / name).write_text(content)
    with pytest.raises(DataError, match=words):
        open_dataset(f"hf-datasets:{root}", "train")


@pytest.mark.parametrize("at", range(0, 3000, 97))
def test_a_flipped_bit_gives_images_or_a_typed_error(tmp_path: Path, at: int) -> None:
    root = tmp_path / "copy"
    shutil.copytree(WRITTEN / "train", root)
    path = root / "data-00000-of-00001.arrow"
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1 << at % 8
    path.write_bytes(raw)
    try:
        found = open_dataset(root, "train")
    except DataError:
        return
    assert len(found) == 9


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"metaprobe\[arrow\]"):
        open_dataset(WRITTEN, "train")


def test_rows_that_take_no_bytes_are_counted_before_they_are_made(tmp_path: Path) -> None:
    nothing = pa.nulls(10**9)
    home = saved(tmp_path, {"image": nothing, "label": nothing}, {**IMAGE, **TEXT}, at_once=True)
    assert (home / "data-00000-of-00001.arrow").stat().st_size < 10_000
    with pytest.raises(DataError, match="more than 2,000,000 rows"):
        open_dataset(home, "all")


@pytest.mark.parametrize(
    ("million", "words"), [(200, "unpacks to far more"), (1600, "more memory than")]
)
def test_r05_a_compressed_file_may_not_unpack_to_more_than_images_do(
    tmp_path: Path, million: int, words: str
) -> None:
    one = pa.array([{"bytes": bytes(million * 10**6), "path": None}])
    columns = {"image": one, "label": pa.array(["x"])}
    home = saved(tmp_path, columns, {**IMAGE, **TEXT}, compression="zstd")
    assert (home / "data-00000-of-00001.arrow").stat().st_size < 10**6
    with pytest.raises(DataError, match=words):
        open_dataset(home, "all")
