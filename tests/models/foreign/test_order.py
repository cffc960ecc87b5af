"""The order of a file's tensors: never one that permutes the layers of the network in silence."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import Encoder, load_encoder

from . import learners as of


class Flat(nn.Sequential):
    """A Conv4 without blocks: its convolutions are 0, 4, 8 and 12, which as text sort 0, 12, 4, 8."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for inputs in (1, 16, 16, 16):
            layers += [
                nn.Conv2d(inputs, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)
            ]  # fmt: skip
        super().__init__(*layers)
        self.eval()

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self(x)
        return out.flatten(1)


def reordered(state: dict[str, Tensor], order: str) -> dict[str, Tensor]:
    names = list(state)
    if order == "sorted":
        names.sort()
    elif order == "reversed":
        names.reverse()
    else:
        random.Random(order).shuffle(names)
    return {name: state[name] for name in names}


def loaded(state: dict[str, Tensor], path: Path, arch: str | None) -> Encoder:
    torch.save(state, path)
    return load_encoder(path, arch=arch)


def embedded(encoder: Encoder) -> Tensor:
    sample = torch.rand(2, *encoder.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        out: Tensor = encoder.body(sample)
    return out


ORDERS = ("sorted", "reversed", "shuffled", "shuffled again", "and again")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("build", "arch"),
    [
        (Flat, "conv4:strided=false"),
        (of.LibFewShot, None),
        (of.Knagg, None),
        (of.CloserLook, None),
        (of.ResNet12, None),
        (of.ResNet18, None),
    ],
)
def test_no_order_of_the_tensors_permutes_the_layers(
    tmp_path: Path, build: Any, arch: str | None, order: str
) -> None:
    state = dict(of.seeded(build).state_dict())
    kept = loaded(state, tmp_path / "kept.pt", arch)
    try:
        moved = loaded(reordered(state, order), tmp_path / "moved.pt", arch)
    except CheckpointError:
        assert order != "sorted"  # which re-saving a safetensors file gives, and must load
        return
    torch.testing.assert_close(embedded(moved), embedded(kept), rtol=0, atol=0)


def test_numbers_that_are_believed_against_the_file_are_said_to_be(tmp_path: Path) -> None:
    network = of.seeded(Flat)
    state = dict(network.state_dict())
    arch = "conv4:strided=false"
    encoder = loaded(reordered(state, "sorted"), tmp_path / "sorted.pt", arch)
    sample = torch.rand(2, *encoder.shape)
    with torch.no_grad():
        torch.testing.assert_close(encoder.body(sample), network.embed(sample))
    report, kept = encoder.load_report, loaded(state, tmp_path / "kept.pt", arch).load_report
    assert report is not None
    assert kept is not None
    assert any("another order than their numbers" in said for said in report.assumed)
    assert not any("another order" in said for said in kept.assumed)


def worded(prefix: str) -> dict[str, Tensor]:
    """`Flat`, its layers called in words whose alphabet is not their order."""
    words = dict(zip(("0", "4", "8", "12"), ("first", "middle", "last", "output"), strict=True))
    norms = {str(int(number) + 1): word for number, word in words.items()}
    found = {}
    for name, tensor in of.seeded(Flat).state_dict().items():
        number, leaf = name.split(".")
        part = f"{words[number]}.conv" if number in words else f"{norms[number]}.norm"
        found[f"{prefix}{part}.{leaf}"] = tensor
    return found


@pytest.mark.parametrize("prefix", ["", "net.", "mynet.", "a.b.", "model2.net."])
def test_layers_called_in_words_load_in_the_order_of_the_file_or_not_at_all(
    tmp_path: Path, prefix: str
) -> None:
    state, arch = worded(prefix), "conv4:strided=false"
    flat = loaded(dict(of.seeded(Flat).state_dict()), tmp_path / "flat.pt", arch)
    kept = loaded(state, tmp_path / "kept.pt", arch)
    torch.testing.assert_close(embedded(kept), embedded(flat), rtol=0, atol=0)
    save_file(state, tmp_path / "words.safetensors")
    with pytest.raises(CheckpointError, match="no numbers in their names"):
        load_encoder(tmp_path / "words.safetensors", arch=arch)
    with pytest.raises(CheckpointError, match="no numbers in their names"):
        loaded(reordered(state, "sorted"), tmp_path / "sorted.pt", arch)
