"""Checkpoints of other people's, audited by the command as their owners would type it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ..models.foreign import learners as of
from .conftest import Command

QUICK = ("--data", "digits", "--resize", "--episodes", 2, "--query", 2, "--no-cache", "--json")


def audited(command: Command, *words: object) -> dict[str, Any]:
    done = command("audit", *words, *QUICK)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["schema"] == "metaprobe.audit/1"
    return found


def refused(command: Command, *words: object) -> str:
    done = command("audit", *words, *QUICK)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("metaprobe: ")
    assert done.err.count("\n") == 1
    return done.err


def test_an_architecture_is_not_said_of_a_checkpoint_that_says_it_itself(command: Command) -> None:
    said = refused(command, "maml-glyphs-s0", "--arch", "resnet12")
    assert "leave out --arch resnet12" in said


def test_what_reading_noticed_of_a_file_is_said_beside_the_conclusion(
    command: Command, tmp_path: Path
) -> None:
    torch.save(
        {n: t.half() if t.is_floating_point() else t
         for n, t in of.seeded(of.Knagg).state_dict().items()},
        tmp_path / "half.pt",
    )  # fmt: skip
    done = command("audit", tmp_path / "half.pt", *QUICK[:-1])
    assert done.status == 0, done.err
    said = " ".join(done.out.split())
    assert "as float16" in said


def learner(path: Path, build: Any = of.Knagg, *lost: str, **sizes: int) -> Path:
    state = of.seeded(build, **sizes).state_dict()
    torch.save({n: t for n, t in state.items() if not n.startswith(lost or ("?",))}, path)
    return path


def test_an_inner_loop_that_diverges_is_blamed_and_not_the_encoder(
    command: Command, tmp_path: Path
) -> None:
    path = learner(tmp_path / "net.pt")
    said = refused(command, path, "--rule", "sgd:lr=-1e30", "--steps", 3)
    assert "the inner loop (sgd, 3 steps) diverges" in said
    assert "take a smaller rate or fewer steps" in said


@pytest.mark.slow
def test_a_file_without_a_convolution_is_audited_on_request_and_every_screen_says_so(
    command: Command, tmp_path: Path
) -> None:
    path = learner(tmp_path / "part.pt", of.Knagg, "conv3.0.")
    said = refused(command, path)
    assert "2 tensors ('block3.conv.weight', 'block3.conv.bias') of the body are not in" in said
    assert "say --allow-partial" in said
    gate = ("--fail-if", "load.coverage < 1", "--out", "report")
    done = command("audit", path, "--allow-partial", *QUICK[:-1], *gate)
    assert done.status == 1
    found = json.loads((tmp_path / "report" / "audit.json").read_text())
    load = found["checkpoint"]["load_report"]
    assert load["missing"] == ["block3.conv.weight", "block3.conv.bias"]
    assert load["missing_parameters"] == 64 * 64 * 9 + 64
    assert load["missing_bytes"] == 4 * load["missing_parameters"]
    assert 0.6 < load["coverage"] < 0.7
    words = "2 tensors of 147,712 bytes it lacks, and there the body is random: block3.conv.weight"
    assert words in " ".join(done.out.split())
    assert words in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("build", "lost", "arch", "count"),
    [
        (of.Knagg, ("conv2.1.",), (), 4),
        (of.Knagg, ("conv2.",), ("--arch", "conv4"), 6),
        pytest.param(of.ResNet12, ("layer3.0.conv2",), (), 1, marks=pytest.mark.slow),
        pytest.param(
            of.ResNet18, ("layer4.1.",), ("--arch", "resnet18:image=32"), 10, marks=pytest.mark.slow
        ),
    ],
)
def test_a_file_without_a_norm_or_a_block_is_audited_on_request(
    command: Command, tmp_path: Path, build: Any, lost: Any, arch: Any, count: int
) -> None:
    path = learner(tmp_path / "part.pt", build, *lost)
    assert f"{count} tensor" in refused(command, path, *arch)
    found = audited(command, path, *arch, "--allow-partial")
    load = found["checkpoint"]["load_report"]
    assert len(load["missing"]) == count
    assert load["coverage"] < 1
    assert not found["checkpoint"]["strip_report"]["all_from_file"]


@pytest.mark.slow
def test_several_layers_of_a_transformers_folder_are_read_with_the_pooling_asked_for(
    command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    from ..models.foreign.test_transformers import made

    made("vit", tmp_path / "vit", classes=7)
    shown = json.loads(command("inspect", tmp_path / "vit", "--json").out)
    known = {one["name"]: one for one in shown["layers"]}
    block = next(n for n in known if n.endswith(("layers.0", "layer.0")))
    assert known[block]["shape"] == [17, 32]
    assert known[block]["pools"] == ["avg", "cls", "flatten"]
    patches = next(n for n in known if n.endswith("patch_embeddings.projection"))
    assert known[patches]["shape"] == [32, 4, 4]
    taps = [f"{block}:cls", f"{block}:avg", f"{block}:flatten", f"{patches}:avg"]
    words = [word for tap in taps for word in ("--layer", tap)]
    found = audited(command, tmp_path / "vit", *words)
    assert set(found["layers"]) >= set(taps)
    for tap in taps:
        assert 0 <= found["layers"][tap]["cells"]["init_on"]["value"] <= 1
    said = refused(command, tmp_path / "vit", "--layer", "vit.layer.9")
    assert "is not in this network" in said
    assert block in said
    said = refused(command, tmp_path / "vit", "--layer", f"{block}:none")
    assert f"choose {block}:avg or {block}:cls or {block}:flatten" in said


def test_a_layer_that_gives_one_vector_is_read_without_pooling(
    command: Command, tmp_path: Path
) -> None:
    path = learner(tmp_path / "net.pt")
    found = audited(command, path, "--layer", "flatten:none", "--layer", "block2:flatten")
    assert {"flatten:none", "block2:flatten"} <= set(found["layers"])
    assert "choose block2:avg or block2:flatten" in refused(command, path, "--layer", "block2:cls")


@pytest.mark.slow
def test_rates_by_step_of_maml_plus_plus_are_used_and_shown(
    command: Command, tmp_path: Path
) -> None:
    system = of.seeded(of.MAMLpp, filters=8, per_step=True)
    torch.save({"network": system.state_dict(), "best_epoch": 3}, tmp_path / "train_model_latest")
    found = audited(command, tmp_path / "train_model_latest")
    assert (found["rule"]["name"], found["rule"]["steps"]) == ("lslr-steps", 5)
    overall = found["rates"]["overall"]
    assert overall["size"] == 10 * 5  # the sixth that its code makes is never trained
    assert 0.01 < overall["mean"] < 0.03
    assert overall["share_negative"] == 0
    names = {layer["name"] for layer in found["rates"]["layers"]}
    assert {"block1.conv.weight", "head.weight"} <= names
    assert "choose --steps 5 or fewer" in refused(
        command, tmp_path / "train_model_latest", "--steps", 6
    )


@pytest.mark.slow
def test_a_rule_of_the_command_line_moves_what_its_expression_names_and_no_more(
    command: Command, tmp_path: Path
) -> None:
    path = learner(tmp_path / "net.pt")
    rule = ("--rule", "sgd:lr=0.3", "--steps", 3)
    found = audited(command, path, *rule, "--adapts", r"block4\.conv\.weight|head")
    assert found["rule"] | {"head": None} == {
        "name": "sgd", "steps": 3, "adapts": r"block4\.conv\.weight|head", "norm": "batch",
        "head": None, "rate": 0.3,
    }  # fmt: skip
    still = audited(command, path, *rule, "--adapts", "^head")
    assert still["effects"]["on"]["flip_rate"] == 0
    body = audited(command, path, *rule, "--adapts", "body", "--head", "class-means")
    assert body["cells"]["init_on"] == found["cells"]["init_on"]
    assert "no parameter" in refused(command, path, "--adapts", "lora_A")
    assert "regular expression" in refused(command, path, "--adapts", "(")
    assert "say sgd:lr=0.01" in refused(command, path, "--rule", "adam:lr=0.1")


@pytest.mark.parametrize("head", ["stored", "class-means", "zeros"])
def test_the_head_starts_where_it_is_told_to(command: Command, tmp_path: Path, head: str) -> None:
    path = learner(tmp_path / "net.pt")
    found = audited(command, path, "--head", head, "--steps", 2, "--rule", "sgd:lr=0.1")
    assert found["rule"]["head"] == head
    accuracy = found["head_accuracy"]["init"]["value"]
    if head == "zeros":
        assert accuracy == pytest.approx(0.2)  # every logit alike: the first class is said
    if head == "class-means":
        assert accuracy >= 0.2


def test_a_head_of_other_classes_than_the_episodes_is_said_and_left_aside(
    command: Command, tmp_path: Path
) -> None:
    path = learner(tmp_path / "net.pt", ways=64)
    assert audited(command, path)["rule"]["head"] == "zeros"
    said = refused(command, path, "--head", "stored")
    assert "the stored head has 64 outputs and the episodes have 5 classes" in said


OWN = """
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.fc = nn.Linear(32, 9)

    def forward(self, x):
        return self.fc(self.body(x))
"""


def test_a_class_of_ones_own_is_audited_where_its_code_is_trusted(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    torch.save(import_module("mynets").Network().state_dict(), tmp_path / "net.pt")
    words = (tmp_path / "net.pt", "--arch", "mynets:Network,image=28")
    assert "--trust-code" in refused(command, *words)
    done = command("audit", *words, "--trust-code", "--layer", "body.0:avg", *QUICK)
    assert done.status == 0, done.err
    assert "running your code: mynets:Network" in done.err
    found = json.loads(done.out)
    assert found["checkpoint"]["head"] == "fc: linear, 32 to 9"
    assert "body.0:avg" in found["layers"]


def test_a_class_beside_the_user_is_found_and_one_that_is_not_is_named(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "besidenets.py").write_text(OWN)
    before = list(sys.path)
    torch.save({"fc.weight": torch.ones(9, 32)}, tmp_path / "net.pt")
    for arch, words in (
        ("besidenets:Network,image=28", "body.0.weight"),  # found, and wanting more tensors
        ("besidenets:Missing", "has no 'Missing'"),
        ("besidenets.py:Network", "besidenets:… without .py"),
        ("nosuchnets:Network", "no module 'nosuchnets'"),
    ):
        done = command("audit", "net.pt", "--arch", arch, "--trust-code", *QUICK)
        assert done.status == 2
        assert words in " ".join(done.err.split())
    assert sys.path == before


def test_what_is_assumed_of_a_file_is_said_by_the_audit_too(
    command: Command, tmp_path: Path
) -> None:
    state = of.seeded(of.LibFewShot).state_dict()
    headless = {name: tensor for name, tensor in state.items() if tensor.ndim != 2}
    torch.save(headless, tmp_path / "net.pt")
    words = [w for w in QUICK if w != "--json"]
    done = command("audit", "net.pt", "--arch", "conv4", *words)
    assert done.status == 0, done.err
    plain = " ".join(done.out.split())
    assert "Note: Assumed: the image side leaves no trace; 84, usual in the literature" in plain
    told = command("audit", "net.pt", "--arch", "conv4:image=28", *words)
    assert told.status == 0, told.err
    assert "the image side" not in told.out
