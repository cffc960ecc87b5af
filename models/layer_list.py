"""The layers that can be read of a network, with what each gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import EMBEDDING, Tap, require_layers, require_pooling
from .norms import default_norm, with_norm

POOLS: dict[int, tuple[str, ...]] = {
    1: ("none", "avg", "flatten"),
    2: ("avg", "cls", "flatten"),
    3: ("avg", "flatten"),
}
"""Poolings by the dimensions of a layer's output for one image; ``flatten`` takes any."""


@dataclass(frozen=True)
class LayerOutput:
    """One layer that `layer_features` reads.

    Args:
        name: As `named_modules` has it, which is what ``--layer`` takes.
        kind: Its class.
        shape: What it gives for one image: `(C, H, W)`, `(H, W, C)`, `(T, D)` or `(D,)`.
        pools: The poolings that take this.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    pools: tuple[str, ...]


def layer_outputs(body: nn.Module, shape: tuple[int, int, int]) -> tuple[LayerOutput, ...]:
    """Every layer of a body that gives a tensor, in the order of `named_modules`.

    Args:
        body: The network without its head.
        shape: `(C, H, W)` of an image.

    >>> from .backbones import Conv4
    >>> layer_outputs(Conv4(8), (1, 28, 28))[0].shape
    (8, 14, 14)
    """
    seen: dict[str, tuple[int, ...]] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, given: object, out: object) -> None:
            one = out[0] if isinstance(out, tuple | list) and out else out
            if isinstance(one, Tensor) and one.ndim > 1 and len(one) == len(sample):
                seen[name] = tuple(one.shape[1:])

        return hook

    network = with_norm(body, default_norm(body))
    kinds = {name: type(layer).__name__ for name, layer in body.named_modules()}
    sample = torch.rand((3, *shape), generator=torch.Generator().manual_seed(0))
    for name, layer in network.named_modules():
        if name and name in kinds:
            layer.register_forward_hook(keep(name))
    with torch.no_grad():
        network(sample)
    return tuple(
        LayerOutput(name, kind, seen[name], POOLS.get(len(seen[name]), ("flatten",)))
        for name, kind in kinds.items()
        if name in seen
    )


def check_taps(body: nn.Module, taps: Sequence[Tap], shape: tuple[int, int, int]) -> None:
    """Refuse taps that the body cannot give, before anything is measured.

    Raises:
        UnknownLayer: If a layer is not there, gives no tensor, or not what its pooling takes.
    """
    require_layers(body, taps)
    wanted = [tap for tap in taps if tap.layer != EMBEDDING]
    if not wanted:
        return
    given = {one.name: one for one in layer_outputs(body, shape)}
    for tap in wanted:
        require_pooling(tap, given[tap.layer].pools if tap.layer in given else ())
