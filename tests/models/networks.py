"""Small networks and tasks, and a reference for the inner loop written apart from ours."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from metaprobe.models.backbones import build_backbone
from metaprobe.models.forward import Params
from metaprobe.models.learners import MetaBatch
from metaprobe.models.norms import BatchNorm, NormMode, with_norm
from metaprobe.models.tensors import label_tensor

Kind = Literal["batch", "running", "support", "group", "instance"]
KINDS: tuple[Kind, ...] = ("batch", "running", "support", "group", "instance")

CONV4: Mapping[str, Any] = {"name": "conv4", "filters": 4, "channels": 2}
RESNET: Mapping[str, Any] = {"name": "resnet12", "widths": [4, 6], "channels": 2}

WAY, SHOT, QUERY = 3, 2, 3
SUPPORT_ROWS = WAY * SHOT


class SupportNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the leading rows: a second implementation."""

    def forward(self, input: Tensor) -> Tensor:
        rows = input[:SUPPORT_ROWS].transpose(0, 1).flatten(1)
        var, mean = torch.var_mean(rows, dim=1, correction=0)
        scale = self.weight / (var + self.eps).sqrt()
        return input * scale.view(-1, 1, 1) + (self.bias - mean * scale).view(-1, 1, 1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed))


def smooth_net() -> nn.Module:
    """A network without kinks, so that finite differences may judge its gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 4, 3),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.Flatten(),
        )


def body_of(architecture: Mapping[str, Any]) -> nn.Module:
    return build_backbone(architecture, seed=4)


def prepared(body: nn.Module, kind: Kind) -> nn.Module:
    """The network in float64 with norm layers of this kind, affine and statistics drawn."""
    body = copy.deepcopy(body).double()
    for name, layer in list(body.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            parent, _, leaf = name.rpartition(".")
            width = layer.num_features
            fresh: nn.Module = layer
            if kind == "group":
                fresh = nn.GroupNorm(2, width)
            if kind == "instance":
                fresh = nn.InstanceNorm2d(width, affine=True)
            setattr(body.get_submodule(parent), leaf, fresh.double())
    for i, (name, tensor) in enumerate((*body.named_parameters(), *body.named_buffers())):
        if tensor.ndim == 1:  # affine parameters and running statistics, near where they start
            around = 1.0 if name.endswith(("weight", "var")) else 0.0
            tensor.data = around + 0.2 * noise(len(tensor), seed=i).tanh()
    return body


def ours(body: nn.Module, kind: Kind) -> nn.Module:
    return with_norm(body, norm_mode(kind), support_rows=SUPPORT_ROWS)


def norm_mode(kind: Kind) -> NormMode:
    return kind if kind in ("batch", "running", "support") else "batch"


def torchs_own(body: nn.Module, kind: Kind) -> nn.Module:
    """The same network with nothing of ours in it."""
    twin = copy.deepcopy(body)
    assert not any(isinstance(m, BatchNorm) for m in twin.modules())
    for layer in twin.modules():
        if kind == "support" and isinstance(layer, nn.BatchNorm2d):
            layer.__class__ = SupportNorm
    return twin.train(kind != "running")


def parameters(body: nn.Module, width: int) -> Params:
    """Body and head parameters, all of them leaves that require a gradient."""
    params = {f"body.{n}": p.detach().clone() for n, p in body.named_parameters()}
    params["head.weight"] = 0.3 * noise(WAY, width, seed=11)
    params["head.bias"] = 0.1 * noise(WAY, seed=12)
    return {n: p.requires_grad_() for n, p in params.items()}


def signed_rates(params: Params) -> Params:
    """A rate for each parameter, some of them negative."""
    rates = {n: 0.1 + 0.1 * noise(*p.shape, seed=i) for i, (n, p) in enumerate(params.items())}
    return {n: r.requires_grad_() for n, r in rates.items()}


def tasks(episodes: int, side: int) -> MetaBatch:
    """Tasks of two-channel images, in float64."""
    return MetaBatch(
        noise(episodes, SUPPORT_ROWS, 2, side, side, seed=21),
        label_tensor(episodes, WAY, SHOT),
        noise(episodes, WAY * QUERY, 2, side, side, seed=22),
        label_tensor(episodes, WAY, QUERY),
        torch.arange(WAY).expand(episodes, -1),
    )


def part(batch: MetaBatch, low: int, high: int) -> MetaBatch:
    """Episodes `low` to `high`."""
    cut = slice(low, high)
    return MetaBatch(
        batch.support[cut],
        batch.support_labels[cut],
        batch.query[cut],
        batch.query_labels[cut],
        batch.classes[cut],
    )


def reference(
    net: nn.Module,
    params: Params,
    rates: Params,
    batch: MetaBatch,
    episode: int,
    *,
    steps: int,
    order: int,
    moves: Callable[[str], bool] = lambda name: True,
    beside: bool = False,
    detached: bool = False,
) -> tuple[Params, Tensor]:
    """Adapted parameters and query logits of one episode, by the book."""

    def logits(at: Params, images: Tensor) -> Tensor:
        own = {n.removeprefix("body."): p for n, p in at.items() if n.startswith("body.")}
        features = functional_call(net, own, (images,))
        return F.linear(features, at["head.weight"], at["head.bias"])

    names = [n for n in params if moves(n)]
    for _ in range(steps):
        loss = F.cross_entropy(
            logits(params, batch.support[episode]), batch.support_labels[episode]
        )
        grads = torch.autograd.grad(loss, [params[n] for n in names], create_graph=order == 2)
        if detached:
            grads = tuple(g.detach() for g in grads)
        moved = {n: params[n] - rates[n] * g for n, g in zip(names, grads, strict=True)}
        params = {**params, **moved}
    query = batch.query[episode]
    images = torch.cat([batch.support[episode], query]) if beside else query
    return params, logits(params, images)[-len(query) :]


def largest_gap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest absolute difference between tensors of the same names."""
    assert one.keys() == other.keys()
    return max(float((one[n] - other[n]).detach().abs().max()) for n in one)
