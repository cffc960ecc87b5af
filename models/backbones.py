"""The encoders of the few-shot literature: Conv4 and ResNet12.

A backbone maps images `(N, C, H, W)` to embeddings `(N, D)`. Everything in it
acts on channels alone, so that the episodes of a batch can share one grouped
convolution (`forward.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..data.errors import CheckpointError


class Conv4(nn.Sequential):
    """Four blocks of convolution, normalisation, ReLU and pooling (Vinyals et al. 2016).

    Args:
        filters: Channels of every block.
        channels: Channels `C` of an image.
        pooled: Average the last feature map over space; otherwise flatten it.
    """

    def __init__(self, filters: int = 32, channels: int = 1, pooled: bool = False) -> None:
        blocks = OrderedDict[str, nn.Module]()
        for i in range(4):
            blocks[f"block{i + 1}"] = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(filters if i else channels, filters, 3, padding=1),
                    norm=nn.BatchNorm2d(filters),
                    relu=nn.ReLU(),
                    pool=nn.MaxPool2d(2),
                )
            )
        if pooled:
            blocks["mean"] = nn.AdaptiveAvgPool2d(1)
        blocks["flatten"] = nn.Flatten()
        super().__init__(blocks)


class ResidualBlock(nn.Module):
    """Three convolutions beside a 1x1 shortcut, then pooling: half the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layers = OrderedDict[str, nn.Module]()
        for i in range(3):
            width = outputs if i else inputs
            layers[f"conv{i + 1}"] = nn.Conv2d(width, outputs, 3, padding=1, bias=False)
            layers[f"norm{i + 1}"] = nn.BatchNorm2d(outputs)
            if i < 2:
                layers[f"relu{i + 1}"] = nn.LeakyReLU(0.1)
        self.path = nn.Sequential(layers)
        self.shortcut = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(inputs, outputs, 1, bias=False), norm=nn.BatchNorm2d(outputs)
            )
        )
        self.relu = nn.LeakyReLU(0.1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(self.relu(self.path(x) + self.shortcut(x)))
        return out


class ResNet12(nn.Sequential):
    """Four residual blocks and a spatial mean (Oreshkin et al. 2018; Lee et al. 2019).

    Args:
        widths: Channels of each block.
        channels: Channels `C` of an image.
        pooled: Average the last feature map over space; otherwise flatten it.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 160, 320, 640),
        channels: int = 1,
        pooled: bool = True,
    ) -> None:
        blocks = OrderedDict[str, nn.Module]()
        for i, width in enumerate(widths):
            blocks[f"block{i + 1}"] = ResidualBlock(widths[i - 1] if i else channels, width)
        if pooled:
            blocks["mean"] = nn.AdaptiveAvgPool2d(1)
        blocks["flatten"] = nn.Flatten()
        super().__init__(blocks)


BACKBONES: Mapping[str, Callable[..., nn.Module]] = {"conv4": Conv4, "resnet12": ResNet12}
"""Architectures by name; the arguments of each are plain JSON."""

WIDEST, DEEPEST = 1024, 8
"""Channels of a layer and blocks of a network; a file that asks for more is not believed."""


def build_backbone(architecture: Mapping[str, Any], *, seed: int = 0) -> nn.Module:
    """A freshly initialised backbone.

    Args:
        architecture: ``{"name": "conv4", "filters": 32, …}``: the name, and the
            constructor's arguments.
        seed: Seed of the initial weights; the global generator is left untouched.

    Raises:
        CheckpointError: If the name or an argument is unknown, or a width is out of reason.

    >>> len(list(build_backbone({"name": "conv4", "filters": 8}).parameters()))
    16
    """
    arguments = dict(architecture)
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in BACKBONES:
        raise CheckpointError(
            f"architecture {name!r} is unknown; known are {', '.join(sorted(BACKBONES))}",
            code="unknown-architecture",
        )
    for key, value in arguments.items():
        if isinstance(value, list | tuple):
            arguments[key] = tuple(value)
        _refuse_unreasonable(name, key, value)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BACKBONES[name](**arguments)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"architecture {name!r} does not take these arguments: {error}",
            code="unknown-architecture",
        ) from error


def _refuse_unreasonable(name: str, key: str, value: object) -> None:
    """Before memory is taken: a checkpoint's metadata may say anything."""
    numbers = value if isinstance(value, list | tuple) else (value,)
    widths = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
    if not (1 <= len(numbers) <= DEEPEST and all(1 <= n <= WIDEST for n in widths)):
        raise CheckpointError(
            f"architecture {name!r} with {key}={value!r}; widths of 1 to {WIDEST} are allowed, "
            f"of at most {DEEPEST} blocks",
            code="unknown-architecture",
        )
