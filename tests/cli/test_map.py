"""`metaprobe map`: files where they were asked for, nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Command

QUICK = ("map", "maml-glyphs-s0", "--phases", "--query", "2", "--layout", "pca")


def test_a_map_is_a_figure_its_numbers_and_the_exports_asked_for(
    command: Command, tmp_path: Path
) -> None:
    out, cache = tmp_path / "m", tmp_path / "c"
    words = (*QUICK, "--out", out, "--cache", cache, "--export", "projector", "--json")
    done = command(*words)
    assert done.status == 0, done.err
    facts = json.loads(done.out)
    assert facts["schema"] == "metaprobe.map/1"
    assert all(Path(name).exists() for name in facts["files"])
    assert {p.name for p in out.iterdir()} >= {"map.png", "map.svg", "map.pdf", "map.json"}
    assert (out / "projector" / "projector_config.pbtxt").is_file()
    stored = json.loads((out / "map.json").read_text())
    assert len(stored["points"]) == facts["rows"] == 80
    before = {p: p.read_bytes() for p in out.glob("map.*") if p.suffix != ".json"}
    again = json.loads(command(*words).out)
    assert (facts["computed"], again["computed"]) == (3, 0)
    assert {p: p.read_bytes() for p in before} == before


def test_the_terminal_says_how_far_to_believe_it(command: Command, tmp_path: Path) -> None:
    done = command(*QUICK, "--no-cache", "--out", tmp_path / "m")
    assert "trustworthiness" in done.out
    assert "arrows follow the features" in done.out


def test_a_bad_word_is_one_sentence_and_leaves_nothing(command: Command, tmp_path: Path) -> None:
    for words in (("--layout", "tsne"), ("--export", "excel"), ("--episode", "-1")):
        done = command(*QUICK[:3], *words, "--out", tmp_path / "m", "--no-cache")
        assert done.status == 2
        assert len(done.err.strip().splitlines()) == 1
        assert not list((tmp_path / "m").glob("*"))
