"""`metaprobe compare`: numbers on standard output, figures in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Command


def test_two_checkpoints_compared(command: Command, tmp_path: Path) -> None:
    words: tuple[str, ...] = ("compare", "maml-glyphs-s0", "meta-sgd-glyphs-s0", "--data", "digits")
    words += ("--most", "40", "--repeats", "5", "--layer", "embedding")
    out = tmp_path / "out"
    done = command(*words, "--out", out, "--no-cache", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads((out / "comparison.json").read_text())
    assert {c["measure"] for c in found["cells"]} == {"cka", "mutual-knn"}
    assert {p.name for p in out.iterdir()} >= {"layers.svg", "layers.pdf", "disagreements.png"}


def test_a_layer_that_is_not_there_is_one_sentence(command: Command) -> None:
    done = command("compare", "maml-glyphs-s0", "maml-glyphs-s0", "--layer", "blok1", "--no-cache")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
