"""The inner loop: parameters meet a support set and move.

One function serves meta-training (with a graph through the steps) and
measurement (without). It knows nothing of how features are computed: that is
`forward.py`'s, which does many episodes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .forward import Features, Params, logits_of
from .rules import Rule

Observer = Callable[[int, Params, Params, Params], None]
"""``(step, params, grads, next_params)``, all stacked `(E, …)`: told of every inner step."""

Order = Literal[0, 1, 2]
"""0: no graph at all; 1: the rates' graph, gradients as constants; 2: the whole graph."""


def episode_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each episode: logits `(E, B, W)`, labels `(E, B)` to `(E,)`."""
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.reshape(labels.shape).mean(dim=1)


def adapt(
    features: Features,
    params: Params,
    rule: Rule,
    rates: Params,
    images: Tensor,
    labels: Tensor,
    *,
    order: Order = 0,
    steps: int | None = None,
    observe: Observer | None = None,
) -> Params:
    """Parameters adapted to each episode's support set.

    Args:
        features: The body, as a function of stacked parameters.
        params: ``(E, …)`` stacked parameters at meta-init.
        rule: How to move.
        rates: What the rule has learned; each broadcasts against its parameter.
        images: ``(E, B, C, H, W)`` support images.
        labels: ``(E, B)`` support labels.
        order: Which graph to keep for an outer gradient.
        steps: Number of steps, when not the rule's own.
        observe: Told of every step.

    Returns:
        Stacked parameters ``(E, …)``; those that do not move are passed on as they are.
    """
    take_step = rule.build().step
    # where the body never moves, one forward pass serves every step
    shared = None if rule.moves_body(params) else features(params, images)
    with torch.enable_grad():
        for step in range(rule.steps if steps is None else steps):
            if order == 0:
                params = {n: p.detach().requires_grad_(rule.moves(n)) for n, p in params.items()}
            moving = rule.movable(params)
            seen = features(params, images) if shared is None else shared
            loss = episode_losses(logits_of(params, seen), labels).sum()
            found = torch.autograd.grad(loss, list(moving.values()), create_graph=order == 2)
            grads = dict(zip(moving, found, strict=True))
            moved = {**params, **take_step(moving, grads, rule.at(rates, step))}
            if observe is not None:
                observe(step, params, grads, moved)
            params = moved
    return params if order else {n: p.detach() for n, p in params.items()}
