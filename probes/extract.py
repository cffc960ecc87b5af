"""Embeddings of episodes, before and after adaptation, computed once and kept.

Episodes are measured in blocks of a fixed size, and each block at meta-init and
after adaptation is an entry of the store. So a repeated audit reads, a longer
one computes only what is new, and a killed one loses at most the blocks in
hand. A block is computed on one thread whatever the machine, in the same order
of operations, so that the numbers do not depend on how many run side by side.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.embeddings import Embeddings
from ..data.episodes import EpisodeList, Tasks
from ..data.errors import ProbeError
from ..data.images import LabelledImages
from ..data.store import Store
from ..models.adapt import adapt
from ..models.forward import CHUNK, Params, beside_support, features_of, logits_of, stack
from ..models.heads import default_head, starting_head
from ..models.norms import with_norm
from ..models.rules import Rule
from ..models.tensors import image_tensor, label_tensor, not_finite
from ..models.threads import one_thread
from .controls import dealt_labels, random_direction
from .measurement import BlockFeatures, Measurement, Moment


def extract(
    measurement: Measurement, block: EpisodeList, store: Store | None, moments: tuple[Moment, ...]
) -> tuple[dict[Moment, BlockFeatures], int]:
    """A block's features from the store, or computed and then kept.

    Args:
        measurement: What to measure.
        block: One of its blocks.
        store: Where to look and keep; None to do without.
        moments: Which of ``init`` and ``adapted``.

    Returns:
        The features, and how many of the moments had to be computed.
    """
    found: dict[Moment, BlockFeatures] = {}
    for moment in moments:
        kept = store.get(measurement.key(block, moment)) if store else None
        if kept is not None:
            found[moment] = _from_rows(kept, len(block))
    missing: tuple[Moment, ...] = tuple(m for m in moments if m not in found)
    if missing:
        computed = compute(measurement, block, missing)
        for moment, features in computed.items():
            if store:
                rows = _to_rows(measurement, block, features)
                store.put(
                    measurement.key(block, moment),
                    rows,
                    provenance={"encoder": measurement.encoder.name},
                )
        found |= computed
    return found, len(missing)


def compute(
    measurement: Measurement, block: EpisodeList, moments: tuple[Moment, ...]
) -> dict[Moment, BlockFeatures]:
    """Run the encoder on a block.

    The adapted moment's extras are ``head_init`` and ``head_adapted`` ``(E, B)``, whether
    the head was right about each query of T before and after; ``trace`` ``(E, steps, P, 4)``,
    for each inner step and moving tensor the sums ``g·Δ``, ``g²``, ``g²`` where ``g·Δ > 0``
    (the step goes uphill) and ``Δ²``; and for learned rates ``reach``, the largest absolute
    gradient of each moving value over the first episodes, in float64 at meta-init.
    """
    with one_thread():
        supports = measurement.fitted(block)
        chunks = [
            _chunk(measurement, block[i : i + CHUNK], supports[i : i + CHUNK], moments)
            for i in range(0, len(block), CHUNK)
        ]
        out: dict[Moment, BlockFeatures] = {
            m: BlockFeatures(
                np.concatenate([c[m].features for c in chunks]),
                {k: np.concatenate([c[m].extras[k] for c in chunks]) for k in chunks[0][m].extras},
            )
            for m in moments
        }
        if "adapted" in out and measurement.encoder.rates:
            reach = gradient_reach(measurement, block[:CHUNK])
            extras = {**out["adapted"].extras, "reach": reach}
            out["adapted"] = BlockFeatures(out["adapted"].features, extras)
    return out


def _chunk(
    measurement: Measurement,
    episodes: EpisodeList,
    fitted: NDArray[np.int64],
    moments: tuple[Moment, ...],
) -> dict[Moment, BlockFeatures]:
    way, shot, query = episodes.on.shape
    encoder, many = measurement.encoder, len(episodes)
    body = with_norm(encoder.body, measurement.norm, support_rows=way * shot).to(measurement.device)
    features = features_of(body)
    beside = beside_support(features, measurement.norm)
    start = stack(_on(encoder.params, measurement.device), many)
    tasks = [
        _task_images(data, tasks, measurement.device)
        for data, tasks in ((measurement.data, episodes.on), (measurement.off_data, episodes.off))
    ]

    def all_rows(params: Params) -> NDArray[np.float32]:
        """``(E, 2, R, D)``: each role normalised apart from the others."""
        with torch.no_grad():
            parts = [
                torch.cat(
                    [beside(params, images["support"], images[role]) for role in images], dim=1
                )
                for images in tasks
            ]
        return torch.stack(parts, dim=1).cpu().numpy()

    out: dict[Moment, BlockFeatures] = {}
    if "init" in moments:
        out["init"] = BlockFeatures(all_rows(start), {})
    if "adapted" in moments:
        support, asked = tasks[0]["support"], tasks[0]["query"]
        labels = label_tensor(many, way, shot).to(measurement.device)
        if measurement.control == "third task":
            support = image_tensor(measurement.data, fitted).to(measurement.device)
        elif measurement.control == "shuffled labels":
            labels = dealt_labels(labels, episodes)
        with torch.no_grad():
            at_start = features(start, support)
        stored = _on(encoder.head, measurement.device)
        params = {**start, **starting_head(measurement.head, stored, at_start, way, shot)}
        trace = np.zeros((many, measurement.rule.steps, len(measurement.moved), 4))

        def observe(step: int, before: Params, grads: Params, after: Params) -> None:
            for p, name in enumerate(measurement.moved):
                trace[:, step, p] = _sums(grads[name], after[name] - before[name])

        moved = adapt(
            features,
            params,
            measurement.rule,
            _on(encoder.rates, measurement.device),
            support,
            labels,
            observe=observe,
        )
        if measurement.control == "random direction":
            origin = params
            if measurement.beyond is not None:
                rates = _on(measurement.beyond.rates, measurement.device)
                origin = adapt(features, params, measurement.rule, rates, support, labels)
            moved = random_direction(origin, moved, episodes)
        _refuse_diverged(moved, measurement.rule)
        truth = label_tensor(many, way, query).to(measurement.device)
        with torch.no_grad():
            right = [
                (logits_of(p, beside(p, support, asked)).argmax(-1) == truth).cpu().numpy()
                for p in (params, moved)
            ]
        extras = {"head_init": right[0], "head_adapted": right[1], "trace": trace}
        out["adapted"] = BlockFeatures(all_rows(moved), extras)
    return out


def _refuse_diverged(moved: Params, rule: Rule) -> None:
    """Stop where the inner loop led out of what floats can hold.

    Raises:
        ProbeError: Naming a parameter.
    """
    for name, values in moved.items():
        if not_finite(values):
            raise ProbeError(
                f"the inner loop ({rule.name}, {rule.steps} steps) diverges: {name!r} is not finite "
                "after it; take a smaller rate or fewer steps",
                code="not-finite",
            )


def _sums(grad: Tensor, step: Tensor) -> NDArray[np.float64]:
    g, d = grad.detach().flatten(1).double(), step.detach().flatten(1).double()
    along, squared = g * d, g**2
    uphill = torch.where(along > 0, squared, 0.0)
    parts = (along, squared, uphill, d**2)
    return torch.stack([p.sum(dim=1) for p in parts], dim=-1).cpu().numpy()


def gradient_reach(measurement: Measurement, episodes: EpisodeList) -> NDArray[np.float64]:
    """Largest absolute gradient of each moving value at meta-init, in float64.

    Returns:
        ``(values,)``, the moving tensors flattened one after another. Where it is zero to
        rounding, a learned rate multiplies nothing and is never trained: a dead rate.
    """
    way, shot, _ = episodes.on.shape
    encoder = measurement.encoder
    body = with_norm(encoder.body, measurement.norm, support_rows=way * shot).double()
    features = features_of(body, "loop")
    support = image_tensor(measurement.data, episodes.on.support, torch.float64)
    params = stack({n: p.double() for n, p in encoder.params.items()}, len(episodes))
    stored = {n: p.double() for n, p in encoder.head.items()}
    with torch.no_grad():
        at_start = features(params, support)
    # under a head of zeros the whole body would pass for dead
    head = default_head(stored, way, moves=False)
    params |= starting_head(head, stored, at_start, way, shot)
    seen: list[NDArray[np.float64]] = []

    def observe(step: int, before: Params, grads: Params, after: Params) -> None:
        seen.extend(grads[n].abs().amax(dim=0).flatten().numpy() for n in measurement.moved)

    rates = {n: r.double() for n, r in encoder.rates.items()}
    labels = label_tensor(len(episodes), way, shot)
    adapt(features, params, measurement.rule, rates, support, labels, steps=1, observe=observe)
    return np.concatenate(seen)


def _task_images(data: LabelledImages, tasks: Tasks, device: str) -> dict[str, Tensor]:
    roles = {"support": tasks.support, "gallery": tasks.gallery, "query": tasks.query}
    return {role: image_tensor(data, rows).to(device) for role, rows in roles.items()}


def _on(params: Params, device: str) -> Params:
    return {n: p.to(device) for n, p in params.items()}


def _to_rows(measurement: Measurement, block: EpisodeList, found: BlockFeatures) -> Embeddings:
    ids, labels = [], []
    for data, tasks in ((measurement.data, block.on), (measurement.off_data, block.off)):
        roles = (tasks.support, tasks.gallery, tasks.query)
        ids.append(data.ids[np.concatenate([r.reshape(len(block), -1) for r in roles], axis=1)])
        way = tasks.shape[0]
        labels.append(np.concatenate([np.repeat(np.arange(way), r.shape[2]) for r in roles]))
    return Embeddings(
        found.features.reshape(-1, found.features.shape[-1]),
        np.stack(ids, axis=1).ravel(),
        np.broadcast_to(np.stack(labels), (len(block), 2, len(labels[0]))).ravel().astype(np.int64),
        {k: np.asarray(v) for k, v in found.extras.items()},
    )


def _from_rows(rows: Embeddings, episodes: int) -> BlockFeatures:
    return BlockFeatures(rows.features.reshape(episodes, 2, -1, rows.dim), rows.extras)
