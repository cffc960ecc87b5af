"""Adaptations without content: what does any movement do, whatever it was told?

``random direction``
    Each tensor moves as far as it would have, in a direction drawn at random.
``shuffled labels``
    The support's labels are dealt anew before the inner loop sees them.
``third task``
    The inner loop sees the support of another episode's task.

Directions and labels depend on the episode's own rows, and are the same in whatever list it is.
Which is the third task, `other_tasks.py` says.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..data.episodes import EpisodeList
from ..models.forward import Params

Control = Literal["random direction", "shuffled labels", "third task"]


def random_direction(before: Params, after: Params, episodes: EpisodeList) -> Params:
    """Stacked parameters `(E, …)` as far from `before` as `after` is, tensor by tensor."""
    out = dict(after)
    draws = [torch.Generator().manual_seed(_entropy(episodes, e)) for e in range(len(episodes))]
    for name in sorted(after):
        step = (after[name] - before[name]).flatten(1)
        if not step.any():
            continue
        noise = torch.stack(
            [torch.randn(step.shape[1], generator=draw, dtype=step.dtype) for draw in draws]
        ).to(step.device)
        scale = step.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
        out[name] = before[name] + (noise * scale).reshape(after[name].shape)
    return out


def dealt_labels(labels: Tensor, episodes: EpisodeList) -> Tensor:
    """Support labels `(E, B)` in another order, which is never their own."""
    dealt = []
    for e, own in enumerate(labels):
        rng = np.random.default_rng(_entropy(episodes, e))
        order = rng.permutation(len(own))
        while bool((own[torch.from_numpy(order)] == own).all()):
            order = rng.permutation(len(own))
        dealt.append(own[torch.from_numpy(order)])
    return torch.stack(dealt)


def _entropy(episodes: EpisodeList, e: int) -> int:
    """A seed from the rows of one episode."""
    rows = [episodes.seed, *episodes.on.support[e].ravel().tolist()]
    return int(np.random.SeedSequence(rows).generate_state(1)[0])
