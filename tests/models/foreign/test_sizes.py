"""A file of a few kilobytes that names a giant network ends in a sentence, before memory is taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from metaprobe.data.errors import CheckpointError
from metaprobe.models.checkpoint import read_checkpoint, write_checkpoint
from metaprobe.models.encoder import load_encoder
from metaprobe.models.foreign import hub

WIDE = 60_000  # squared, 14 GB of float32


class Giant(nn.Module):
    """Ends as a small network does, after a layer that no machine here could hold."""

    def __init__(self, width: int = WIDE) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.wide = nn.Linear(width, width)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.stem(x).mean(dim=(2, 3)))
        return out


class Reckoning(Giant):
    """Computes a rate a block on the way, which no tensor without values can."""

    def __init__(self) -> None:
        assert torch.linspace(0, 1, 4).tolist()[-1] == 1
        super().__init__()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[nn.Module]], set[str]]:
    """Puts a class where both libraries look, and says on which devices its weights were made."""

    def plant(network: type[nn.Module]) -> set[str]:
        seen: set[str] = set()

        def build(*args: Any, **kwargs: Any) -> nn.Module:
            made = network()
            seen.update(p.device.type for p in made.parameters())
            return made

        fake = SimpleNamespace(__version__="0", create_model=build, get_model=build)
        monkeypatch.setattr(hub, "library", lambda name: fake)
        return seen

    return plant


@pytest.fixture
def small(tmp_path: Path) -> Path:
    state = {"stem.weight": torch.rand(8, 3, 3, 3), "fc.weight": torch.rand(5, 8)}
    torch.save(state, tmp_path / "small.pt")
    return tmp_path / "small.pt"


@pytest.mark.parametrize("network", [Giant, Reckoning])
@pytest.mark.parametrize("arch", ["timm/giant", "torchvision/giant"])
def test_a_giant_named_by_the_caller_takes_no_memory(
    small: Path, places: Any, arch: str, network: type[nn.Module]
) -> None:
    seen = places(network)
    with pytest.raises(CheckpointError) as refused:
        load_encoder(small, arch=arch)
    assert refused.value.code == "shape"
    values = sum(p.numel() for p in _shapes(network))
    assert str(refused.value).startswith(
        f"{arch} means a network of {values:,} values and the file holds 256"
    )
    assert seen == {"meta"}


def _shapes(network: type[nn.Module]) -> list[Tensor]:
    with torch.device("meta"):
        return list(Giant().parameters())


def test_a_giant_named_by_a_folder_takes_no_memory(tmp_path: Path, places: Any) -> None:
    seen = places(Giant)
    save_file({"fc.weight": torch.rand(5, 8)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "giant"}))
    with pytest.raises(CheckpointError, match=r"config\.json means a network of 3,600,"):
        load_encoder(tmp_path)
    assert seen == {"meta"}


def test_a_network_as_large_as_its_file_is_built(tmp_path: Path, places: Any) -> None:
    class Modest(Giant):
        def __init__(self) -> None:
            super().__init__(4)

    seen = places(Modest)
    torch.save(Modest().state_dict(), tmp_path / "net.pt")
    encoder = load_encoder(tmp_path / "net.pt", arch="timm/modest:image=12")
    assert encoder.load_report is not None
    assert encoder.load_report.coverage == 1
    assert "cpu" in seen


@pytest.mark.parametrize(
    "architecture",
    [
        {"name": "resnet34", "widths": [1024] * 4, "channels": 1},
        {"name": "conv4", "filters": 1024},
    ],
)
def test_a_giant_in_the_metadata_of_our_own_file_takes_no_memory(
    tmp_path: Path, architecture: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from metaprobe.models import strip as stripping

    monkeypatch.setattr(stripping, "load_body", lambda *a, **k: pytest.fail("it was built"))
    whole = read_checkpoint("maml-glyphs-s0")
    path = tmp_path / "giant.safetensors"
    write_checkpoint(path, whole.tensors, {**whole.metadata, "architecture": dict(architecture)})
    with pytest.raises(CheckpointError, match=r"its metadata means a network of .* holds 28,745"):
        load_encoder(path)
