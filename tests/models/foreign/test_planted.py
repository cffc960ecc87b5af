"""Known ways to lose the head, or to keep it, planted in networks of the user's own: each is found.

Two libraries shipped such encoders: one built a random projection where a head had been
(huggingface/pytorch-image-models#2682), one gave logits for features (koaning/embetter#21).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import load_encoder
from metaprobe.models.foreign import hub

Planted = Callable[[Callable[[], nn.Module]], str]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    """Puts a class where ``--arch theirs:network`` finds it."""

    def plant(build: Callable[[], nn.Module]) -> str:
        module = ModuleType("theirs")
        module.network = build  # type: ignore[attr-defined]
        monkeypatch.setattr(hub, "import_module", lambda name: module)
        return "theirs:network,image=12"

    return plant


class Body(nn.Sequential):
    def __init__(self) -> None:
        conv = nn.Conv2d(3, 8, 3)
        super().__init__(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Sound(nn.Module):
    def __init__(self, outputs: int = 5) -> None:
        super().__init__()
        self.body, self.fc = Body(), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.body(x))
        return out


class Projected(Sound):
    """A projection after the body, of the head's own width, that no file has."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.projection(self.body(x)))
        return out


class Hidden(Sound):
    """The same, where no state dict shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.random = torch.randn(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.body(x) @ self.random)
        return out


class TwoHeads(Sound):
    """Ends in a classifier that is not the last linear layer to be registered."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.body(x))
        return out


class Tied(nn.Module):
    """Two layers with one weight, and one that its author froze."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first = nn.Conv2d(8, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.second.weight = self.first.weight
        self.stem.weight.requires_grad_(False)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(torch.relu(self.stem(x)))))
        out: Tensor = self.fc(y.mean(dim=(2, 3)))
        return out


def saved(state: Any, folder: Path) -> Path:
    torch.save(dict(state), folder / "theirs.pt")
    return folder / "theirs.pt"


def test_a_sound_network_of_ones_own_is_read(planted: Planted, tmp_path: Path) -> None:
    network = Sound().eval()
    path = saved(network.state_dict(), tmp_path)
    encoder = load_encoder(path, arch=planted(Sound), trust_code=True)
    sample = torch.rand(2, 3, 12, 12)
    assert torch.equal(encoder.body(sample), network.body(sample))
    assert encoder.strip_report is not None
    assert encoder.strip_report.head == "fc: linear, 8 to 5"


def test_code_is_not_run_unless_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(Sound().state_dict(), tmp_path)
    monkeypatch.setattr(hub, "import_module", lambda name: pytest.fail("imported"))
    with pytest.raises(CheckpointError, match="--trust-code") as refused:
        load_encoder(path, arch="theirs:network")
    assert refused.value.code == "code-not-trusted"


def test_a_projection_that_no_file_has_is_found(planted: Planted, tmp_path: Path) -> None:
    path = saved(Sound().state_dict(), tmp_path)
    with pytest.raises(CheckpointError, match=r"'projection\.weight'\).* would be random"):
        load_encoder(path, arch=planted(Projected), trust_code=True)


def test_a_projection_that_hides_from_the_state_dict_is_found(
    planted: Planted, tmp_path: Path
) -> None:
    path = saved(Sound().state_dict(), tmp_path)
    with pytest.raises(CheckpointError, match="stripping the head failed"):
        load_encoder(path, arch=planted(Hidden), trust_code=True)


def test_logits_instead_of_features_are_found(planted: Planted, tmp_path: Path) -> None:
    network = TwoHeads().eval()
    path = saved(network.state_dict(), tmp_path)
    with pytest.raises(CheckpointError, match="stripping the head failed"):
        load_encoder(path, arch=f"{planted(TwoHeads)},head=unused", trust_code=True)
    encoder = load_encoder(path, arch=planted(TwoHeads), trust_code=True)
    sample = torch.rand(2, 3, 12, 12)
    assert torch.equal(encoder.body(sample), network.body(sample))


def test_tied_parameters_move_as_one_and_frozen_ones_stay(planted: Planted, tmp_path: Path) -> None:
    from metaprobe.models.adapt import adapt
    from metaprobe.models.forward import features_of, stack
    from metaprobe.models.rules import Rule

    network = Tied().eval()
    path = saved(network.state_dict(), tmp_path)
    encoder = load_encoder(path, arch=planted(Tied), trust_code=True)
    assert "body.second.weight" not in encoder.params
    assert encoder.still == ("body.stem.weight",)
    images = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(5)
    rule = Rule("sgd", 0.1, 1, frozen=encoder.rule.frozen)
    params = stack(encoder.params | encoder.head, 1)
    moved = adapt(features_of(encoder.body), params, rule, {}, images[None], labels[None])
    loss = nn.functional.cross_entropy(network(images), labels)
    grad = torch.autograd.grad(loss, network.first.weight)[0]
    expected = network.first.weight.detach() - 0.1 * grad
    torch.testing.assert_close(moved["body.first.weight"][0], expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(moved["body.stem.weight"][0], network.stem.weight)
