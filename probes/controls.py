"""Adaptations without content: what does any movement do, whatever it was told?

``random direction``
    Each tensor moves as far as it would have, in a direction drawn at random.
``shuffled labels``
    The support's labels are dealt anew before the inner loop sees them.
``third task``
    The inner loop sees the support of another episode's task.

Directions and labels depend on the episode's own rows, and are the same in whatever list it is.
The third task depends on the whole list, and not on the block that the episode is measured in.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.episodes import EpisodeList
from ..data.errors import ProbeError
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


def other_supports(block: EpisodeList, episodes: EpisodeList) -> NDArray[np.int64]:
    """For each episode of a block, the support of another's T `(E, W, K)`.

    It is that of the next episode, in the whole list, whose classes are apart from the
    episode's own T and T′; of the one that shares fewest where all share some.

    Args:
        block: Some of the episodes.
        episodes: All of them, in which the other task is sought.

    Raises:
        ProbeError: If there is one episode alone, or the block is not of these episodes.
    """
    many = len(episodes)
    if many < 2:
        raise ProbeError(
            "a third task asked of one episode alone; ask for two episodes or more",
            code="third-task",
        )
    same = episodes.fingerprints[0] == episodes.fingerprints[1]
    place = {_rows(episodes, e): e for e in reversed(range(many))}
    chosen = []
    for b in range(len(block)):
        e = place.get(_rows(block, b))
        if e is None:
            raise ProbeError(
                f"episode {b} of the block is none of the {many} episodes; cut the block from them",
                code="third-task",
            )
        own = set(block.on.classes[b]) | (set(block.off.classes[b]) if same else set())
        others = [(e + ahead) % many for ahead in range(1, many)]
        chosen.append(min(others, key=lambda o: len(own & set(episodes.on.classes[o]))))
    return episodes.on.support[chosen]


def _rows(episodes: EpisodeList, e: int) -> bytes:
    """One episode as bytes, to find it by."""
    on, off = episodes.on, episodes.off
    parts = (on.support, on.query, on.gallery, off.support, off.query, off.gallery)
    return b"".join(part[e].tobytes() for part in parts)


def _entropy(episodes: EpisodeList, e: int) -> int:
    """A seed from the rows of one episode."""
    rows = [episodes.seed, *episodes.on.support[e].ravel().tolist()]
    return int(np.random.SeedSequence(rows).generate_state(1)[0])
