"""Encoders that other code made, audited end to end: floors where untrained, better where trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaprobe.analysis.audit import audit
from metaprobe.analysis.planning import AuditSettings
from metaprobe.analysis.result import Audit
from metaprobe.analysis.wording import cautions
from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import Encoder, load_encoder
from metaprobe.models.foreign.hub import quiet_transformers

QUICK = AuditSettings(episodes=20, query=5, steps=2, resize=True)


def audited(encoder: Encoder, settings: AuditSettings = QUICK, **changes: Any) -> Audit:
    result = audit(encoder, settings, **changes)
    assert isinstance(result, Audit)
    return result


def untrained_folder(kind: str, folder: Path) -> Path:
    """ResNet-18 at its real size, or a small ViT, as transformers initialises and saves it."""
    transformers = pytest.importorskip("transformers")
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        if kind == "resnet18":
            config = transformers.ResNetConfig(
                num_channels=1, embedding_size=64, hidden_sizes=[64, 128, 256, 512],
                depths=[2, 2, 2, 2], layer_type="basic",
            )  # fmt: skip
        else:
            config = transformers.ViTConfig(
                hidden_size=48, num_hidden_layers=3, num_attention_heads=3, intermediate_size=96,
                image_size=28, patch_size=7, num_channels=1,
            )  # fmt: skip
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("data", ["glyphs", "digits"])
@pytest.mark.parametrize("kind", ["vit", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_an_untrained_encoder_of_transformers_lies_at_its_floor(
    kind: str, data: str, tmp_path: Path
) -> None:
    folder = untrained_folder(kind, tmp_path / kind)
    arch = "transformers:image=28" if kind == "resnet18" else None
    found = audited(load_encoder(folder, arch=arch), data=data)
    own, floor = found.cells.init_on, found.floors.untrained
    assert floor is not None
    assert own.ci_low <= floor.ci_high
    assert floor.ci_low <= own.ci_high
    assert found.checkpoint.format == "safetensors-folder"
    assert found.checkpoint.load_report["coverage"] == 1
    assert found.rule.norm == "running"


def script(arrays: Path, out: Path, steps: int) -> Path:
    here = Path(__file__).with_name("plain_training.py")
    assert "import metaprobe" not in here.read_text()
    command = [sys.executable, str(here), str(arrays), str(out), str(steps)]
    subprocess.run(command, check=True, timeout=300)
    return out


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Glyphs of the training classes as plain arrays."""
    data = open_dataset("glyphs", "train")
    keep = data.labels < 120
    path = tmp_path_factory.mktemp("arrays") / "glyphs.npz"
    np.savez(path, images=data.images[keep], labels=data.labels[keep])
    return path


@pytest.mark.slow
def test_supervised_training_elsewhere_gives_better_features_than_its_untrained_twin(
    arrays: Path, tmp_path: Path
) -> None:
    settings = AuditSettings(episodes=100, query=10, steps=3)
    found = []
    for steps in (0, 600):
        path = script(arrays, tmp_path / f"net-{steps}.pt", steps)
        found.append(audited(load_encoder(path, arch="conv4:strided=false"), settings))
    twin, trained = (a.cells.init_on for a in found)
    assert trained.ci_low > twin.ci_high
    floor = found[1].floors.untrained
    assert floor is not None
    assert trained.ci_low > floor.ci_high
    assert found[1].checkpoint.head == "fc: linear, 32 to 120"


def test_a_rule_of_the_command_line_moves_what_its_expression_names(
    arrays: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(script(arrays, tmp_path / "net.pt", 0), arch="conv4:strided=false")
    only = audited(encoder, rule="sgd:lr=0.5", adapts=r"block4\.conv|head", steps=3)
    assert (only.rule.rate, only.rule.adapts) == (0.5, r"block4\.conv|head")
    assert only.effects.on.flip_rate is not None
    still = audited(encoder, rule="sgd:lr=0.5", adapts="head", steps=3)
    assert still.effects.on.flip_rate == 0
    assert still.effects.off.value == 0
    with pytest.raises(CheckpointError, match="no parameter") as refused:
        audited(encoder, adapts="lora")
    assert refused.value.code == "moves-nothing"


def test_learned_rates_that_another_rule_leaves_aside_are_said_to_be() -> None:
    settings = AuditSettings(episodes=2, query=2, steps=1)
    said = "Assumed: the rates that the file has learned are left aside for sgd:lr=0.1."
    encoder = load_encoder("meta-sgd-glyphs-s0")
    aside = audited(encoder, settings, rule="sgd:lr=0.1")
    assert said in cautions(aside)
    assert aside.rates is None
    used = audited(encoder, settings)
    assert said not in cautions(used)
    assert used.rates is not None


def test_a_body_that_is_partly_random_is_audited_only_on_request_and_marked(
    arrays: Path, tmp_path: Path
) -> None:
    state = torch.load(script(arrays, tmp_path / "net.pt", 0), weights_only=True)["state_dict"]
    del state["trunk.5.bias"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(CheckpointError, match="would be random"):
        load_encoder(tmp_path / "part.pt", arch="conv4:strided=false")
    encoder = load_encoder(tmp_path / "part.pt", arch="conv4:strided=false", allow_partial=True)
    found = audited(encoder)
    assert found.checkpoint.load_report["missing"] == ["block2.norm.bias"]
    assert any(
        "1 tensor of 128 bytes it lacks, and there the body is random: block2.norm.bias" in c
        for c in cautions(found)
    )
