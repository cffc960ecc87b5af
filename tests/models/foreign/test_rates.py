"""Rates that files have learned move our parameters exactly as their own code would."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metaprobe.analysis.planning import AuditSettings, draw, plan
from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import load_encoder

from . import learners as of
from .adapted import ours, support


def theirs(network: Any, steps: int, rate_of: Any) -> dict[str, Tensor]:
    """The update of the learner's own code, written out: p <- p - rate * gradient."""
    images, labels = support(tuple(network.image))
    network.train()
    named = {n: p for n, p in network.named_parameters() if p.requires_grad}
    for step in range(steps):
        loss = F.cross_entropy(network(images), labels)
        grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        with torch.no_grad():
            for (name, p), g in zip(named.items(), grads, strict=True):
                rate = rate_of(name, step)
                if rate is not None and g is not None:
                    p -= rate * g
    return {n: p.detach() for n, p in named.items()}


def agree(found: dict[str, Tensor], expected: dict[str, Tensor], prefix: str = "") -> None:
    shared = {n: p for n, p in expected.items() if n.removeprefix(prefix) in found}
    assert len(shared) == len(found)
    for name, p in shared.items():
        torch.testing.assert_close(found[name.removeprefix(prefix)], p, rtol=0, atol=1e-6)


@pytest.mark.parametrize("build", [of.L2LCNN4, of.L2LOmniglot])
def test_meta_sgd_of_learn2learn_adapts_alike(tmp_path: Path, build: Any) -> None:
    network = of.seeded(build)
    whole = of.L2LMetaSGD(network, lr=0.02)
    with torch.no_grad():
        for rate in whole.lrs:
            rate += 0.05 * torch.randn_like(rate)  # of both signs
    torch.save(whole.state_dict(), tmp_path / "metasgd.pt")
    encoder = load_encoder(tmp_path / "metasgd.pt")
    assert encoder.rule.name == "meta-sgd"
    assert set(encoder.rates) == set(encoder.params | encoder.head)
    rates = dict(zip([n for n, _ in network.named_parameters()], whole.lrs, strict=True))
    network.image = encoder.shape
    found = ours(encoder, 3)
    agree(found, theirs(network, 3, lambda name, step: rates[name]))


class Unbiased(nn.Module):
    """Somebody's own network, with a head named otherwise and without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.scores = nn.Linear(64, 5, bias=False)
        self.image = (1, 28, 28)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.adaptive_avg_pool2d(torch.relu(self.norm(self.conv(x))), 4)
        out: Tensor = self.scores(maps.flatten(1))
        return out


OWN = f"{__name__}:Unbiased,image=28"


def test_meta_sgd_around_the_users_own_network_adapts_alike(tmp_path: Path) -> None:
    network = of.seeded(Unbiased)
    whole = of.L2LMetaSGD(network, lr=0.02)
    with torch.no_grad():
        for rate in whole.lrs:
            rate += 0.05 * torch.randn_like(rate)
    torch.save(whole.state_dict(), tmp_path / "own.pt")
    encoder = replace(load_encoder(tmp_path / "own.pt", arch=OWN, trust_code=True), norm="batch")
    assert set(encoder.rates) == set(encoder.params) | {"head.weight"}
    rates = dict(zip([n for n, _ in network.named_parameters()], whole.lrs, strict=True))
    found = ours(encoder, 3)
    assert not found.pop("head.bias").any()
    found["scores.weight"] = found.pop("head.weight")
    agree(found, theirs(network, 3, lambda name, step: rates[name]))


@pytest.mark.parametrize("head", ["stored", "zeros"])
def test_a_bias_that_the_stored_head_lacks_is_not_adapted(tmp_path: Path, head: Any) -> None:
    """A fresh head has a bias of its own."""
    network = of.seeded(Unbiased)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    encoder = load_encoder(tmp_path / "own.pt", arch=OWN, trust_code=True)
    settings = AuditSettings(episodes=2, query=2, head=head, rule="sgd:lr=0.1,steps=3")
    rule = plan(encoder, settings, draw(settings, encoder.shape)).rule
    assert rule.moves("head.bias") is (head == "zeros")
    if head == "stored":
        found = ours(replace(encoder, rule=rule, norm="batch"), 3)
        assert not found.pop("head.bias").any()
        found["scores.weight"] = found.pop("head.weight")
        agree(found, theirs(network, 3, lambda name, step: 0.1))


def test_maml_of_learn2learn_adapts_alike(tmp_path: Path) -> None:
    network = of.seeded(of.L2LCNN4)
    torch.save(of.L2LMAML(network).state_dict(), tmp_path / "maml.pt")
    encoder = load_encoder(tmp_path / "maml.pt")
    assert encoder.load_report is not None
    assert encoder.load_report.prefix == "module."
    network.image = encoder.shape
    agree(ours(encoder, 3), theirs(network, 3, lambda name, step: encoder.rule.lr))


@pytest.mark.parametrize(
    ("algorithm", "build"),
    # its MetaSGD leaves a module that is registered twice, as OmniglotCNN's, half unmoved
    [("MAML", of.L2LCNN4), ("MAML", of.L2LOmniglot), ("MetaSGD", of.L2LCNN4)],
)
def test_what_learn2learns_own_classes_save_adapts_as_they_do(
    tmp_path: Path, algorithm: str, build: Any
) -> None:
    """The imitations above, by the originals, where these happen to be installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("learn2learn.algorithms", exc_type=ImportError)
        peer: Any = getattr(importlib.import_module("learn2learn.algorithms"), algorithm)
    network = of.seeded(build)
    whole = peer(network, lr=0.01)
    if algorithm == "MetaSGD":
        with torch.no_grad():
            for rate in whole.lrs:
                rate += 0.05 * torch.randn_like(rate)
    torch.save(whole.state_dict(), tmp_path / "whole.pt")
    encoder = load_encoder(tmp_path / "whole.pt")
    assert encoder.rule.name == ("sgd" if algorithm == "MAML" else "meta-sgd")
    images, labels = support(encoder.shape)
    task = whole.clone().train()
    for _ in range(3):
        task.adapt(F.cross_entropy(task(images), labels))
    agree(ours(encoder, 3), {n: p.detach() for n, p in task.module.named_parameters()})


class ForTraining(nn.Module):
    """MAML++'s whole system as a function of images."""

    def __init__(self, system: of.MAMLpp) -> None:
        super().__init__()
        self.system, self.image = system, (3, 84, 84)

    def forward(self, x: Tensor) -> Tensor:
        linear: Any = self.system.classifier.layer_dict["linear"]  # type: ignore[index]
        return F.linear(self.system.embed(x), linear.weights, linear.bias)


@pytest.mark.parametrize("per_step", [False, True])
def test_the_rates_of_maml_plus_plus_are_used_step_by_step(tmp_path: Path, per_step: bool) -> None:
    system = of.seeded(of.MAMLpp, per_step=per_step)
    torch.save({"network": system.state_dict(), "best_epoch": 3}, tmp_path / "train_model_latest")
    encoder = load_encoder(tmp_path / "train_model_latest")
    assert (encoder.rule.name, encoder.rule.steps) == ("lslr-steps", 5)
    assert not any(encoder.rule.moves(n) for n in encoder.params if ".norm." in n)
    rates: Any = system.inner_loop_optimizer.names_learning_rates_dict
    kept = {n: r.detach().clone() for n, r in rates.items()}

    def rate_of(name: str, step: int) -> Tensor | None:
        key = name.removeprefix("system.classifier.").replace(".", "-")
        return kept[key][step] if key in kept else None

    whole = ForTraining(system)
    found = ours(encoder, 4)
    moved = {n: p for n, p in theirs(whole, 4, rate_of).items() if "norm" not in n}
    agree(
        {n: p for n, p in found.items() if "norm" not in n},
        {n: p for n, p in moved.items() if "rates_dict" not in n},
        "system.",
    )
    with pytest.raises(CheckpointError, match="learned for 5"):
        ours(encoder, 6)  # a sixth lies in the file, and no training ever touched it


def test_a_step_size_for_each_tensor_is_used(tmp_path: Path) -> None:
    network = of.seeded(of.Torchmeta, filters=8)
    sizes = {n: torch.rand(()) * 0.2 for n, _ in network.named_parameters()}
    torch.save({"model": network.state_dict(), "step_size": sizes}, tmp_path / "model.th")
    encoder = load_encoder(tmp_path / "model.th")
    assert encoder.rule.name == "lslr"
    network.image = encoder.shape
    agree(ours(encoder, 2), theirs(network, 2, lambda name, step: sizes[name]))


@pytest.mark.parametrize(
    "name", ["alpha.0", "task_lr.0", "inner_lr", "net.lr.conv", "step_sizes.1"]
)
def test_rates_of_a_kind_that_is_not_read_are_said_to_move_nothing(
    tmp_path: Path, name: str
) -> None:
    state = of.seeded(of.L2LCNN4).state_dict()
    torch.save({**state, name: torch.tensor(0.2)}, tmp_path / "other.pt")
    report = load_encoder(tmp_path / "other.pt").load_report
    assert report is not None
    assert [s for s in report.assumed if "inner loop" in s or "learned rates" in s] == [
        f"{name!r} may be learned rates, of a kind that is not read: they move nothing",
        "the file names no inner loop; where none is said it is sgd:lr=0.01 with 5 steps",
    ]
    torch.save({**state, "projection.scale": torch.tensor(0.2)}, tmp_path / "plain.pt")
    plain = load_encoder(tmp_path / "plain.pt").load_report
    assert plain is not None
    assert plain.unexpected == ("projection.scale",)
    assert not any("learned rates" in s for s in plain.assumed)


def test_what_no_rate_says_of_steps_is_said(tmp_path: Path) -> None:
    torch.save(of.L2LMetaSGD(of.seeded(of.L2LCNN4)).state_dict(), tmp_path / "metasgd.pt")
    report = load_encoder(tmp_path / "metasgd.pt").load_report
    assert report is not None
    assert "the file names no number of inner steps; without --steps it is 5" in report.assumed


def test_rates_whose_order_is_lost_are_refused(tmp_path: Path) -> None:
    """safetensors sorts names; rates by number then belong to nobody knows whom."""
    from safetensors.torch import save_file

    whole = of.L2LMetaSGD(of.seeded(of.L2LCNN4))
    state = {n: t.detach().clone() for n, t in whole.state_dict().items()}
    save_file(state, tmp_path / "metasgd.safetensors")
    with pytest.raises(CheckpointError, match=r"give the file that torch\.save wrote"):
        load_encoder(tmp_path / "metasgd.safetensors")


def test_rates_of_other_shapes_are_refused(tmp_path: Path) -> None:
    whole = of.L2LMetaSGD(of.seeded(of.L2LCNN4))
    state = whole.state_dict()
    state["lrs.0"] = torch.ones(3)
    torch.save(state, tmp_path / "metasgd.pt")
    with pytest.raises(CheckpointError, match=r"has shape \(3,\)"):
        load_encoder(tmp_path / "metasgd.pt")
