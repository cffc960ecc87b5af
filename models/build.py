"""A body from its architecture, whoever wrote the network.

An architecture is plain JSON. ``mean`` and ``std`` in it are taken off the
images before the first layer, so that whatever reads the architecture, such as
a key of the store, knows of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..data.errors import CheckpointError
from .backbones import BACKBONES, build_backbone
from .foreign.headless import foreign_body
from .foreign.hub import BUILDERS


class Normalise:
    """Channel means and spreads taken off images `(N, C, H, W)`, as a hook before a network.

    Where episodes lie side by side as `(N, E * C, H, W)`, each has the same ones.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean, self.std = mean, std

    def __call__(self, network: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0]
        times = x.shape[1] // len(self.mean)
        mean, std = (x.new_tensor(v * times)[:, None, None] for v in (self.mean, self.std))
        return ((x - mean) / std, *args[1:])


def build_body(architecture: Mapping[str, Any], *, seed: int = 0) -> nn.Module:
    """A freshly initialised body.

    Args:
        architecture: As for `build_backbone`, or for `foreign_body`; ``mean`` and ``std``
            beside either.
        seed: Seed of the initial weights; the global generator is left untouched.

    Raises:
        CheckpointError: If it cannot be built, or a spread is not above zero.
    """
    rest = dict(architecture)
    mean, std = (_numbers(rest.pop(k, None)) for k in ("mean", "std"))
    if len(mean) != len(std) or not all(s > 0 for s in std):
        raise CheckpointError(
            f"mean {mean} and std {std} do not go together; one of each a channel, std above 0",
            code="normalise",
        )
    if rest.get("name") in BUILDERS and rest["name"] not in BACKBONES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body = foreign_body(rest)
    else:
        body = build_backbone(rest, seed=seed)
    if mean:
        body.register_forward_pre_hook(Normalise(mean, std))
    return body


def _numbers(value: Any) -> tuple[float, ...]:
    """A list of numbers as a tuple; empty for none."""
    if value is None:
        return ()
    if isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
        return tuple(map(float, value))
    raise CheckpointError(f"mean or std {value!r} is no list of numbers", code="normalise")
