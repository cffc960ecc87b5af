"""Benchmark data through the command: shown, refused, and audited with its record."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import h5py
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


def test_a_changed_bit_is_seen_where_hash_or_fingerprint_is_known(
    command: Command, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = images, labels
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"data": images, "labels": labels}))
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["features"], file["labels"] = images.reshape(12, -1).astype("f4"), labels
        file["ids"] = np.arange(12)
    for name in ("a.npz", "a.h5", "a.pkl", "embeddings:rows.h5"):
        path = tmp_path / name.removeprefix("embeddings:")
        right = hashlib.sha256(path.read_bytes()).hexdigest()
        done = command("data", "show", name, "--sha256", right.upper(), "--json")
        assert done.status == 0, done.err
        told = json.loads(done.out)
        raw = bytearray(path.read_bytes())
        where = raw.find(images.tobytes()[:16]) if "rows" not in name else -100
        raw[where] ^= 1
        path.write_bytes(raw)
        done = command("data", "show", name, "--sha256", right)
        assert (done.status, done.out) == (2, "")
        assert f"not the expected {right}" in done.err
        if name in ("a.h5", "a.pkl"):
            assert command("data", "show", name).status == 0  # unseen without
            done = command("data", "show", name, "--fingerprint", told["fingerprint"])
            assert done.status == 2
            assert "others, or were read another way" in done.err


def test_a_folder_is_pinned_by_its_fingerprint(command: Command, omniglot: Path) -> None:
    told = json.loads(command("data", "show", omniglot, "--json").out)
    right = ("--fingerprint", told["fingerprint"].upper())
    assert command("data", "show", omniglot, *right).status == 0
    assert command("data", "show", omniglot, "--fingerprint", "0" * 64).status == 2
    done = command("data", "show", omniglot, "--sha256", "0" * 64)
    assert done.status == 2
    assert "compare its fingerprint" in done.err
