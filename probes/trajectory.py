"""The way of an adaptation: every inner step and every layer, from one run of the inner loop.

At each step, meta-init among them, the queries of T and T′ are classified by the features of
each tapped layer against the support gallery. At meta-init and at the rule's own last step the
layers' features of those queries are kept as well, in float16, for whoever compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..data.store import Store
from ..models.adapt import adapt
from ..models.forward import CHUNK, Params, features_of, stack
from ..models.heads import starting_head
from ..models.layers import Tap, layer_features, layers_beside_support
from ..models.norms import with_norm
from ..models.tensors import image_tensor, label_tensor
from ..models.threads import one_thread
from .cells import ProbeSettings, classify
from .kept import Arrays, kept
from .measurement import Measurement

CODE = 2
"""Raised whenever the same key would give other numbers."""


def trajectory(
    measurement: Measurement,
    block: EpisodeList,
    taps: Sequence[Tap],
    steps: int,
    store: Store | None,
    probe: ProbeSettings,
    *,
    ends: bool = False,
) -> tuple[Arrays, int]:
    """The trajectories of a block of episodes.

    Args:
        measurement: What to measure.
        block: One of its blocks.
        taps: Layers `L`.
        steps: Inner steps `S`; the rule's own number, or more.
        store: Where to look and keep; None to do without.
        probe: How a query is classified.
        ends: Whether to look at meta-init and after the last step only, and to keep bits alone.

    Returns:
        ``bits`` ``(E, S + 1, L, 2, W * Q)`` (2 instead of `S` + 1 at the ends), T then T′; and for each tap
        ``init.NAME`` and ``adapted.NAME`` ``(E, 2, W * Q, D)`` float16. Then 1 if they had to
        be computed, else 0.
    """
    key = {
        **measurement.key(block, "adapted"),
        "what": "trajectory",
        "code": CODE,
        "layer": [tap.name for tap in taps],
        "steps": steps,
        "ends": ends,
        "probe": [probe.name, probe.k, probe.metric, probe.weights],
    }

    def compute() -> Arrays:
        with one_thread():
            parts = [
                _chunk(measurement, block[i : i + CHUNK], taps, steps, probe, ends)
                for i in range(0, len(block), CHUNK)
            ]
        return {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}

    return kept(key, len(block), store, compute)


def _chunk(
    measurement: Measurement,
    episodes: EpisodeList,
    taps: Sequence[Tap],
    steps: int,
    probe: ProbeSettings,
    ends: bool,
) -> Mapping[str, NDArray[Any]]:
    way, shot, query = episodes.on.shape
    encoder, many, device = measurement.encoder, len(episodes), measurement.device
    body = with_norm(encoder.body, measurement.norm, support_rows=way * shot).to(device)
    features = features_of(body)
    beside = layers_beside_support(layer_features(body, taps), measurement.norm)
    tasks = [
        [image_tensor(data, rows).to(device) for rows in (part.support, part.query)]
        for data, part in ((measurement.data, episodes.on), (measurement.off_data, episodes.off))
    ]
    truth = np.repeat(np.arange(way), query)
    looks = sorted({0, steps}) if ends else list(range(steps + 1))
    bits = np.zeros((many, len(looks), len(taps), 2, way * query), bool)
    out: dict[str, NDArray[Any]] = {"bits": bits}

    def look(step: int, params: Params) -> None:
        if step not in looks:
            return
        with torch.no_grad():
            found = [
                [beside(params, support, rows) for rows in (support, asked)]
                for support, asked in tasks
            ]
        for t, (known, asked) in enumerate(found):
            for at, tap in enumerate(taps):
                gallery, rows = known[tap.name].cpu().numpy(), asked[tap.name].cpu().numpy()
                bits[:, looks.index(step), at, t] = classify(gallery, rows, way, probe) == truth
        for moment, when in (("init", 0), ("adapted", measurement.rule.steps)):
            if step == when and not ends:
                for tap in taps:
                    both = torch.stack([asked[tap.name] for _, asked in found], dim=1)
                    out[f"{moment}.{tap.name}"] = both.cpu().numpy().astype(np.float16)

    start = stack({n: p.to(device) for n, p in encoder.params.items()}, many)
    with torch.no_grad():
        at_start = features(start, tasks[0][0])
    stored = {n: p.to(device) for n, p in encoder.head.items()}
    params = {**start, **starting_head(measurement.head, stored, at_start, way, shot)}
    look(0, params)
    adapt(
        features,
        params,
        measurement.rule,
        {n: r.to(device) for n, r in encoder.rates.items()},
        tasks[0][0],
        label_tensor(many, way, shot).to(device),
        steps=steps,
        observe=lambda step, before, grads, after: look(step + 1, after),
    )
    return out
