"""Safetensors bytes: deterministic going out, distrustful coming in."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from metaprobe.data.errors import CheckpointError
from metaprobe.models.container import LONGEST_HEADER, decode, encode

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(7), "empty": torch.empty(0, 4)}
WORDS = {f"key {i}": f'wörd {i} "quoted" \n' for i in range(12)}


def test_equal_content_gives_equal_bytes_whatever_the_order() -> None:
    """The library's own writer shuffles metadata; this is what it would cost."""
    backwards = {n: TENSORS[n] for n in reversed(TENSORS)}
    shuffled = {k: WORDS[k] for k in reversed(WORDS)}
    assert len({encode(TENSORS, WORDS), encode(backwards, shuffled), encode(TENSORS, WORDS)}) == 1
    assert len({save(TENSORS, WORDS) for _ in range(8)}) > 1


def test_the_library_reads_what_is_written() -> None:
    raw = encode(TENSORS, WORDS)
    found = load(raw)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[n], t) for n, t in TENSORS.items())
    assert int.from_bytes(raw[:8], "little") % 8 == 0


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        max_size=5,
    ),
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=5),
        st.lists(st.floats(width=32), max_size=6),
        max_size=4,
    ),
)
def test_everything_comes_back(words: dict[str, str], values: dict[str, list[float]]) -> None:
    tensors: dict[str, Tensor] = {n: torch.tensor(v) for n, v in values.items()}
    found, read = decode(encode(tensors, words), "here")
    assert read == words
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(found[n].view(torch.int32), t.view(torch.int32)) for n, t in tensors.items()
    )


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_no_bytes_break_it(raw: bytes) -> None:
    with pytest.raises(CheckpointError) as refused:
        decode(raw, "here")
    assert refused.value.code in {"not-a-checkpoint", "damaged"}


@pytest.mark.parametrize(
    "header",
    [
        b"{]",
        b"[]",
        b"[" * 100_000,
        b'{"x": 5}',
        b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [9223372036854775807, 4], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 99999999999]}}',
        b'{"x": {"dtype": "F32", "shape": [1]}}',
        b'{"__metadata__": {"a": 1}}',
        b'{"__metadata__": "a"}',
        b'{"__metadata__": {"a": ' + b"9" * 5000 + b"}}",
        b'{"\xff": {}}',
    ],
    ids=lambda header: header[:40].decode(errors="replace"),
)
def test_a_header_that_lies_is_refused(header: bytes) -> None:
    with pytest.raises(CheckpointError) as refused:
        decode(len(header).to_bytes(8, "little") + header + bytes(4), "here")
    assert refused.value.code == "damaged"


@pytest.mark.parametrize("length", [0, 1, 200, LONGEST_HEADER + 1, 2**63, 2**64 - 1])
def test_a_header_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(CheckpointError, match="does not fit"):
        decode(length.to_bytes(8, "little") + json.dumps({}).encode() + bytes(90), "here")


def test_a_name_that_stands_twice_is_refused_though_the_library_takes_the_last() -> None:
    one = b'"w":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}'
    header = b"{" + one + b"," + one.replace(b"I32", b"F32") + b"}"
    raw = len(header).to_bytes(8, "little") + header + bytes(4)
    assert load(raw)["w"].dtype == torch.float32
    with pytest.raises(CheckpointError, match="stands twice"):
        decode(raw, "it")


def test_a_header_of_millions_of_values_is_not_parsed_in_this_process() -> None:
    text = b'{"__metadata__":{"metaprobe.format":"1"},"w":[' + b"[]," * 600_000 + b"[]]}"
    with pytest.raises(CheckpointError) as refused:
        decode(len(text).to_bytes(8, "little") + text, "it")
    assert refused.value.code == "too-large"
    assert "500,000 are allowed" in str(refused.value)


def test_a_name_that_no_file_can_hold_is_refused() -> None:
    for name in ("__metadata__", "a\ud800"):
        with pytest.raises(CheckpointError, match="cannot hold"):
            encode({name: torch.ones(1)}, {})
