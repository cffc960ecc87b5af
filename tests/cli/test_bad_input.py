"""Bad input ends in one clear sentence and status 2, with nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from metaprobe.models.checkpoint import shipped

from .conftest import Command, Outcome

SHIPPED = "maml-glyphs-s0"


def refused(done: Outcome, *words: str) -> None:
    """One sentence on standard error, nothing on standard output, status 2."""
    assert done.status == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("metaprobe: ")
    for word in words:
        assert word in lines[0]


def test_a_missing_file_names_what_there_is(command: Command) -> None:
    refused(command("audit", "nowhere.safetensors"), "nowhere.safetensors", SHIPPED)


@pytest.mark.parametrize(
    "content", [b"", b"<!doctype html><html>", b"\x80\x02}q\x00.", bytes(range(256)) * 8]
)
def test_what_is_no_checkpoint_is_refused(command: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.safetensors").write_bytes(content)
    refused(command("audit", "odd.safetensors"), "odd.safetensors")


def changed(path: Path, name: str, tensor: torch.Tensor) -> None:
    """A shipped checkpoint with one tensor replaced, written without our own checks."""
    good = shipped()[SHIPPED]
    with safe_open(good, "pt") as file:
        save_file({**load_file(good), name: tensor}, path, file.metadata())


def test_a_tensor_of_another_shape_is_refused_by_name(command: Command, tmp_path: Path) -> None:
    changed(tmp_path / "a.safetensors", "body.block1.conv.weight", torch.zeros(7, 1, 3, 3))
    refused(command("audit", "a.safetensors"), "block1.conv.weight", "(7, 1, 3, 3)")


def test_nan_weights_are_refused_by_name(command: Command, tmp_path: Path) -> None:
    changed(tmp_path / "a.safetensors", "head.bias", torch.full((5,), float("nan")))
    refused(command("audit", "a.safetensors"), "head.bias", "NaN")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "nonsense"), ("nonsense", "glyphs", "digits")),
        (("--split", "nonsense"), ("nonsense", "validation")),
        (("--way", "300"), ("399 classes", "--way")),
        (("--way", "7", "--head", "stored"), ("5 outputs", "--way 5", "--head zeros")),
        (("--query", "19"), ("21 images", "--query")),
        (("-k", "6"), ("k=6", "gallery of 5")),
        (("--norm", "layer"), ("layer", "batch, running, support")),
        (("--gallery", "old"), ("old", "support, fresh, both")),
        (("--episodes", "1"), ("episodes is 1",)),
        (("--off-data", "glyphs/test"), ("share", "classes")),
        (("--device", "tpu"), ("tpu", "auto")),
        (("--sesoi", "0"), ("smallest effect of interest",)),
        (("--way", "five"), ("--way",)),
        (("--no-such-option",), ("--no-such-option",)),
    ],
)
def test_settings_that_cannot_be_met_say_what_can(
    command: Command, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(command("audit", SHIPPED, *options, "--out", tmp_path / "out"), *words)
    assert not list(tmp_path.glob("out/*"))


def test_images_of_another_shape_need_leave_to_be_resized(command: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12 * 20, 3, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", images=images, labels=np.repeat(np.arange(12), 20))
    refused(
        command("audit", SHIPPED, "--data", "colour.npz"), "(3, 16, 16)", "(1, 28, 28)", "--resize"
    )
    done = command(
        "audit",
        SHIPPED,
        "--data",
        "colour.npz",
        "--resize",
        "--episodes",
        4,
        "--json",
        "--no-cache",
    )
    assert done.status == 0, done.err
    assert json.loads(done.out)["episodes"]["n"] == 4


def test_a_folder_that_cannot_be_written_is_found_out_before_the_work(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(command("audit", SHIPPED, "--out", tmp_path / "file" / "out"), "cannot be written")
    refused(command("audit", SHIPPED, "--cache", tmp_path / "file"), "--no-cache")


@pytest.mark.parametrize(
    ("options", "limit", "words"),
    [
        (("--cache", "store"), 32, ("store", "free some space")),
        (("--no-cache", "--out", "out"), 96, ("out/", "cannot be written", "free space")),
    ],
)
def test_a_disk_that_fills_up_ends_in_one_sentence_and_leaves_nothing_half_written(
    command: Command, process: Command, tmp_path: Path, options: tuple[str, ...], limit: int,
    words: tuple[str, ...],
) -> None:  # fmt: skip
    command("data", "show", "glyphs")  # built beforehand: it would not fit either
    small = ("audit", SHIPPED, "--episodes", "24", "--query", "2", "--jobs", "2")
    # a limit on the size of files fails as a full disk does, and needs no rights
    refused(process(*small, *options, files=limit), *words)
    assert not [p for p in tmp_path.rglob(".*") if p.is_file()]
    # entries that were whole before may stay, and are
    assert command("cache", "verify", "--cache", tmp_path / "store").status == 0
    assert not list(tmp_path.glob("out/*.*"))
    assert command(*small, *options).status == 0


def test_a_read_only_store_is_refused(unprivileged: Command, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    refused(unprivileged("audit", SHIPPED, "--cache", "locked"), "locked", "--no-cache")
    assert not list(tmp_path.glob("locked/*"))


def test_a_read_only_folder_for_results_is_refused(unprivileged: Command, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    refused(
        unprivileged("audit", SHIPPED, "--no-cache", "--out", "locked"),
        "locked",
        "cannot be written",
    )
    assert not list(tmp_path.glob("locked/*"))


def test_an_unknown_study_is_named_as_an_argument(command: Command) -> None:
    refused(command("study", "nosuch"), "study 'nosuch' is unknown; known are", "starshak2022")
    assert "--study" not in command("study", "nosuch").err


def test_a_recipe_that_is_not_there_says_what_to_give(command: Command) -> None:
    refused(command("train", "nofile.toml"), "nofile.toml", "name a recipe in TOML")


def test_a_recipe_with_an_unknown_key_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('learner = "maml"\nsteps = 3\n')
    refused(command("train", "r.toml"), "r.toml", "steps")
    assert not list(tmp_path.glob("*.safetensors*"))


def test_a_fault_of_its_own_is_never_taken_for_a_failed_check(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metaprobe import cli

    def broken(**_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.delenv("METAPROBE_DEBUG", raising=False)
    refused(command("inspect", SHIPPED), "RuntimeError: first line;", "METAPROBE_DEBUG=1")
    monkeypatch.setenv("METAPROBE_DEBUG", "1")
    done = command("inspect", SHIPPED)
    assert done.status == 2
    assert "Traceback" in done.err
