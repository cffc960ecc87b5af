"""A whole dataset through an encoder, into the store.

Each image is embedded by itself (norm mode ``running``), so its embedding does
not depend on which images came with it. A killed run goes on after the last
shard that was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from ..data.embeddings import Embeddings
from ..data.errors import CheckpointError
from ..data.images import LabelledImages
from ..data.store import Store
from ..models.encoder import Encoder
from ..models.norms import with_norm
from ..models.tensors import image_tensor
from ..models.threads import one_thread
from .measurement import CODE

SHARD = 2048
"""Images a shard of the store."""

BATCH = 64


def embedding_key(encoder: Encoder, data: LabelledImages, device: str) -> dict[str, object]:
    """Everything the embeddings depend on."""
    return {
        "what": "dataset embeddings",
        "code": CODE,
        "weights": encoder.weights_digest,
        "architecture": dict(encoder.architecture),
        "layer": "embedding",
        "norm": "running",
        "data": data.fingerprint,
        "compute": {"device": torch.device(device).type, "dtype": "float32", "batch": BATCH},
    }


def embed(
    encoder: Encoder,
    data: LabelledImages,
    store: Store | None,
    *,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> Embeddings:
    """Embeddings of every image, in order.

    Args:
        encoder: The encoder; its checkpoint must store running statistics.
        data: Images of the encoder's shape.
        store: Where to look and keep; None to do without.
        device: A torch device.
        progress: Told of every shard.

    Raises:
        MetaprobeError: If the encoder has no running statistics or the store fails.
    """
    if store is None:
        return _joined(list(_shards(encoder, data, 0, device, progress)))
    key = embedding_key(encoder, data, device)
    found = store.get(key)
    if found is not None:
        return found
    with store.writer(key, rows=len(data), provenance={"encoder": encoder.name}) as writer:
        for shard in _shards(encoder, data, writer.done, device, progress):
            writer.append(shard)
    kept = store.get(key)
    return kept if kept is not None else embed(encoder, data, None, device=device)


def one_by_one(encoder: Encoder) -> nn.Module:
    """The body with the norm mode that tells an image's features from that image alone.

    Raises:
        CheckpointError: ``no-running-statistics``.
    """
    try:
        return with_norm(encoder.body, "running")
    except CheckpointError as error:
        if error.code != "no-running-statistics":
            raise
        raise CheckpointError(
            f"{encoder.name!r} stores no running statistics, so that an image's features depend on "
            "the images beside it and it has none of its own; audit it, with --norm batch or support",
            code=error.code,
        ) from error


def _shards(
    encoder: Encoder,
    data: LabelledImages,
    start: int,
    device: str,
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[Embeddings]:
    body = one_by_one(encoder).to(device)
    for low in range(start, len(data), SHARD):
        rows = np.arange(low, min(low + SHARD, len(data)))
        with one_thread(), torch.inference_mode():
            parts = [
                body(image_tensor(data, rows[i : i + BATCH]).flatten(0, 1).to(device)).cpu().numpy()
                for i in range(0, len(rows), BATCH)
            ]
        yield Embeddings(np.concatenate(parts), data.ids[rows], data.labels[rows])
        if progress is not None:
            progress(encoder.name, low // SHARD + 1, -(-len(data) // SHARD))


def _joined(shards: list[Embeddings]) -> Embeddings:
    return Embeddings(
        np.concatenate([s.features for s in shards]),
        np.concatenate([s.ids for s in shards]),
        np.concatenate([s.labels for s in shards]),
    )
