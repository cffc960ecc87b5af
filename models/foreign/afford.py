"""A network far larger than its file is refused before any of it takes memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ...data.errors import CheckpointError
from .hub import construct

TIMES, SMALL = 4, 1_000_000
"""How many times a file's values a network may have, where it has more than ``SMALL``."""

Builder = Callable[[Mapping[str, Any]], nn.Module]


def affordable(
    architecture: Mapping[str, Any], held: int, build: Builder = construct, *, said_by: str
) -> nn.Module:
    """Refuse a network far larger than its file, before any of it takes memory.

    Args:
        architecture: As for `build`.
        held: Values in the file.
        build: What makes the network.
        said_by: Who asks for the network, for the error.

    Returns:
        The network as `outline` gives it.

    Raises:
        CheckpointError: If the network has over `TIMES` as many values, and over `SMALL`; or if
            it cannot be built.
    """
    network = outline(architecture, build)
    wanted = sum(t.numel() for t in network.state_dict().values())
    if wanted > max(TIMES * held, SMALL):
        raise CheckpointError(
            f"{said_by} means a network of {wanted:,} values and the file holds {held:,}; the file "
            "is not of that network",
            code="shape",
        )
    return network


def outline(architecture: Mapping[str, Any], build: Builder = construct) -> nn.Module:
    """A network of shapes and names without values, which takes neither time nor memory.

    One of the user's own has its values, for its code runs as it is.

    Args:
        architecture: As for `build`.
        build: What makes the network.

    Raises:
        CheckpointError: If it cannot be built.
    """
    if architecture["name"] == "factory":
        return build(architecture)
    try:
        with torch.device("meta"):
            return build(architecture)
    except CheckpointError:  # some compute with small tensors on the way: let these be real
        with _WeightsOnMeta():
            return build(architecture)


class _WeightsOnMeta(TorchFunctionMode):
    """Makes tensors without values where memory would be taken for weights."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        words = dict(kwargs or {})
        if func is torch.empty and words.get("device") is None:
            words["device"] = "meta"
        return func(*args, **words)
