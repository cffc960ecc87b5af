"""Benchmark data through the command: shown, refused, and audited with its record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Command

CHECKPOINT = "maml-glyphs-s0"


@pytest.fixture
def omniglot(tmp_path: Path) -> Path:
    """Two alphabets of evaluation, six characters each, eight drawings of 105 pixels a side."""
    rng = np.random.default_rng(0)
    for number in range(12):
        place = (
            tmp_path
            / "omniglot"
            / "images_evaluation"
            / "AB"[number // 6]
            / f"character{number:02d}"
        )
        place.mkdir(parents=True)
        shape = rng.random((15, 15)) < 0.3
        for drawing in range(8):
            ink = np.kron(shape ^ (rng.random((15, 15)) < 0.03), np.ones((7, 7))) == 0
            Image.fromarray(ink).save(place / f"{number:04d}_{drawing:02d}.png")
    return tmp_path / "omniglot"


def test_a_benchmark_is_shown_with_its_groups(command: Command, omniglot: Path) -> None:
    for name in (omniglot, f"omniglot:{omniglot}"):
        done = command("data", "show", name, "--split", "test", "--json")
        assert done.status == 0, done.err
        found = json.loads(done.out)
        assert (found["name"], found["images"], found["classes"]) == ("omniglot", 96, 12)
        assert found["groups"] == {"A": 6, "B": 6}
        assert found["shape"] == [1, 105, 105]
    listed = command("data", "list")
    assert "tiered-imagenet" in listed.out


def test_a_benchmark_is_audited_and_the_record_says_how_it_was_read(
    command: Command, omniglot: Path
) -> None:
    (omniglot / "images_evaluation" / "A" / "character00" / "0000_00.png").write_bytes(b"PNG")
    words = (
        "audit", CHECKPOINT, "--data", f"omniglot:{omniglot}", "--image-size", 28, "--episodes", 6,
        "--query", 3, "--no-cache", "--json",
    )  # fmt: skip
    refused = command(*words)
    assert refused.status == 2
    assert "1 of 96 images unreadable or mislabelled" in refused.err
    assert "--max-unreadable 0.0105" in refused.err
    done = command(*words, "--max-unreadable", "0.0105")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["preprocessing"] == "shorter side to 28, centre crop"
    assert found["data"]["images"] == 95
    [note] = found["data"]["notes"]
    assert note.startswith("1 of 96 images left out: 'images_evaluation/A/character00/0000_00.png'")
    assert found["cells"]["init_on"]["value"] > 0.5  # the characters are easy; chance is 0.2


def test_what_cannot_be_read_is_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02cos\nsystem\nU\x04true\x85R.")
    for name in ("x.pkl", "cub:nowhere", "mini-imagenet:x.pkl", "table:x.csv"):
        done = command("data", "show", name)
        assert done.status == 2
        assert done.out == ""
        [line] = done.err.splitlines()
        assert line.startswith("metaprobe: ")
