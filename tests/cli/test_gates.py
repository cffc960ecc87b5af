"""`metaprobe audit --fail-if --baseline`: statuses and lines that a training run's CI relies on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
