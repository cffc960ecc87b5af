"""`metaprobe study` on one's own checkpoints and data, from training to the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from metaprobe.analysis.studies.section import write_study
from metaprobe.models.checkpoint import read_checkpoint, write_checkpoint

from ..analysis.studies.test_section import drawn
from ..data.readers.layouts import mini_csv
from .conftest import Command

RECIPE = """
learner = "{learner}"
[data]
name = "mini-imagenet:{data}"
train = "train"
validation = "test"
image_size = 28
[architecture]
name = "conv4"
filters = 4
channels = 3
[task]
way = {way}
query = 2
[inner]
steps = 1
[outer]
steps = 1
meta_batch = 1
[validation]
every = 1
episodes = 2
query = 2
"""
LEARNERS = ("maml", "meta-sgd")
FEW = ("--way", 2, "--query", 2, "--episodes", 4, "--image-size", 28, "--no-cache", "--jobs", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """mini-ImageNet in small: noise, four classes and six, of five images."""
    names = [f"n{i:08d}" for i in range(10)]
    return mini_csv(tmp_path / "mini", 32, {"train": names[:4], "test": names[4:]}, images=5)


def trained(command: Command, data: Path, out: Path, learner: str, seed: int, way: int = 2) -> Path:
    """A checkpoint after one outer step."""
    recipe = data.parent / f"{learner}.toml"
    recipe.write_text(RECIPE.format(learner=learner, data=data, way=way))
    file = out / f"{'ab'[seed % 2]}{learner[-1]}{seed}.safetensors"  # a name that says nothing
    done = command("train", recipe, "--out", file, "--seed", seed)
    assert done.status == 0, done.err
    return file


def said(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False)


def test_one_run_of_each_on_mini_imagenet_gives_every_claim_and_no_verdict(
    command: Command, data: Path, tmp_path: Path
) -> None:
    for learner in LEARNERS:
        trained(command, data, tmp_path / "runs", learner, 0)
    words = ("study", "starshak2022", "--data", f"mini-imagenet:{data}", "--checkpoints")
    done = command(*words, tmp_path / "runs", *FEW, "--out", "out", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert [c["id"] for c in found["claims"]] == [f"C{i}" for i in range(1, 13)]
    assert {c["verdict"] for c in found["claims"]} == {"NOT SHOWN"}
    assert not [c["id"] for c in found["claims"] if c["measured"].startswith("not measured")]
    assert "1 training run of each learner" in found["answer"]
    assert "With fewer than 5 runs of each learner nothing can be decided" in found["answer"]
    assert "mini-imagenet, test split (6 classes)" in found["answer"]
    assert "the encoders were trained on mini-imagenet, train split" in found["answer"]
    assert "not of mini-ImageNet" not in found["answer"]
    assert "glyphs" not in said(found)
    assert "script" not in said(found)
    assert [r["part"] for r in found["tables"]["rates"]] == [f"block{i}" for i in "1234"] + ["head"]
    with Image.open("out/starshak2022-rates.png") as picture:
        assert picture.width > 500


def test_quick_takes_all_of_ones_own_runs(command: Command, data: Path, tmp_path: Path) -> None:
    files = [
        trained(command, data, tmp_path, learner, seed)
        for learner in LEARNERS
        for seed in (2, 0, 1)
    ]
    chosen = [w for file in files for w in ("--checkpoints", file)]
    done = command(
        "study", "starshak2022", "--quick", "--data", data, *chosen, *FEW, "--json"
    )  # fmt: skip
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert "3 training runs of each learner" in found["answer"]
    runs = [(r["learner"], r["checkpoint"][-1]) for r in found["tables"]["phases"]]
    assert runs == [(name, seed) for name in ("MAML", "Meta-SGD") for seed in "012"]
    nine = next(c for c in found["claims"] if c["id"] == "C9")
    assert "paired by seed" in nine["note"]
    assert nine["interval"] is not None


def test_what_the_runs_lack_is_said_and_not_invented(
    command: Command, data: Path, tmp_path: Path
) -> None:
    maml = trained(command, data, tmp_path, "maml", 0, way=3)
    sgd = trained(command, data, tmp_path, "meta-sgd", 0)
    done = command(
        "study", "starshak2022", "--data", data, "--checkpoints", maml, "--checkpoints", sgd,
        *FEW, "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    claims = {c["id"]: c for c in json.loads(done.out)["claims"]}
    assert claims["C4"]["measured"].startswith(f"not measured: {maml.stem} adapted from a head")
    assert claims["C4"]["estimate"] is None
    assert claims["C5"]["estimate"] is not None


def test_a_learner_is_told_by_the_file_or_said_by_its_owner(
    command: Command, data: Path, tmp_path: Path
) -> None:
    maml = trained(command, data, tmp_path, "maml", 0)
    sgd = trained(command, data, tmp_path, "meta-sgd", 0)
    silent = {}
    for name, file in (("x", maml), ("y", sgd)):
        kept = read_checkpoint(file)
        metadata = {k: v for k, v in kept.metadata.items() if k != "recipe"}
        silent[name] = tmp_path / f"{name}.safetensors"
        write_checkpoint(silent[name], kept.tensors, metadata)

    def study(*checkpoints: object) -> Any:
        chosen = [w for c in checkpoints for w in ("--checkpoints", c)]
        return command("study", "starshak2022", "--data", data, *chosen, *FEW, "--json")

    def refused(*checkpoints: object) -> str:
        done = study(*checkpoints)
        assert done.status == 2
        assert done.out == ""
        [line] = done.err.splitlines()
        return str(line)

    x, y = silent["x"], silent["y"]
    line = refused(x, y)
    assert f"'{x}' does not say which learner made it" in line
    assert "maml=FILE" in line
    done = study(f"maml={x}", y)  # learned rates say what y is
    assert done.status == 0, done.err
    assert "Where the rates start is not in the files" in done.out
    assert "is called meta-sgd but is a checkpoint of maml" in refused(f"meta-sgd={maml}", sgd)
    assert "is called meta-sgd but adapts by rule 'sgd'" in refused(f"meta-sgd={x}", y)
    assert "was made by learner 'anil'" in refused("anil-glyphs-s0", maml)
    assert "holds the same weights and rates as" in refused(maml, maml, sgd)
    unequal = refused(maml, trained(command, data, tmp_path, "maml", 1), sgd)
    assert "2 of MAML" in unequal
    assert "1 of Meta-SGD" in unequal
    assert "1 of MAML" in (alone := refused(maml))
    assert "0 of Meta-SGD" in alone
    assert "all runs must see the same images" in refused("maml-glyphs-s0", sgd)
    (tmp_path / "none").mkdir()
    assert "holds no checkpoint" in refused(tmp_path / "none")


def test_data_of_ones_own_are_for_one_study(command: Command) -> None:
    for names in ((), ("ji2020",), ("--all",)):
        done = command("study", *names, "--data", "digits")
        assert done.status == 2
        assert "metaprobe study starshak2022 --data" in done.err


@pytest.mark.slow
def test_an_audit_includes_a_study_in_its_report(command: Command) -> None:
    write_study(drawn(), Path("study"))
    words = (
        "audit", "maml-glyphs-s0", "--episodes", 4, "--query", 2, "--no-cache", "--study", "study"
    )  # fmt: skip
    refused = command(*words)
    assert refused.status == 2
    assert "say with --out where to write it" in refused.err
    done = command(*words, "--out", "report")
    assert done.status == 0, done.err
    page = Path("report/report.html").read_text(encoding="utf-8")
    assert 'href="#study-1">Study: paper2020</a>' in page
    assert page.count("data:image/png;base64,") == 1
    assert len(page.encode()) < 5_000_000
