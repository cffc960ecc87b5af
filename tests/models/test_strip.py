"""Planted faults in stripping each raise; a sound network passes with a full report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaprobe.data.errors import CheckpointError
from metaprobe.models.backbones import BACKBONES, Conv4, build_backbone
from metaprobe.models.load_body import load_body
from metaprobe.models.strip import strip

ARCHITECTURE = {"name": "conv4", "filters": 6}
SHAPE = (1, 16, 16)
OUTPUTS = 5


def tensors_of(architecture: dict[str, Any]) -> dict[str, Tensor]:
    return dict(build_backbone(architecture, seed=9).state_dict())


def head(width: int = 6, outputs: int = OUTPUTS) -> dict[str, Tensor]:
    return {"weight": torch.ones(outputs, width), "bias": torch.zeros(outputs)}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], nn.Module]], dict[str, Any]]:
    """Registers a faulty network and gives its architecture."""

    def register(build: Callable[[], nn.Module]) -> dict[str, Any]:
        monkeypatch.setitem(BACKBONES, "faulty", build)
        return {"name": "faulty"}

    return register


def refusal(architecture: dict[str, Any], tensors: dict[str, Tensor], **changes: Any) -> str:
    settings = {"head": head(), "shape": SHAPE, **changes}
    with pytest.raises(CheckpointError) as refused:
        strip(architecture, tensors, settings["head"], settings["shape"])
    return f"{refused.value.code}: {refused.value}"


def test_a_sound_network_passes_with_a_full_report() -> None:
    tensors = tensors_of(ARCHITECTURE)
    body, load, report = strip(ARCHITECTURE, tensors, head(), SHAPE)
    values = sum(t.numel() for t in tensors.values())
    assert load.to_json() == {
        "matched": list(tensors),
        "missing": [],
        "unexpected": [],
        "parameters": values,
        "bytes": 4 * (values - 4) + 8 * 4,  # four counters of eight bytes
        "coverage": 1.0,
    }
    assert report.to_json() == {
        "head": "linear, 6 to 5",
        "outputs": 5,
        "expected_dim": 6,
        "embedding_dim": 6,
        "equals_head_input": True,
        "constructions_agree": True,
        "all_from_file": True,
    }
    assert all(torch.equal(t, tensors[n]) for n, t in body.state_dict().items())
    assert not body.training


def test_a_file_without_a_head_passes_and_says_so() -> None:
    _, _, report = strip(ARCHITECTURE, tensors_of(ARCHITECTURE), {}, SHAPE)
    assert (report.head, report.outputs, report.embedding_dim) == ("none in the file", 0, 6)


def test_tensors_the_architecture_lacks_are_reported() -> None:
    tensors = {**tensors_of(ARCHITECTURE), "projector.weight": torch.zeros(3)}
    assert strip(ARCHITECTURE, tensors, head(), SHAPE)[1].unexpected == ("projector.weight",)


class WithClassifier(nn.Sequential):
    """A headless network that still holds its classifier."""

    def __init__(self, outputs: int = OUTPUTS) -> None:
        super().__init__(Conv4(6), nn.Linear(6, outputs))


class WithProjection(nn.Sequential):
    """A freshly drawn projection that no file sets."""

    def __init__(self) -> None:
        super().__init__(Conv4(6), nn.Linear(6, 6, bias=False))


class WithHiddenProjection(nn.Module):
    """The same, where no state dict shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Conv4(6)
        self.projection = torch.randn(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) @ self.projection
        return out


class Noisy(nn.Module):
    """Draws anew at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Conv4(6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out + torch.randn_like(out)


def test_a_classifier_left_in_the_body_is_found(planted: Any) -> None:
    architecture = planted(WithClassifier)
    tensors = tensors_of(architecture)
    found = refusal(architecture, tensors)
    assert found.startswith("strip: stripping the head failed: the embedding has 5 features and")
    # even where the file's head would fit on top of the classifier
    assert "a classifier may still be in it" in refusal(architecture, tensors, head=head(5))


def test_a_projection_the_file_does_not_hold_is_found(planted: Any) -> None:
    architecture = planted(WithProjection)
    tensors = tensors_of(architecture)
    del tensors["1.weight"]
    found = refusal(architecture, tensors)
    assert found.startswith("missing-tensors: 1 tensor ('1.weight') of the body is not in the file")
    assert "would be random" in found


def test_a_projection_that_hides_from_the_state_dict_is_found(planted: Any) -> None:
    architecture = planted(WithHiddenProjection)
    assert "two constructions disagree" in refusal(architecture, tensors_of(architecture))


def test_a_body_that_draws_at_every_call_is_found(planted: Any) -> None:
    architecture = planted(Noisy)
    assert "not what the head receives" in refusal(architecture, tensors_of(architecture))


def test_a_body_that_gives_maps_and_not_vectors_is_found(planted: Any) -> None:
    architecture = planted(lambda: nn.Sequential(nn.Conv2d(1, 6, 3)))
    found = refusal(architecture, tensors_of(architecture))
    assert found.startswith("not-an-embedding: the stripped network gives (4, 6, 14, 14)")


@pytest.mark.parametrize("name", list(tensors_of(ARCHITECTURE)))
def test_each_missing_tensor_is_named(name: str) -> None:
    tensors = tensors_of(ARCHITECTURE)
    del tensors[name]
    assert repr(name) in refusal(ARCHITECTURE, tensors)


def test_a_tensor_of_another_shape_or_type_is_named() -> None:
    tensors = tensors_of(ARCHITECTURE)
    name = "block2.conv.weight"
    wider = {**tensors, name: torch.zeros(6, 7, 3, 3)}
    assert refusal(ARCHITECTURE, wider).startswith(f"shape: tensor {name!r} has shape (6, 7, 3, 3)")
    whole = {**tensors, name: tensors[name].long()}
    assert refusal(ARCHITECTURE, whole).startswith(f"dtype: tensor {name!r} is torch.int64")


def test_a_head_of_another_width_is_refused() -> None:
    found = refusal(ARCHITECTURE, tensors_of(ARCHITECTURE), head=head(width=7))
    assert "the embedding has 6 features and the head takes 7" in found


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 1, 1)])
def test_images_the_network_does_not_take_are_refused(shape: tuple[int, int, int]) -> None:
    found = refusal(ARCHITECTURE, tensors_of(ARCHITECTURE), shape=shape)
    assert found.startswith("image-shape: the encoder does not take images of shape")
    assert "image=N with --arch" in found


def test_stripping_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    strip(ARCHITECTURE, tensors_of(ARCHITECTURE), head(), SHAPE)
    assert torch.equal(torch.rand(3), expected)


def test_a_body_takes_the_files_values_and_not_the_seeds() -> None:
    tensors = tensors_of(ARCHITECTURE)
    one, two = (load_body(ARCHITECTURE, tensors, seed=s)[0].state_dict() for s in (1, 2))
    assert all(torch.equal(one[n], two[n]) for n in one)
