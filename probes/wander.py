"""Wandering: an encoder adapts to one task after another and is never reset.

Features that adaptation makes universal do not fall off-task however far it wanders. Each
episode's T′ is asked before the first task and after every one.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..data.store import Store
from ..models.adapt import adapt
from ..models.forward import CHUNK, beside_support, features_of, stack
from ..models.heads import starting_head
from ..models.norms import with_norm
from ..models.tensors import image_tensor, label_tensor
from ..models.threads import one_thread
from .cells import ProbeSettings, classify
from .kept import Arrays, kept
from .measurement import Measurement
from .other_tasks import other_tasks, places

CODE = 3
"""Raised whenever the same key would give other numbers."""


def wander(
    measurement: Measurement,
    block: EpisodeList,
    tasks: int,
    store: Store | None,
    probe: ProbeSettings,
) -> tuple[Arrays, int]:
    """Walk through tasks with every episode of a block.

    The first task is the episode's own T, the others are `other_tasks`. The body goes on from where it was; each
    task begins with a head of its own, as an inner loop does.

    Args:
        measurement: What to measure.
        block: One of its blocks.
        tasks: How many tasks `N`.
        store: Where to look and keep; None to do without.
        probe: How a query is classified.

    Returns:
        ``bits`` ``(E, N + 1, W * Q)`` of T′; then 1 if they had to be computed, else 0.
    """
    walk = itinerary(block, measurement.episodes, tasks)
    shown = measurement.episodes.on.support[walk]
    key = {
        **measurement.key(block, "adapted"),
        "what": "wandering",
        "code": CODE,
        "tasks": hashlib.sha256(shown.tobytes()).hexdigest(),
        "probe": [probe.name, probe.k, probe.metric, probe.weights],
    }

    def compute() -> Arrays:
        with one_thread():
            parts = [
                _chunk(measurement, block, slice(i, i + CHUNK), shown[i : i + CHUNK], probe)
                for i in range(0, len(block), CHUNK)
            ]
        return {"bits": np.concatenate(parts)}

    return kept(key, len(block), store, compute)


def itinerary(block: EpisodeList, episodes: EpisodeList, tasks: int) -> NDArray[np.int64]:
    """``(E, N)``: which episodes' T each episode of a block walks through, its own first."""
    own = places(block, episodes)[:, None]
    return np.concatenate([own, other_tasks(block, episodes, tasks - 1)], axis=1)


def _chunk(
    measurement: Measurement,
    block: EpisodeList,
    which: slice,
    shown: NDArray[np.int64],
    probe: ProbeSettings,
) -> NDArray[np.bool_]:
    way, shot, query = block.on.shape
    encoder, device, episodes = measurement.encoder, measurement.device, block[which]
    body = with_norm(encoder.body, measurement.norm, support_rows=way * shot).to(device)
    features = features_of(body)
    beside = beside_support(features, measurement.norm)
    known, asked = (
        image_tensor(measurement.off_data, rows).to(device)
        for rows in (episodes.off.support, episodes.off.query)
    )
    truth = np.repeat(np.arange(way), query)
    stored = {n: p.to(device) for n, p in encoder.head.items()}
    rates = {n: r.to(device) for n, r in encoder.rates.items()}
    labels = label_tensor(len(episodes), way, shot).to(device)
    params = stack({n: p.to(device) for n, p in encoder.params.items()}, len(episodes))
    bits = []
    for task in range(shown.shape[1] + 1):
        if task:
            support = image_tensor(measurement.data, shown[:, task - 1])
            support = support.to(device)
            with torch.no_grad():
                now = features(params, support)
            head = starting_head(measurement.head, stored, now, way, shot)
            moved = adapt(features, {**params, **head}, measurement.rule, rates, support, labels)
            params = {n: p for n, p in moved.items() if n.startswith("body.")}
        with torch.no_grad():
            gallery, rows = (beside(params, known, x).cpu().numpy() for x in (known, asked))
        bits.append(classify(gallery, rows, way, probe) == truth)
    return np.stack(bits, axis=1)
