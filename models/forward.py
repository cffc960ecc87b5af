"""Many episodes at once, each with parameters of its own.

`E` episodes of `B` images, parameters stacked along a leading `E`. Two ways to
compute the same thing:

`loop`
    One `functional_call` an episode: the reference.
`grouped`
    All episodes side by side as channel groups of one convolution, channels
    last: 1.5-2.5 times faster on a CPU. `torch.vmap` is not used: over fused
    normalisation layers its second-order gradients are wrong.

Every layer a grouped network may hold acts within its channel group, so the
two agree to rounding (a test holds them to 1e-9 in float64, second order too).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .norms import BatchNorm, NormMode
from .residual import BasicBlock, ResidualBlock

Params = dict[str, Tensor]
"""Parameters by name: ``body.…`` and ``head.…``; stacked ones lead with `E`."""

Features = Callable[[Params, Tensor], Tensor]
"""``(params (E, …), images (E, B, C, H, W)) -> features (E, B, D)``."""

Way = Literal["auto", "loop", "grouped"]

CHUNK = 4
"""Episodes a grouped call: more leave the processor's second-level cache."""

_CHANNELWISE = frozenset[type[nn.Module]]({
    nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Identity,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten,
    nn.Conv2d, BatchNorm, nn.GroupNorm, nn.InstanceNorm2d, ResidualBlock, BasicBlock,
})  # fmt: skip


def groupable(body: nn.Module) -> bool:
    """Whether every module acts within its channels, so that episodes can be groups.

    Types are compared exactly: a subclass, or a container with a `forward` of its own,
    may do anything to channels. So may a hook on a part, such as spectral normalisation.
    """

    def keeps_to_channels(module: nn.Module) -> bool:
        if module is not body and (module._forward_pre_hooks or module._forward_hooks):
            return False
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            return False
        if isinstance(module, nn.InstanceNorm2d) and module.track_running_stats:
            return False
        return type(module) in _CHANNELWISE or type(module).forward is nn.Sequential.forward

    return all(keeps_to_channels(m) for m in body.modules())


def widen(body: nn.Module, episodes: int) -> nn.Module:
    """A twin of the network that takes the channels of all episodes side by side."""
    twin = copy.deepcopy(body)
    for layer in twin.modules():
        if isinstance(layer, nn.Conv2d):
            layer.groups *= episodes
        elif isinstance(layer, nn.GroupNorm):
            layer.num_groups *= episodes
            layer.num_channels *= episodes
        elif isinstance(layer, nn.InstanceNorm2d):
            layer.num_features *= episodes
    return twin


def looped(body: nn.Module) -> Features:
    """The reference: one call an episode."""

    def features(params: Params, images: Tensor) -> Tensor:
        own = body_only(params)
        return torch.stack(
            [
                functional_call(body, {n: p[e] for n, p in own.items()}, (images[e],))
                for e in range(len(images))
            ]
        )

    return features


def grouped(body: nn.Module) -> Features:
    """Episodes as channel groups of one network."""
    buffers = dict(body.named_buffers())
    twin = functools.cache(functools.partial(widen, body))  # copying a network is not cheap

    def features(params: Params, images: Tensor) -> Tensor:
        episodes, rows, channels, height, width = images.shape
        own = {n: p.flatten(0, 1) for n, p in body_only(params).items()}
        still = {n: b.repeat(episodes) for n, b in buffers.items() if b.ndim}
        x = images.transpose(0, 1).reshape(rows, episodes * channels, height, width)
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = functional_call(twin(episodes), {**own, **still}, (x,))
        return out.reshape(rows, episodes, -1).transpose(0, 1)

    return features


def features_of(body: nn.Module, way: Way = "auto") -> Features:
    """The feature function of a network: grouped where it can be, else looped.

    Raises:
        ValueError: If ``grouped`` is asked of a network that cannot be.
    """
    if way == "loop" or (way == "auto" and not groupable(body)):
        return looped(body)
    if not groupable(body):
        raise ValueError("this network has layers that mix channels; use way='loop'")
    return grouped(body)


def logits_of(params: Params, features: Tensor) -> Tensor:
    """The linear head: features `(E, B, D)` to logits `(E, B, W)`."""
    return torch.baddbmm(
        params["head.bias"][:, None, :], features, params["head.weight"].transpose(1, 2)
    )


def stack(params: Params, episodes: int) -> Params:
    """Parameters repeated for each episode; gradients flow back to the one original."""
    return {n: p.expand(episodes, *p.shape) for n, p in params.items()}


def body_only(params: Params) -> Params:
    """The parameters of the body, by the names the body itself gives them."""
    return {n.removeprefix("body."): p for n, p in params.items() if n.startswith("body.")}


def beside_support(
    features: Features, norm: NormMode
) -> Callable[[Params, Tensor, Tensor], Tensor]:
    """Features of rows `(E, B, …)` that may need the support beside them.

    In norm mode ``support`` the statistics come from the support, so it travels along.
    """

    def rows_beside(params: Params, support: Tensor, rows: Tensor) -> Tensor:
        if norm != "support":
            return features(params, rows)
        return features(params, torch.cat([support, rows], dim=1))[:, support.shape[1] :]

    return rows_beside
