"""Checkpoints: what goes out comes back, and nothing else comes in."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from metaprobe.data.errors import CheckpointError, MetaprobeError
from metaprobe.models import checkpoint as module
from metaprobe.models.checkpoint import digest, find_checkpoint, read_checkpoint, write_checkpoint
from metaprobe.models.container import decode, encode
from metaprobe.models.encoder import load_encoder

from .runs import trained


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint with learned rates."""
    return trained(tmp_path_factory.mktemp("good"), "meta-sgd")


def reworded(path: Path, out: Path, **words: str | None) -> Path:
    """The same checkpoint with other metadata."""
    tensors, old = decode(path.read_bytes(), str(path))
    out.write_bytes(encode(tensors, {k: v for k, v in {**old, **words}.items() if v is not None}))
    return out


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensors = {
        "head.bias": torch.arange(5.0),
        "body.count": torch.tensor(3),
        "rates.a": torch.eye(2),
    }
    metadata = {
        "seed": 1,
        "rule": {"name": "sgd", "lr": 0.1},
        "history": [[1, 0.5, None]],
        "é": "ü",
    }
    path = tmp_path / "new" / "one.safetensors"
    write_checkpoint(path, tensors, metadata)
    found = read_checkpoint(path)
    assert found.metadata == metadata
    assert found.name == "one"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
    assert list(path.parent.iterdir()) == [path]


def test_writing_what_was_read_gives_the_same_bytes(good: Path, tmp_path: Path) -> None:
    found = read_checkpoint(good)
    write_checkpoint(tmp_path / "again", found.tensors, found.metadata)
    assert (tmp_path / "again").read_bytes() == good.read_bytes()


def test_metadata_have_the_agreed_keys(good: Path) -> None:
    _, words = decode(good.read_bytes(), str(good))
    agreed = {
        "metaprobe.format",
        "architecture",
        "rule",
        "data",
        "recipe",
        "seed",
        "step",
        "version",
    }
    assert agreed <= set(words)
    assert {"name", "fingerprint", "split"} <= set(json.loads(words["data"]))


def test_a_renamed_file_is_the_same_checkpoint_under_another_name(
    good: Path, tmp_path: Path
) -> None:
    other = shutil.copy(good, tmp_path / "other")
    one, two = load_encoder(good), load_encoder(other)
    assert (one.name, two.name) == ("meta-sgd", "other")
    assert one.weights_digest == two.weights_digest
    assert one.rule_digest == two.rule_digest
    assert one.checkpoint is not None
    assert two.checkpoint is not None
    assert one.checkpoint.sha256 == two.checkpoint.sha256


def test_a_file_cut_short_anywhere_is_refused(good: Path, tmp_path: Path) -> None:
    raw = good.read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    rng = np.random.default_rng(0)
    points = {0, 1, 7, 8, 9, header - 1, header, header + 1, len(raw) - 1}
    while len(points) < 40:
        points.add(int(rng.integers(len(raw))))
    for point in sorted(points):
        (tmp_path / "cut").write_bytes(raw[:point])
        with pytest.raises(CheckpointError) as refused:
            read_checkpoint(tmp_path / "cut")
        assert refused.value.code in {"not-a-checkpoint", "damaged"}, point


def test_a_file_with_bytes_to_spare_is_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(good.read_bytes() + b"\0")
    with pytest.raises(CheckpointError):
        load_encoder(tmp_path / "long")


def test_no_flipped_bit_crashes_the_reader(good: Path, tmp_path: Path) -> None:
    """Every flip is either refused or changes the file's hash.

    A flip among the values usually gives other finite weights: nothing in the file can tell
    them from the right ones, but its SHA-256 does, and a card states that.
    """
    raw = good.read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    rng = np.random.default_rng(0)
    places = [
        *rng.integers(0, 8, 20),
        *rng.integers(8, header, 150),
        *rng.integers(header, len(raw), 30),
    ]
    refused = 0
    for place in map(int, places):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "flipped").write_bytes(flipped)
        try:
            found = load_encoder(tmp_path / "flipped")
        except CheckpointError:
            refused += 1
        else:
            assert place >= 8
            assert found.checkpoint is not None
            assert found.checkpoint.sha256 != hashlib.sha256(raw).hexdigest()
    assert refused > 60


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    key=st.sampled_from(["architecture", "rule", "data"]),
    inner=st.sampled_from(["name", "lr", "steps", "adapts", "norm", "shape", "filters", None]),
    value=JSON,
)
def test_no_metadata_crash_the_loader(
    good: Path, tmp_path: Path, key: str, inner: str | None, value: Any
) -> None:
    old = read_checkpoint(good).metadata[key]
    new = value if inner is None else {**old, inner: value}
    path = reworded(good, tmp_path / "reworded", **{key: json.dumps(new)})
    with suppress(CheckpointError):
        load_encoder(path)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"rule": "{"}, "damaged"),
        ({"rule": "[" * 50_000}, "damaged"),
        ({"rule": "9" * 10_000}, "damaged"),
        ({"metaprobe.format": None}, "unknown-architecture"),  # anybody's file, then
        ({"metaprobe.format": "metaprobe.checkpoint/2"}, "foreign-checkpoint"),
        ({"rule": None}, "metadata"),
        ({"data": "{}"}, "metadata"),
        ({"architecture": '"conv4"'}, "metadata"),
        ({"architecture": '{"name": "vgg"}'}, "unknown-architecture"),
        ({"architecture": '{"name": "conv4", "filters": 1000000}'}, "unknown-architecture"),
        ({"architecture": '{"name": "conv4", "filters": 8}'}, "shape"),
        ({"data": '{"shape": [1, 16, 1000000]}'}, "metadata"),
        ({"data": '{"shape": [1, 4, 4]}'}, "image-shape"),
        ({"data": '{"shape": [3, 16, 16]}'}, "image-shape"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused(
    good: Path, tmp_path: Path, words: dict[str, str | None], code: str
) -> None:
    with pytest.raises(CheckpointError) as refused:
        load_encoder(reworded(good, tmp_path / "reworded", **words))
    assert refused.value.code == code


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "page").write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>" * 9)
    (tmp_path / "zip").write_bytes(b"PK\x03\x04" + bytes(500))
    (tmp_path / "pickle").write_bytes(b"\x80\x02cos\nsystem\nS'true'\ntR.")
    (tmp_path / "huge").write_bytes((2**62).to_bytes(8, "little") + bytes(100))
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    codes = {}
    for name in (
        "pipe",
        "folder",
        "empty",
        "page",
        "zip",
        "pickle",
        "huge",
        "foreign",
        "loop",
        "none",
    ):
        with pytest.raises(CheckpointError) as refused:
            read_checkpoint(tmp_path / name)
        codes[name] = refused.value.code
    assert codes == {
        "pipe": "not-a-file",
        "folder": "not-a-file",
        **dict.fromkeys(("empty", "page", "zip", "pickle", "huge"), "not-a-checkpoint"),
        "foreign": "not-ours",
        "loop": "missing-file",
        "none": "missing-file",
    }


def test_a_device_is_not_read() -> None:
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_checkpoint("/dev/zero")


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "maml-glyphs-s999"])
def test_a_name_that_is_nothing_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(name)
    assert refused.value.code in {"missing-file", "not-a-file"}


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(module.LARGEST + 1)
    with pytest.raises(CheckpointError, match="are allowed") as refused:
        read_checkpoint(tmp_path / "sparse")
    assert refused.value.code == "too-large"


def test_a_folder_does_not_hide_a_shipped_checkpoint(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "shipped", lambda: {"maml": good})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maml").mkdir()
    assert find_checkpoint("maml") == good
    assert find_checkpoint(tmp_path) == tmp_path


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["body.block1.conv.weight", "head.bias", "rates.head.bias"])
def test_values_that_are_not_finite_are_neither_written_nor_read(
    good: Path, tmp_path: Path, name: str, value: float
) -> None:
    found = read_checkpoint(good)
    tensors = {n: t.clone() for n, t in found.tensors.items()}
    tensors[name].view(-1)[0] = value
    with pytest.raises(CheckpointError, match=f"'{name}'.* holds 1 values") as refused:
        write_checkpoint(tmp_path / "bad", tensors, found.metadata)
    assert refused.value.code == "not-finite"
    assert not list(tmp_path.iterdir())
    _, words = decode(good.read_bytes(), str(good))
    (tmp_path / "bad").write_bytes(encode(tensors, words))
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        read_checkpoint(tmp_path / "bad")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.float8_e4m3fn, torch.bool])
def test_tensors_of_another_type_are_refused(
    good: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    tensors, words = decode(good.read_bytes(), str(good))
    tensors["head.bias"] = tensors["head.bias"].to(dtype)
    (tmp_path / "bad").write_bytes(encode(tensors, words))
    with pytest.raises(CheckpointError, match=r"torch\.float32 and torch\.int64 are allowed"):
        read_checkpoint(tmp_path / "bad")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "one.safetensors"
    path.write_bytes(b"before")
    found = read_checkpoint(good)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(MetaprobeError, match="No space left on device") as refused:
        write_checkpoint(path, found.tensors, found.metadata)
    assert refused.value.code == "cannot-write"
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MetaprobeError, match="cannot be written"):
        write_checkpoint(tmp_path / "file" / "one.safetensors", {}, {})


def test_a_digest_sees_names_types_shapes_and_every_value() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.tensor(1.0)}
    others: list[dict[str, torch.Tensor]] = [
        {"a": torch.zeros(3, 2), "b": torch.tensor(1.0)},
        {"a": torch.zeros(2, 3), "b": torch.tensor(1.0, dtype=torch.float64)},
        {"a": torch.zeros(2, 3), "c": torch.tensor(1.0)},
        {"a": torch.zeros(2, 3), "b": torch.tensor(1.0000001)},
        {"a": torch.zeros(2, 3)},
        {"a": torch.tensor([[0.0, 0, 0], [0, -0.0, 0]]), "b": torch.tensor(1.0)},
    ]
    found = [digest(t) for t in (base, *others)]
    assert len(set(found)) == len(found)


def test_a_digest_does_not_see_order_or_memory_layout() -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.tensor(True)
    assert digest({"a": a, "b": b}) == digest({"b": b, "a": a.t().contiguous().t()})


def test_a_digest_is_what_it_always_was() -> None:
    """Store keys hold digests: a change would forget every stored embedding."""
    plain = hashlib.sha256(b"metaprobe-tensors-v1")
    plain.update(b"a\0torch.float32\0(2,)\0" + np.array([1, 2], "<f4").tobytes())
    plain.update(b"b\0torch.int64\0()\0" + np.array(3, "<i8").tobytes())
    assert digest({"b": torch.tensor(3), "a": torch.tensor([1.0, 2.0])}) == plain.hexdigest()


def test_a_file_that_does_not_speak_of_our_format_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object) -> None:
        raise AssertionError("parsed")

    save_file({"w": torch.ones(2)}, tmp_path / "it.safetensors")
    monkeypatch.setattr("metaprobe.models.checkpoint.decode", never)
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(tmp_path / "it.safetensors")
    assert refused.value.code == "not-ours"
    with open(tmp_path / "it.pt", "wb") as file:
        file.write(b"PK\3\4" + bytes([1] * 4))
        file.truncate(3 * 2**29)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(tmp_path / "it.pt")
    assert refused.value.code == "not-a-checkpoint"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18
