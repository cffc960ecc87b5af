"""Model folders: their own files are read, and nothing that they point to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from metaprobe.data.errors import CheckpointError
from metaprobe.models.reading.read import read_file
from metaprobe.models.reading.sandbox import run_child

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(3), "b.count": torch.tensor(2)}  # fmt: skip
CONFIG = {"model_type": "resnet", "image_size": 84}


def folder_of(folder: Path, state: dict[str, Tensor], config: object = CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(state, folder / "model.safetensors")
    return folder


def sharded(folder: Path, weight_map: dict[str, str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"a.weight": STATE["a.weight"]}, folder / "one.safetensors")
    save_file({n: STATE[n] for n in ("b.weight", "b.count")}, folder / "two.safetensors")
    index = weight_map or {"a.weight": "one.safetensors", **dict.fromkeys(("b.weight", "b.count"), "two.safetensors")}  # fmt: skip
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def code(path: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        read_file(path)
    return refused.value.code


def test_a_folder_gives_its_weights_and_its_settings(tmp_path: Path) -> None:
    found = read_file(folder_of(tmp_path / "m", STATE))
    assert found.format == "safetensors-folder"
    assert found.metadata["config"] == CONFIG
    assert all(torch.equal(found.tensors[n], t) for n, t in STATE.items())
    assert {name for name, _ in found.files} == {"config.json", "model.safetensors"}


def test_shards_give_what_one_file_gives(tmp_path: Path) -> None:
    found = read_file(sharded(tmp_path / "m"))
    assert found.tensors.keys() == STATE.keys()
    assert all(torch.equal(found.tensors[n], t) for n, t in STATE.items())
    assert read_file(tmp_path / "m" / "model.safetensors.index.json").sha256 == found.sha256


def test_the_hash_of_a_folder_is_that_of_its_content(tmp_path: Path) -> None:
    one = read_file(folder_of(tmp_path / "one", STATE)).sha256
    assert read_file(folder_of(tmp_path / "two", STATE), expect_sha256=one).sha256 == one
    changed = folder_of(tmp_path / "three", {**STATE, "b.count": torch.tensor(3)})
    assert read_file(changed).sha256 != one
    with pytest.raises(CheckpointError, match="not the expected"):
        read_file(changed, expect_sha256=one)


def test_a_file_of_torch_in_a_folder_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    assert read_file(tmp_path).format == "torch-folder"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("/etc/passwd", "path"), ("../x", "path"), ("sub/x", "path"), ("", "path"), ("no.safetensors", "cannot-open"), ("two.safetensors", "missing-tensor")],
)  # fmt: skip
def test_an_index_leads_only_to_shards_that_hold_what_it_says(
    tmp_path: Path, name: str, wrong: str
) -> None:
    assert code(sharded(tmp_path / "m", {"a.weight": name})) == wrong


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'])
def test_an_index_without_a_map_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert code(tmp_path) == "index"


def test_a_link_out_of_the_folder_is_refused_and_within_it_is_followed(tmp_path: Path) -> None:
    outside = folder_of(tmp_path / "outside", STATE)
    inside = folder_of(tmp_path / "inside", STATE)
    os.rename(inside / "model.safetensors", inside / "kept")
    (inside / "model.safetensors").symlink_to("kept")
    assert read_file(inside).tensors.keys() == STATE.keys()
    (inside / "model.safetensors").unlink()
    (inside / "model.safetensors").symlink_to(outside / "model.safetensors")
    assert code(inside) == "path"


def test_the_hubs_cache_keeps_its_bytes_beside_its_snapshots(tmp_path: Path) -> None:
    blobs = folder_of(tmp_path / "models--a--b" / "blobs", STATE)
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    assert read_file(snapshot).tensors.keys() == STATE.keys()
    assert blobs.exists()


def test_code_and_addresses_in_a_config_are_words(tmp_path: Path) -> None:
    config = {
        **CONFIG,
        "auto_map": {"AutoModel": "evil.Evil"},
        "pretrained_cfg": {"url": "http://x"},
    }
    found = read_file(folder_of(tmp_path / "m", STATE, config))
    assert found.metadata["config"] == config
    assert "auto_map" in next(f.sentence for f in found.flags if f.code == "instructions")


def test_a_folder_without_weights_or_with_broken_settings_is_refused(tmp_path: Path) -> None:
    assert code(tmp_path) == "no-weights"
    for n in "ab":
        save_file(STATE, tmp_path / f"{n}.safetensors")
    assert code(tmp_path) == "no-weights"
    folder = folder_of(tmp_path / "m", STATE)
    for text in ("{", '{"a": 1, "a": 2}', "[" * 50_000):
        (folder / "config.json").write_text(text)
        assert code(folder) == "damaged"


def test_a_tensor_that_the_index_does_not_name_is_said_and_not_read(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m", {"a.weight": "one.safetensors", "b.weight": "two.safetensors"})
    found = read_file(folder)
    assert found.tensors.keys() == {"a.weight", "b.weight"}
    assert "b.count" in next(f.sentence for f in found.flags if f.code == "unlisted")


def test_all_shards_share_the_time_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int | None] = []

    def slow(*args: Any) -> Any:
        given.append(args[3])
        return run_child(*args)

    used = iter([0.0, 9.0, 9.0, 9.5])
    monkeypatch.setattr("metaprobe.models.reading.folder._children", lambda: next(used))
    monkeypatch.setattr("metaprobe.models.reading.folder.run_child", slow)
    read_file(sharded(tmp_path / "m"))
    assert given == [16, 7]  # 15 seconds, 9 of which the first shard took
