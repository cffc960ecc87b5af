"""Networks of the user's own: what an expression moves, what is shared, which layer is the head."""

from __future__ import annotations

import re
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


class Tied(nn.Module):
    """Two layers with one weight, a low-rank side path, a frozen layer and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.two = nn.Conv2d(1, 6, 7, 7), nn.Linear(96, 96), nn.Linear(96, 96)
        self.two.weight = self.one.weight
        self.frozen = nn.Linear(96, 96).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(2, 96) * 0.1)
        self.lora_B = nn.Parameter(torch.randn(96, 2) * 0.1)
        self.drop, self.scores = nn.Dropout(0.5), nn.Linear(96, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.one(self.first(x).flatten(1)))
        x = torch.tanh(self.two(x) + x @ self.lora_A.T @ self.lora_B.T)
        out: Tensor = self.scores(self.drop(torch.tanh(self.frozen(x))))
        return out


@pytest.mark.parametrize("adapts", ["all", "body", "head", "lora_A|lora_B", r"one\.", "weight"])
def test_what_an_expression_names_moves_as_torchs_own_optimiser_moves_it(
    tmp_path: Path, adapts: str
) -> None:
    network = of.seeded(Tied)
    torch.save(network.state_dict(), tmp_path / "tied.pt")
    arch = f"{__name__}:Tied,image=28"
    encoder = load_encoder(tmp_path / "tied.pt", arch=arch, trust_code=True)
    settings = AuditSettings(episodes=2, query=2, rule="sgd:lr=0.1,steps=3", adapts=adapts)
    rule = plan(encoder, settings, draw(settings, encoder.shape)).rule
    found = ours(replace(encoder, rule=rule), 3)

    def name_here(name: str) -> str:
        return f"head.{name.removeprefix('scores.')}" if "scores" in name else f"body.{name}"

    named = {n: p for n, p in network.named_parameters() if p.requires_grad}
    moving = {n: p for n, p in named.items() if rule.moves(name_here(n))}
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    optimiser = torch.optim.SGD(moving.values(), lr=0.1)
    images, labels = support(encoder.shape)
    for _ in range(3):
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, parameter in network.named_parameters():
        here = found[name_here(name) if "scores" in name else name]
        torch.testing.assert_close(here, parameter.detach(), rtol=0, atol=1e-6)
        assert (not torch.equal(parameter, before[name])) is (name in moving)
    assert moving


def test_a_shared_weight_that_a_file_keeps_once_is_there_twice(tmp_path: Path) -> None:
    """safetensors' `save_model` leaves all names of a shared tensor out but one."""
    from safetensors.torch import save_model

    network = of.seeded(Tied)
    save_model(network, str(tmp_path / "tied.safetensors"))
    arch = f"{__name__}:Tied,image=28"
    encoder = load_encoder(tmp_path / "tied.safetensors", arch=arch, trust_code=True)
    assert encoder.load_report is not None
    assert (encoder.load_report.missing, encoder.load_report.coverage) == ((), 1)
    assert torch.equal(encoder.body.get_parameter("two.weight"), network.one.weight)
    caught: list[Tensor] = []
    network.scores.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    images, _ = support(encoder.shape)
    with torch.no_grad():
        network(images)
        torch.testing.assert_close(encoder.body(images), caught[0])
    state = {n: t.clone() for n, t in network.state_dict().items()}
    state["two.weight"] += 1
    torch.save(state, tmp_path / "apart.pt")
    with pytest.raises(CheckpointError, match="are one in the network and differ in the file"):
        load_encoder(tmp_path / "apart.pt", arch=arch, trust_code=True)


def test_an_expression_that_hits_one_of_two_names_is_refused(tmp_path: Path) -> None:
    torch.save(of.seeded(Tied).state_dict(), tmp_path / "tied.pt")
    torch.save(of.seeded(of.L2LCNN4).state_dict(), tmp_path / "l2l.pt")
    tied = load_encoder(tmp_path / "tied.pt", arch=f"{__name__}:Tied,image=28", trust_code=True)
    learner = load_encoder(tmp_path / "l2l.pt")
    for encoder, adapts, said in (
        (tied, r"two\.", "'body.two.weight' too, being shared"),
        (learner, r"features\.3", "'features.3.conv.weight' in the file"),
        (learner, r"block1|features\.3", "'features.0.conv.weight' in the file"),
    ):
        settings = AuditSettings(episodes=2, query=2, adapts=adapts, resize=True)
        with pytest.raises(CheckpointError, match=re.escape(said)) as refused:
            plan(encoder, settings, draw(settings, encoder.shape))
        assert refused.value.code == "two-names"
    for encoder, adapts in ((tied, r"one\."), (learner, r"block4|features\.3"), (learner, "conv")):
        settings = AuditSettings(episodes=2, query=2, adapts=adapts, resize=True)
        plan(encoder, settings, draw(settings, encoder.shape))


class HeadFirst(nn.Module):
    """Its head is defined before another linear layer; or it has none."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(30, 5)
        self.conv, self.inner, self.norm = nn.Conv2d(1, 30, 5), nn.Linear(30, 30), nn.LayerNorm(30)

    def embed(self, x: Tensor) -> Tensor:
        rows = self.conv(x).mean(dim=(2, 3))
        out: Tensor = self.norm(rows + self.inner(rows))
        return out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.scores(self.embed(x))
        return out


class Headless(HeadFirst):
    def __init__(self) -> None:
        super().__init__()
        del self.scores

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x)


@pytest.mark.parametrize(
    ("build", "said", "found"),
    [
        (HeadFirst, "", "scores"),
        (HeadFirst, ",head=scores", "scores"),
        (Headless, ",head=none", ""),
    ],
)
def test_the_head_of_ones_own_network_is_what_gives_its_output_or_what_is_said(
    tmp_path: Path, build: Any, said: str, found: str
) -> None:
    network = of.seeded(build)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    arch = f"{__name__}:{build.__name__},image=28{said}"
    encoder = load_encoder(tmp_path / "own.pt", arch=arch, trust_code=True)
    assert encoder.architecture["head"] == found
    assert bool(encoder.head) is bool(found)
    images, _ = support(encoder.shape)
    with torch.no_grad():
        torch.testing.assert_close(encoder.body(images), network.embed(images))


def test_a_head_that_is_said_wrongly_is_refused(tmp_path: Path) -> None:
    torch.save(of.seeded(Headless).state_dict(), tmp_path / "own.pt")
    arch = f"{__name__}:Headless,image=28"
    for said, words in (("", "say head=NAME or head=none"), (",head=nothing", "one of inner")):
        with pytest.raises(CheckpointError, match=words):
            load_encoder(tmp_path / "own.pt", arch=arch + said, trust_code=True)
    torch.save(of.seeded(HeadFirst).state_dict(), tmp_path / "own.pt")
    with pytest.raises(CheckpointError, match="head failed"):
        load_encoder(
            tmp_path / "own.pt", arch=f"{__name__}:HeadFirst,image=28,head=inner", trust_code=True
        )
