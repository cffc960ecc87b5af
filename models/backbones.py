"""The encoders of the few-shot literature by name: Conv4 here, ResNets in `residual.py`.

A backbone maps images `(N, C, H, W)` to embeddings `(N, D)`. Everything in it
acts on channels alone, so that the episodes of a batch can share one grouped
convolution (`forward.py`).
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from ..data.errors import CheckpointError
from .residual import BasicResNet, ResNet12


class Conv4(nn.Sequential):
    """Four blocks of convolution, normalisation, ReLU and pooling (Vinyals et al. 2016).

    Args:
        filters: Channels of every block.
        channels: Channels `C` of an image.
        pooled: Average the last feature map over space; otherwise flatten it.
        strided: Halve the side by the convolution's stride; otherwise by max pooling.
        bias: Whether a convolution has a bias.
        affine: Whether normalisation has a weight and a bias.
        running: Whether normalisation stores running statistics.
        slope: Slope of the ReLU below zero.
    """

    def __init__(
        self,
        filters: int = 32,
        channels: int = 1,
        pooled: bool = False,
        strided: bool = False,
        bias: bool = True,
        affine: bool = True,
        running: bool = True,
        slope: float = 0.0,
    ) -> None:
        blocks = OrderedDict[str, nn.Module]()
        for i in range(4):
            before, stride = filters if i else channels, 2 if strided else 1
            block = OrderedDict[str, nn.Module](
                conv=nn.Conv2d(before, filters, 3, stride, padding=1, bias=bias),
                norm=nn.BatchNorm2d(filters, affine=affine, track_running_stats=running),
                relu=nn.LeakyReLU(slope) if slope else nn.ReLU(),
            )
            if not strided:
                block["pool"] = nn.MaxPool2d(2)
            blocks[f"block{i + 1}"] = nn.Sequential(block)
        if pooled:
            blocks["mean"] = nn.AdaptiveAvgPool2d(1)
        blocks["flatten"] = nn.Flatten()
        super().__init__(blocks)


BACKBONES: Mapping[str, Callable[..., nn.Module]] = {
    "conv4": Conv4,
    "resnet12": ResNet12,
    "resnet10": partial(BasicResNet, (1, 1, 1, 1)),
    "resnet18": partial(BasicResNet, (2, 2, 2, 2)),
    "resnet34": partial(BasicResNet, (3, 4, 6, 3)),
}
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
    taken = inspect.signature(BACKBONES[name]).parameters
    unknown = [str(key) for key in arguments if key not in taken]
    if unknown:
        raise CheckpointError(
            f"architecture {name!r} takes no {unknown[0]!r}; it takes {', '.join(taken)}",
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
