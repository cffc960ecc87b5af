"""A child that a file has taken over is not believed: whatever it answers is a refusal or a tensor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from metaprobe.data import confined
from metaprobe.data.errors import CheckpointError
from metaprobe.models.reading.read import read_file

ONE = {"name": "w", "dtype": "float32", "shape": [4], "bytes": 16, "storage": "0", "offset": 0, "stride": [1]}  # fmt: skip
WHOLE = {"tensors": [ONE], "candidates": [""], "chosen": "", "why": "", "metadata": {}, "flags": {}}
CHANGES: tuple[dict[str, Any], ...] = (
    {"shape": [2**40]}, {"shape": [-4]}, {"shape": "4"}, {"shape": [0, 2**60, 2**60]},
                {"dtype": "complex64"}, {"dtype": "load"}, {"name": 3}, {"stride": 3},
                {"stride": ["x"]}, {"offset": []}, {"bytes": "x"}, {"storage": 0},
)  # fmt: skip


def framed(answer: Any, values: bytes = b"") -> str:
    """A child's program that answers so."""
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return f"out.write({len(text).to_bytes(8, 'little') + text + values!r})"


def read(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> dict[str, torch.Tensor]:
    save_file({"v": torch.ones(2)}, folder / "it.safetensors")
    start = (
        f"import os, sys, time; out = sys.stdout.buffer; sys.stderr.write('x' * 10**6); {program}"
    )
    monkeypatch.setattr(confined, "START", start)
    monkeypatch.setattr(confined, "SECONDS", 1)
    return dict(read_file(folder / "it.safetensors").tensors)


def test_an_answer_of_the_right_form_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sys.byteorder == "little"
    found = read(tmp_path, monkeypatch, framed(WHOLE, b"\0\0\x80?" * 4))
    assert torch.equal(found["w"], torch.ones(4))


@pytest.mark.parametrize(
    "program",
    [
        "os._exit(3)", "os.kill(os.getpid(), 9)", "time.sleep(60)", "print('hello' * 100_000)",
        "out.write((2**62).to_bytes(8, 'little'))", framed(b"{"), framed(b"[" * 100_000),
        framed([]), framed(3), framed({"refused": 3}), framed({}), framed(WHOLE, b"ab"),
        framed(WHOLE | {"flags": [1]}, bytes(16)), framed(WHOLE | {"candidates": 3}, bytes(16)),
        framed(WHOLE | {"tensors": [ONE, ONE]}, bytes(32)), framed({"tensors": [ONE]}, bytes(16)),
        *(
            framed(WHOLE | {"tensors": [ONE | change]}, bytes(16))
            for change in CHANGES
        ),
    ],
)  # fmt: skip
def test_any_other_answer_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    with pytest.raises(CheckpointError) as refused:
        read(tmp_path, monkeypatch, program)
    assert refused.value.code == "limits"
