"""Adapting episodes: our batched path against learn2learn's loop, or a plain one.

28x28, Conv4-32, 5-way 1-shot, five inner steps, 75 queries, batch statistics.
learn2learn's algorithms are plain Python and serve where they can be imported;
else a loop of the same operations does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metaprobe.models.adapt import adapt
from metaprobe.models.backbones import build_backbone
from metaprobe.models.forward import features_of, logits_of, stack
from metaprobe.models.norms import with_norm
from metaprobe.models.rules import Rule

from .sidebyside import Ratio, compare

EPISODES, WAY, QUERY, STEPS, LR, CHUNK = 16, 5, 15, 5, 0.1, 4


def main(rounds: int = 5) -> list[Ratio]:
    """The ratio for adapting and classifying 16 episodes."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    body = with_norm(build_backbone({"name": "conv4", "filters": 32}), "batch")
    head = nn.Linear(32, WAY)
    support, query = (
        torch.rand(EPISODES, WAY, 1, 28, 28),
        torch.rand(EPISODES, WAY * QUERY, 1, 28, 28),
    )
    labels = torch.arange(WAY).expand(EPISODES, -1)
    params = {f"body.{n}": p.detach() for n, p in body.named_parameters()}
    params |= {f"head.{n}": p.detach() for n, p in head.named_parameters()}

    def ours() -> Tensor:
        features, out = features_of(body), []
        for low in range(0, EPISODES, CHUNK):
            part = slice(low, low + CHUNK)
            start = stack(params, CHUNK)
            moved = adapt(features, start, Rule("sgd", LR, STEPS), {}, support[part], labels[part])
            with torch.no_grad():
                out.append(logits_of(moved, features(moved, query[part])))
        return torch.cat(out)

    peer, name = _peer(nn.Sequential(body, head), support, labels, query)
    apart = (ours() - peer()).abs().flatten(1).amax(dim=1).median()
    if apart > 1e-3:
        raise SystemExit(f"the two disagree by {apart:.1e}: not the same thing was measured")
    return [compare("adaptation", ours, peer, peer_name=name, rounds=rounds)]


def _peer(
    model: nn.Module, support: Tensor, labels: Tensor, query: Tensor
) -> tuple[Callable[[], Tensor], str]:
    try:
        from learn2learn.algorithms import MAML
    except ImportError:
        return lambda: _loop(model, support, labels, query), "plain loop"

    def learned() -> Tensor:
        maml, out = MAML(model, lr=LR, first_order=True), []
        for e in range(EPISODES):
            clone = maml.clone()
            for _ in range(STEPS):
                clone.adapt(F.cross_entropy(clone(support[e]), labels[e]))
            with torch.no_grad():
                out.append(clone(query[e]))
        return torch.stack(out)

    return learned, "learn2learn"


def _loop(model: nn.Module, support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    out = []
    for e in range(EPISODES):
        params = {n: p.detach().requires_grad_() for n, p in model.named_parameters()}
        for _ in range(STEPS):
            logits = torch.func.functional_call(model, params, (support[e],))
            grads = torch.autograd.grad(F.cross_entropy(logits, labels[e]), list(params.values()))
            params = {
                n: (p - LR * g).detach().requires_grad_()
                for (n, p), g in zip(params.items(), grads, strict=True)
            }
        with torch.no_grad():
            out.append(torch.func.functional_call(model, params, (query[e],)))
    return torch.stack(out)
