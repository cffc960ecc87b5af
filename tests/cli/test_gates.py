"""`metaprobe audit --fail-if --baseline`: statuses and lines that a training run's CI relies on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from metaprobe.models.checkpoint import shipped

from .conftest import Command

NAME = "meta-sgd-glyphs-s0"
SMALL = ("--episodes", "24", "--query", "5")


@pytest.fixture
def old(command: Command, tmp_path: Path) -> Path:
    """An audit that others are held against."""
    done = command("audit", NAME, *SMALL, "--cache", tmp_path / "c", "--out", tmp_path / "old")
    assert done.status == 0, done.err
    return tmp_path / "old" / "audit.json"


def test_a_failed_gate_is_one_line_and_status_one(
    command: Command, tmp_path: Path, old: Path
) -> None:
    again = ("audit", NAME, *SMALL, "--cache", tmp_path / "c")
    failing = ("--fail-if", "episodes.n == 24", "--fail-if", "load.coverage < 1")
    done = command(*again, *failing, "--json", "--out", tmp_path / "new")
    assert done.status == 1
    assert done.err.splitlines() == [f"gate failed: {NAME}: episodes.n == 24 (episodes.n is 24)"]
    found = json.loads(done.out)
    assert [(g["gate"], g["passed"]) for g in found["gates"]] == [
        ("episodes.n == 24", False), ("load.coverage < 1", True),
    ]  # fmt: skip
    assert json.loads((tmp_path / "new" / "audit.json").read_text()) == found
    passing = command(*again, "--fail-if", "load.coverage < 1", "--baseline", old)
    assert (passing.status, passing.err) == (0, "")
    same = command(*again, "--baseline", old, "--json")
    assert same.status == 0
    assert [g["passed"] for g in json.loads(same.out)["gates"]] == [True] * 5


def test_every_checkpoint_is_gated(command: Command, tmp_path: Path, old: Path) -> None:
    pair = ("audit", NAME, "meta-sgd-glyphs-s1", *SMALL, "--cache", tmp_path / "c")
    done = command(*pair, "--baseline", old, "--fail-if", "on.value != baseline.on.value", "--json")
    assert done.status == 1
    [line] = done.err.splitlines()
    assert line.startswith(
        "gate failed: meta-sgd-glyphs-s1: on.value != baseline.on.value (on.value is "
    )
    assert [g["checkpoint"] for g in json.loads(done.out)["gates"]] == [NAME, "meta-sgd-glyphs-s1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fail-if", "effects.of.value < 0"), "effects.off.value"),
        (("--fail-if", "effects.off.value <"), "at character 20"),
        (("--fail-if", "on.value < baseline.on.value"), "--baseline"),
        (("--baseline", "nowhere.json"), "nowhere.json"),
        (("--fail-if", "rates.overall.mean / 0 < 1"), "division by zero"),
    ],
)
def test_a_gate_that_cannot_be_decided_is_one_sentence_and_status_two(
    command: Command, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = command("audit", NAME, *SMALL, "--cache", tmp_path / "c", *options)
    assert done.status == 2
    [line] = done.err.splitlines()
    assert line.startswith("metaprobe: ")
    assert words in line
    assert "Traceback" not in done.err


def test_what_was_measured_is_kept_when_a_gate_turns_out_undecided(
    command: Command, tmp_path: Path
) -> None:
    done = command(
        "audit", "maml-glyphs-s0", *SMALL, "--cache", tmp_path / "c", "--out", tmp_path / "o",
        "--fail-if", "rates.overall.mean < 0",
    )  # fmt: skip
    assert done.status == 2
    assert "null" in done.err
    assert (tmp_path / "o" / "audit.json").is_file()


def test_a_baseline_of_other_episodes_is_refused_before_measuring(
    command: Command, tmp_path: Path, old: Path
) -> None:
    done = command("audit", NAME, "--cache", tmp_path / "c", "--baseline", old)
    assert done.status == 2
    assert "episodes is 600 here and 24 there" in done.err
    assert done.out == ""


def test_a_baseline_of_other_images_is_refused_before_measuring(
    command: Command, tmp_path: Path, old: Path
) -> None:
    other = (
        "audit",
        NAME,
        *SMALL,
        "--data",
        "digits",
        "--split",
        "test",
        "--out",
        tmp_path / "new",
    )
    done = command(*other, "--cache", tmp_path / "fresh", "--baseline", old)
    assert done.status == 2
    assert "data is digits/test" in done.err
    assert not list((tmp_path / "fresh").rglob("*.h5"))
    assert not (tmp_path / "new" / "audit.json").exists()


def spoilt(good: Path, path: Path) -> Path:
    """The checkpoint with filters of its last block that nobody trained."""
    with safe_open(good, "pt") as file:
        tensors, words = load_file(good), file.metadata()
    name = next(n for n in sorted(tensors, reverse=True) if n.startswith("body.") and "conv" in n)
    noise = torch.randn(tensors[name].shape, generator=torch.Generator().manual_seed(0))
    save_file({**tensors, name: noise}, path, words)
    return path


@pytest.mark.slow
def test_the_recipe_of_the_documentation_accepts_rejects_and_keeps_the_last_accepted(
    tmp_path: Path,
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    steps = dict(re.findall(r"- name: (\w+)\n  run: (\|\n(?:    .*\n)+|.*\n)", page))
    audit, accept = (steps[name].removeprefix("|\n") for name in ("Audit", "Accept"))
    assert "--episodes 600" in audit
    script = tmp_path / "job.sh"
    script.write_text(
        f'set -eo pipefail\nmetaprobe() {{ {sys.executable} -m metaprobe "$@"; }}\n'
        + dedent(audit).replace("--episodes 600", "--episodes 200 --query 5")
        + dedent(accept)
    )

    def job(checkpoint: Path) -> tuple[int, str]:
        shutil.copy(checkpoint, tmp_path / "model.safetensors")
        done = subprocess.run(
            ["bash", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    kept = tmp_path / "audits" / "last" / "audit.json"
    good = shipped()[NAME]
    assert job(good) == (0, "")
    first = json.loads(kept.read_text())
    assert first["gates"][0]["gate"] == "load.coverage < 1"
    assert len(first["gates"]) == 1
    assert job(good) == (0, "")
    assert len(json.loads(kept.read_text())["gates"]) == 6
    accepted = kept.read_text()
    status, said = job(spoilt(good, tmp_path / "spoilt.safetensors"))
    assert status == 1, said
    assert all(line.startswith("gate failed: ") for line in said.splitlines())
    assert "meta_init" in said
    assert kept.read_text() == accepted
