"""`metaprobe convert`: the same tensors under the same names, and what was noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .conftest import Command

STATE = {"module.a.weight": torch.arange(6.0).reshape(2, 3).T, "module.a.bias": torch.ones(3)}


def test_tensors_are_written_under_their_own_names(command: Command, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "in.ckpt")
    done = command("convert", tmp_path / "in.ckpt", "out.safetensors", "--json")
    facts = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (facts["state_dict"], facts["prefix"], facts["tensors"]) == ("state_dict", "module.", 2)
    again = load_file(tmp_path / "out.safetensors")
    assert again.keys() == STATE.keys()
    assert all(torch.equal(again[n], t) for n, t in STATE.items())
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        words = file.metadata()
    assert json.loads(words["source.settings"]) == {"epoch": 3}
    assert words["source.sha256"] == facts["sha256"]


def test_what_was_converted_converts_to_the_same_bytes(command: Command, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "in.pt")
    for one, two in (("in.pt", "a.safetensors"), ("a.safetensors", "b.safetensors")):
        assert command("convert", tmp_path / one, tmp_path / two).status == 0
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_choice_is_told_and_can_be_made(command: Command, tmp_path: Path) -> None:
    other = {n: t + 1 for n, t in STATE.items()}
    torch.save({"model": STATE, "model_ema": other}, tmp_path / "in.pt")
    told = command("convert", tmp_path / "in.pt", "a.safetensors").out
    assert "model is read, not model_ema" in told
    command("convert", tmp_path / "in.pt", "b.safetensors", "--state-key", "model_ema")
    assert torch.equal(load_file(tmp_path / "b.safetensors")["module.a.bias"], torch.ones(3) + 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("in.pt", "out.bin"), "give it the ending .safetensors"),
        (("in.safetensors", "in.safetensors"), "write to another"),
        (("none.pt", "out.safetensors"), "cannot be opened: No such file"),
        (("in.pt", "out.safetensors", "--sha256", "00"), "not the expected 00"),
        (("in.pt", "out.safetensors", "--state-key", "model"), "has no state dict 'model'"),
        (("empty", "out.safetensors"), "holds no weights"),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(
    command: Command, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    torch.save(STATE, tmp_path / "in.pt")
    save_file({n: t.contiguous() for n, t in STATE.items()}, tmp_path / "in.safetensors")
    (tmp_path / "empty").mkdir()
    done = command("convert", *words)
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_r19_signs_in_names_never_reach_the_terminal(command: Command, tmp_path: Path) -> None:
    evil = "a\x1b[2J\x07\u202e<b>"
    torch.save({evil: torch.ones(2)}, tmp_path / f"{evil}.pt")
    done = command("convert", tmp_path / f"{evil}.pt", "out.safetensors")
    refused = command("convert", tmp_path / f"{evil}none.pt", "out.safetensors")
    assert (done.status, refused.status) == (0, 2)
    seen = command("inspect", tmp_path / f"{evil}.pt")
    assert seen.status == 0
    assert "a\\x1b[2J" in seen.out
    for text in (done.out, done.err, refused.err, seen.out, seen.err):
        assert not set("\x1b\x07\u202e") & set(text)


def test_a_folder_is_not_converted_into_its_own_file(command: Command, tmp_path: Path) -> None:
    save_file({n: t.contiguous() for n, t in STATE.items()}, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    done = command("convert", tmp_path, tmp_path / "model.safetensors")
    assert (done.status, "write to another" in done.err) == (2, True)
    assert (tmp_path / "model.safetensors").read_bytes() == before
