"""Every format and every code base goes through a whole audit, of the smallest size there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from metaprobe.analysis.audit import audit
from metaprobe.analysis.result import Audit
from metaprobe.models.encoder import load_encoder

from . import learners as of
from .test_codebases import Plain
from .test_transformers import arch_of, made

State = dict[str, torch.Tensor]


def audited(path: Path, arch: str | None = None) -> Audit:
    found = audit(
        load_encoder(path, arch=arch), data="digits", episodes=2, query=2, steps=2, resize=True
    )
    assert isinstance(found, Audit)
    assert found.checkpoint.load_report["coverage"] == 1
    assert found.checkpoint.strip_report["equals_head_input"]
    assert found.checkpoint.strip_report["constructions_agree"]
    assert found.bits is not None
    return found


def as_safetensors(state: State, path: Path) -> None:
    save_file({n: t.clone().contiguous() for n, t in state.items()}, path)


def nested(*keys: str) -> Callable[[State, Path], None]:
    def write(state: State, path: Path) -> None:
        held: Any = state
        for key in reversed(keys):
            held = {key: held, "epoch": 3}
        torch.save(held, path)

    return write


def as_legacy(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def wrapped(prefix: str) -> Callable[[State, Path], None]:
    def write(state: State, path: Path) -> None:
        torch.save({f"{prefix}{n}": t for n, t in state.items()}, path)

    return write


@pytest.mark.parametrize(
    ("ending", "write", "form"),
    [
        ("safetensors", as_safetensors, "safetensors"),
        ("pt", torch.save, "torch-zip"),
        ("pth", as_legacy, "torch-legacy"),
        ("bin", torch.save, "torch-zip"),
        ("ckpt", nested("state_dict"), "torch-zip"),
        ("model", nested("model"), "torch-zip"),
        ("msd", nested("model_state_dict"), "torch-zip"),
        ("params", nested("params"), "torch-zip"),
        ("teacher", nested("teacher"), "torch-zip"),
        ("encoder", nested("checkpoint", "encoder"), "torch-zip"),
    ],
)
def test_every_format_of_file_is_audited(
    tmp_path: Path, ending: str, write: Callable[[State, Path], None], form: str
) -> None:
    state = of.seeded(of.Knagg).state_dict()
    write(state, tmp_path / f"net.{ending}")
    found = audited(tmp_path / f"net.{ending}")
    assert found.checkpoint.format == form


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "backbone.", "net.encoder."])
def test_names_behind_a_wrappers_prefix_are_audited_and_the_prefix_is_shown(
    tmp_path: Path, prefix: str
) -> None:
    wrapped(prefix)(of.seeded(of.Knagg).state_dict(), tmp_path / "net.pt")
    assert audited(tmp_path / "net.pt").checkpoint.load_report["prefix"] == prefix


def test_torchs_average_of_a_network_is_audited(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(of.seeded(of.Knagg))
    assert "n_averaged" in averaged.state_dict()
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    load = audited(tmp_path / "swa.pt").checkpoint.load_report
    assert load["prefix"] == "module."
    assert load["unexpected"] == ["n_averaged"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_audited_and_said(tmp_path: Path, dtype: torch.dtype) -> None:
    state = of.seeded(of.Knagg).state_dict()
    cast = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}
    torch.save(cast, tmp_path / "net.pt")
    load = audited(tmp_path / "net.pt").checkpoint.load_report
    assert load["cast"] == 26
    flags = load["flags"]
    assert isinstance(flags, list)
    assert any(str(flag).endswith(f"as {str(dtype)[6:]}") for flag in flags)


def test_of_a_teacher_and_a_student_one_is_audited_and_the_other_named(tmp_path: Path) -> None:
    both = {"teacher": of.seeded(of.Knagg).state_dict(), "student": of.Knagg().state_dict()}
    lying = {f"{who}.backbone.{n}": t for who, state in both.items() for n, t in state.items()}
    torch.save(lying, tmp_path / "both.pt")
    found = audited(tmp_path / "both.pt")
    flags = found.checkpoint.load_report["flags"]
    assert isinstance(flags, list)
    assert any("teacher is read, not student" in str(flag) for flag in flags)
    alone = load_encoder(tmp_path / "both.pt", state_key="student")
    expected = both["student"]["conv2.0.weight"]
    assert torch.equal(alone.body.state_dict()["block2.conv.weight"], expected)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "resnet", "convnext", "swin"])
def test_every_folder_of_transformers_is_audited(tmp_path: Path, kind: str) -> None:
    made(kind, tmp_path / kind, classes=7)
    found = audited(tmp_path / kind, arch_of(kind))
    assert found.checkpoint.format == "safetensors-folder"


def test_a_folder_of_shards_is_audited(tmp_path: Path) -> None:
    made("vit", tmp_path / "vit", classes=7, shard="30KB")
    assert len(list((tmp_path / "vit").glob("model-*.safetensors"))) > 1
    assert audited(tmp_path / "vit").checkpoint.architecture.startswith("transformers(model=vit")


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        of.L2LCNN4, of.L2LOmniglot, of.Torchmeta, of.MetaVGG, of.MAMLpp, of.BOIL, of.LibFewShot,
        of.Knagg, of.CloserLook, of.ResNet12, of.ResNet18,
    ],
)  # fmt: skip
def test_every_code_base_is_audited(tmp_path: Path, build: Any) -> None:
    torch.save(of.seeded(build).state_dict(), tmp_path / "net.pt")
    found = audited(tmp_path / "net.pt")
    learned = build is of.MAMLpp
    assert (found.rule.name == "lslr-steps") is learned
    assert (found.rates is not None) is learned


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "arch", "name"),
    [
        (lambda: of.LibFewShot(filters=32), None, "conv4"),
        (lambda: of.LibFewShot(filters=48), None, "conv4"),
        (lambda: Plain(bias=False), "conv4:strided=false", "conv4"),
        (lambda: Plain(affine=False), "conv4:strided=false", "conv4"),
        (lambda: Plain(side=48), "conv4:strided=false,image=48", "conv4"),
        (lambda: of.ResNet12(pooled=False), None, "resnet12"),
        (lambda: of.ResNet18((1, 1, 1, 1)), "resnet10:image=32", "resnet10"),
        (lambda: of.ResNet18((3, 4, 6, 3)), "resnet34:image=32", "resnet34"),
        (lambda: of.ResNet18(wide=True), "resnet18:image=64", "resnet18"),
    ],
)
def test_every_variant_of_a_built_in_network_is_audited(
    tmp_path: Path, build: Any, arch: str | None, name: str
) -> None:
    torch.save(of.seeded(build).state_dict(), tmp_path / "net.pt")
    found = audited(tmp_path / "net.pt", arch)
    assert found.checkpoint.architecture.startswith(f"{name}(")


@pytest.mark.parametrize("build", [of.L2LOmniglot])
def test_meta_sgd_of_learn2learn_is_audited_with_its_rates(tmp_path: Path, build: Any) -> None:
    torch.save(of.L2LMetaSGD(of.seeded(build), lr=0.02).state_dict(), tmp_path / "net.pt")
    found = audited(tmp_path / "net.pt")
    assert found.rule.name == "meta-sgd"
    assert found.rates is not None
    assert found.rates.overall.mean == pytest.approx(0.02, rel=1e-5)


def test_step_sizes_beside_a_network_are_audited(tmp_path: Path) -> None:
    network = of.seeded(of.Torchmeta, filters=8)
    sizes = {n: torch.full((), 0.1) for n, _ in network.named_parameters()}
    torch.save({"model": network.state_dict(), "step_size": sizes}, tmp_path / "model.th")
    found = audited(tmp_path / "model.th")
    assert found.rule.name == "lslr"
    assert found.rates is not None
    assert found.rates.overall.mean == pytest.approx(0.1, rel=1e-5)


def cbfinn(filters: int = 8, ways: int = 5) -> tuple[State, of.Learner]:
    """cbfinn/maml's weights by its names and in its layouts, and the same network in PyTorch."""
    network = of.seeded(of.Torchmeta, ways=ways, filters=filters, channels=3, side=84)
    state: State = {}
    for i in range(4):
        block = network.features[i]
        state[f"conv{i + 1}"] = block.conv.weight.detach().permute(2, 3, 1, 0).contiguous()
        state[f"b{i + 1}"] = block.conv.bias.detach()
        state[f"{i}/gamma"], state[f"{i}/beta"] = (
            block.norm.weight.detach(),
            block.norm.bias.detach(),
        )
    flat = network.classifier.weight.detach().reshape(ways, filters, 5, 5)
    state["w5"] = flat.permute(2, 3, 1, 0).reshape(25 * filters, ways).contiguous()
    state["b5"] = network.classifier.bias.detach()
    return state, network


def test_weights_in_the_layout_of_the_first_maml_are_turned(tmp_path: Path) -> None:
    state, network = cbfinn()
    torch.save(state, tmp_path / "maml.pt")
    encoder = load_encoder(tmp_path / "maml.pt")
    assert encoder.shape == (3, 84, 84)
    sample = torch.rand(3, 3, 84, 84)
    with torch.no_grad():
        logits = encoder.body(sample) @ encoder.head["head.weight"].T + encoder.head["head.bias"]
        torch.testing.assert_close(logits, network(sample), rtol=1e-4, atol=1e-5)
