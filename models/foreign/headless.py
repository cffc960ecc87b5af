"""A library's network without its head: which layer that is, and what is read in its place.

The body is that network with its head replaced by nothing, so it gives out what
the head would receive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...data.errors import CheckpointError
from .ask import Ask
from .hub import construct

HEADS = ("classifier", "fc", "head", "heads", "logits", "last_linear", "linear")
"""Names that a layer at the end of a network has when it is a classifier."""


def foreign_body(architecture: Mapping[str, Any]) -> nn.Module:
    """The network without its head: images `(N, C, H, W)` to `(N, D)`."""
    network = construct(architecture)
    if architecture.get("head"):
        replace_layer(network, architecture["head"], nn.Identity())
    pooler = getattr(network, "pooler", None)
    weighs = isinstance(pooler, nn.Module) and next(pooler.parameters(), None) is not None
    if architecture["pool"] in ("cls", "avg") and weighs:
        network.register_module("pooler", None)  # trained for another task, and no part of the path
    network.register_forward_hook(Reading(architecture["pool"]))
    return network


class Reading:
    """How a network's output becomes `(N, D)`, as a hook.

    Args:
        pool: ``head`` for what the head receives, ``cls`` for the first token, ``avg`` for the
            mean over tokens or places, ``pooler`` for the library's own, ``flatten``.
    """

    def __init__(self, pool: str) -> None:
        self.pool = pool

    def __call__(self, network: nn.Module, args: Any, output: Any) -> Tensor:
        if isinstance(output, Tensor):
            rows = output
        elif self.pool == "head":
            rows = output.logits
        elif self.pool == "pooler":
            rows = output.pooler_output
        else:
            rows = output.last_hidden_state
        if self.pool == "cls":
            return rows[:, 0]
        if self.pool == "avg" and rows.ndim > 2:
            return rows.mean(dim=1) if rows.ndim == 3 else rows.mean(dim=(2, 3))
        return rows.flatten(1)


def replace_layer(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Put another layer in the place of a named one."""
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, layer)


def last_linear(network: nn.Module) -> str:
    """The name of the last linear layer; empty where there is none."""
    return next(reversed(_linears(network)), "")


def _linears(network: nn.Module) -> dict[str, nn.Module]:
    return {name: layer for name, layer in network.named_modules() if type(layer) is nn.Linear}


def giver(network: nn.Module, sample: Tensor) -> str:
    """The linear layer whose output is the network's output; empty where there is none."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda layer, args, out: outputs.__setitem__(name, out)

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in _linears(network).items()]
    try:
        with torch.no_grad():
            out = network(sample)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(out, Tensor):
        out = getattr(out, "logits", None)
    for name, seen in reversed(outputs.items()):
        if out is not None and seen.shape == out.shape and torch.equal(seen, out):
            return name
    return ""


def own_head(network: nn.Module, ask: Ask, shape: tuple[int, int, int]) -> str:
    """The classifier of a network of the user's own; empty for none.

    Raises:
        CheckpointError: If the user names a layer that is no linear one.
    """
    said = ask.settings.get("head")
    linears = _linears(network)
    if said == "none":
        return ""
    if said is not None:
        if said not in linears:
            raise CheckpointError(
                f"head={said!r} names no linear layer of {ask.name!r}; say head=none, or one of "
                f"{', '.join(linears) or 'none'}",
                code="head",
            )
        return str(said)
    sample = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0))
    try:
        return giver(network.eval(), sample) or last_linear(network)
    except Exception:  # it takes other images; that is said where it is loaded
        return last_linear(network)
