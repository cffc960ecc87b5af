"""Damage is seen: no cut, flip or change gives weights that were never saved."""

from __future__ import annotations

import hashlib
import io
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from metaprobe.data.errors import CheckpointError, MetaprobeError
from metaprobe.models.reading.child import parse
from metaprobe.models.reading.convert import convert_file
from metaprobe.models.reading.read import read_file
from metaprobe.models.reading.sniff import sniff

from . import assembler as a
from .corpus_parts import state, torched

GOOD = {
    "it.pt": torched(state()),
    "it.pth": torched(state(), _use_new_zipfile_serialization=False),
    "it.safetensors": save(dict(state())),
}
KINDS = {"it.pt": "torch-zip", "it.pth": "torch-legacy", "it.safetensors": "safetensors"}


def parsed(raw: bytes, name: str) -> dict[str, bytes]:
    """What the child would answer for a file: its tensors' values by name."""
    kind = sniff(raw[:8192], len(raw), name)
    if kind == "pickle":
        raise CheckpointError("a bare pickle", code="bare-pickle")
    answer, values = parse(raw, kind, None, name)
    return {t["name"]: bytes(v) for t, v in zip(answer["tensors"], values, strict=True)}


def code_of(raw: bytes, name: str) -> str:
    try:
        parsed(raw, name)
    except MetaprobeError as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("name", GOOD)
def test_the_undamaged_file_is_read(name: str) -> None:
    found = parsed(GOOD[name], name)
    assert found == {n: t.numpy().tobytes() for n, t in state().items()}


@pytest.mark.parametrize("name", GOOD)
def test_r12_a_file_cut_anywhere_is_refused(name: str) -> None:
    raw = GOOD[name]
    points = {0, 1, 7, 8, 9, len(raw) - 1, *np.linspace(10, len(raw) - 2, 34).astype(int).tolist()}
    assert len(points) == 40
    codes = {point: code_of(raw[:point], name) for point in points}
    assert "" not in codes.values()
    assert "internal" not in codes.values()


def test_r07_every_flipped_bit_of_a_weight_is_seen_by_the_checksum() -> None:
    raw, rng = GOOD["it.pt"], np.random.default_rng(0)
    places = []
    for tensor in state().values():
        values = tensor.numpy().tobytes()
        start = raw.find(values)
        assert start > 0
        places += list(range(start, start + len(values)))
    for place in rng.choice(places, 200):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << int(rng.integers(8))
        assert code_of(bytes(flipped), "it.pt") == "checksum", place


def test_r07_every_flipped_bit_of_a_safetensors_file_is_seen_by_its_hash(tmp_path: Path) -> None:
    raw, rng = GOOD["it.safetensors"], np.random.default_rng(1)
    right = hashlib.sha256(raw).hexdigest()
    path = tmp_path / "it.safetensors"
    for place in rng.integers(len(raw), size=200):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError) as refused:
            read_file(path, expect_sha256=right)
        assert refused.value.code == "sha256"
    path.write_bytes(raw)
    assert read_file(path, expect_sha256=right).tensors.keys() == state().keys()


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few bytes changed, taken out, doubled or cut off."""
    out = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        place, span = int(rng.integers(len(out))), int(rng.integers(1, 9))
        kind = rng.integers(5)
        if kind == 0:
            out[place] = int(rng.integers(256))
        elif kind == 1:
            out[place] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del out[place : place + span]
        elif kind == 3:
            out[place:place] = out[place : place + span]
        else:
            out[place : place + span] = rng.bytes(span)
    return bytes(out)


def as_torch_reads(raw: bytes, name: str) -> dict[str, bytes] | None:
    """The tensors as the original libraries read them, or None where they refuse."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.endswith(".safetensors"):
            found = load(raw)
        else:
            found = torch.load(io.BytesIO(raw), weights_only=True)
        return {n: t.contiguous().numpy().tobytes() for n, t in found.items()}
    return None


@pytest.mark.parametrize("name", GOOD)
def test_r04_changed_bytes_give_a_typed_refusal_or_what_the_library_reads(name: str) -> None:
    count = 2000
    rng = np.random.default_rng(count)
    compared = refused = 0
    for _ in range(count):
        # half of the changes fall into the small part that is a program or a header
        raw = mutated(GOOD[name], rng)
        if rng.random() < 0.5:
            raw = mutated(GOOD[name][:1500], rng) + GOOD[name][1500:]
        if name == "it.pt" and rng.random() < 0.5:
            raw = a.without_checksums_where_it_is_a_zip(raw)
        try:
            ours = parsed(raw, name)
        except MetaprobeError:
            refused += 1
            continue
        theirs = as_torch_reads(raw, name)
        if theirs is not None:
            compared += 1
            assert {n: theirs.get(n) for n in ours} == ours
    assert refused > count / 4
    assert name == "it.pt" or compared > 0


@given(st.binary(max_size=80), st.sampled_from(sorted(GOOD)))
@settings(max_examples=200, deadline=None)
def test_r04_any_bytes_behind_a_true_beginning_give_a_typed_refusal(raw: bytes, name: str) -> None:
    with suppress(MetaprobeError):
        parsed(GOOD[name][: 8 + len(raw)] + raw, name)


@given(st.binary(min_size=1, max_size=120))
@settings(max_examples=200, deadline=None)
def test_r04_any_program_in_a_sound_zip_gives_a_typed_refusal(body: bytes) -> None:
    with suppress(MetaprobeError):
        parsed(a.archive(body), "it.pt")


def test_r09_geometry_that_does_not_fit_its_bytes_is_refused_by_its_code() -> None:
    for view, code in (
        (a.tensor((10**6, 10**6), (0, 0)), "expanded"), (a.tensor(offset=1), "bounds"),
        (a.tensor((-4,)), "bounds"), (a.tensor((2,), (4,)), "bounds"),
        (a.tensor(of=a.storage(count=10**18)), "size"), (a.tensor(of=a.storage(count=5)), "size"),
    ):  # fmt: skip
        assert code_of(a.archive(a.table({"w": view})), "it.pt") == code


@given(
    st.lists(st.integers(-1, 5), max_size=3),
    st.lists(st.integers(-1, 6), max_size=3),
    st.integers(-1, 30),
)
@settings(max_examples=200, deadline=None)
def test_r09_a_view_is_read_just_where_torch_can_read_it(
    shape: list[int], stride: list[int], offset: int
) -> None:
    values = torch.arange(24.0)
    body = a.table({"w": a.tensor(shape, stride, offset, of=a.storage(count=24)), "v": a.tensor((24,), of=a.storage(count=24))})  # fmt: skip
    raw = a.archive(body, {"0": values.numpy().tobytes()})
    wanted = None
    if len(shape) == len(stride) and min([0, *shape, *stride, offset]) >= 0:
        with suppress(RuntimeError):
            wanted = values.as_strided(shape, stride, offset).contiguous()
    if wanted is None or wanted.numel() > 24:
        assert code_of(raw, "it.pt") in {"bounds", "expanded"}
    else:
        assert parsed(raw, "it.pt")["w"] == wanted.numpy().tobytes()


def test_r15_a_missing_tensor_never_becomes_random_weights(tmp_path: Path) -> None:
    (tmp_path / "good.pt").write_bytes(GOOD["it.pt"])
    for name in state():
        less = state()
        del less[name]
        torch.save(
            {"state_dict": {f"module.{n}": t for n, t in less.items()}}, tmp_path / "less.pt"
        )
        with pytest.raises(CheckpointError, match=name) as refused:
            convert_file(
                tmp_path / "less.pt", tmp_path / "out.safetensors", like=tmp_path / "good.pt"
            )
        assert refused.value.code == "missing-tensor"
    assert not (tmp_path / "out.safetensors").exists()


def test_a_tensor_of_another_shape_is_refused_and_one_more_is_flagged(tmp_path: Path) -> None:
    good, other = tmp_path / "good.pt", tmp_path / "other.pt"
    good.write_bytes(GOOD["it.pt"])
    torch.save(state() | {"features.0.conv.weight": torch.ones(8, 1, 3, 3)}, other)
    with pytest.raises(CheckpointError, match=r"\(8, 1, 3, 3\) and in .* \(8, 3, 3, 3\)"):
        convert_file(other, tmp_path / "out.safetensors", like=good)
    torch.save(state() | {"features.9.weight": torch.ones(2, 2)}, other)
    found = convert_file(other, tmp_path / "out.safetensors", like=good)
    assert [flag.code for flag in found.flags] == ["extra-tensors"]


@pytest.mark.parametrize("name", GOOD)
def test_r20_a_file_changed_after_it_was_read_changes_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[name])
    found = read_file(path)
    with open(path, "r+b") as file:
        file.write(b"\xff" * len(GOOD[name]))
    with open(path, "r+b") as file:
        file.truncate(10)
    assert {n: t.numpy().tobytes() for n, t in found.tensors.items()} == {
        n: t.numpy().tobytes() for n, t in state().items()
    }
