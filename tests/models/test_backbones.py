"""Architectures: shapes, seeds, and what is not believed of a file."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metaprobe.data.errors import CheckpointError
from metaprobe.models.backbones import build_backbone


@pytest.mark.parametrize(
    ("architecture", "side", "width"),
    [
        ({"name": "conv4", "filters": 6}, 28, 6),
        ({"name": "conv4", "filters": 6}, 84, 6 * 25),
        ({"name": "conv4", "filters": 6, "pooled": True}, 84, 6),
        ({"name": "resnet12", "widths": [3, 4, 5, 7]}, 28, 7),
        ({"name": "resnet12", "widths": [3, 4, 5, 7], "pooled": False}, 84, 7 * 25),
    ],
)
def test_images_become_embeddings(architecture: dict[str, Any], side: int, width: int) -> None:
    assert build_backbone(architecture)(torch.rand(2, 1, side, side)).shape == (2, width)


def test_sizes_are_those_of_the_literature() -> None:
    """Conv4-64 at three channels has 120,320 weights beside a 1600-way head's 8,000 (Finn et al.
    count); ResNet12 of widths 64…640 has 12.4 million parameters (Lee et al. 2019)."""
    conv4 = build_backbone({"name": "conv4", "filters": 64, "channels": 3})
    weights = sum(p.numel() for n, p in conv4.named_parameters() if n.endswith("conv.weight"))
    assert weights == 120_320 - 8_000
    resnet = build_backbone({"name": "resnet12", "channels": 3})
    assert sum(p.numel() for p in resnet.parameters()) == 12_424_320


def test_weights_depend_on_the_seed_alone_and_touch_no_global_generator() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, same, other = (build_backbone({"name": "conv4"}, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    for (name, a), b, c in zip(
        one.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert torch.equal(a, c) is ("norm" in name)


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"name": "vgg"},
        {"name": ["conv4"]},
        {"name": None},
        {"name": "conv4", "depth": 5},
        {"name": "conv4", "filters": 0},
        {"name": "conv4", "filters": -1},
        {"name": "conv4", "filters": 10**9},
        {"name": "conv4", "filters": "many"},
        {"name": "conv4", "filters": 1.5},
        {"name": "conv4", "filters": None},
        {"name": "conv4", "filters": [4, 4]},
        {"name": "resnet12", "widths": 64},
        {"name": "resnet12", "widths": []},
        {"name": "resnet12", "widths": [4] * 100},
        {"name": "resnet12", "widths": [64, "a"]},
        {"name": "resnet12", "widths": {"a": 1}},
        {"name": "resnet12", "widths": [[64]]},
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(architecture: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as refused:
        build_backbone(architecture)
    assert refused.value.code == "unknown-architecture"
