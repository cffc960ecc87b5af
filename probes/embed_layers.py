"""Several layers of a whole dataset in one pass, each kept in the store by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..data.embeddings import Embeddings
from ..data.images import LabelledImages
from ..data.store import Store
from ..models.encoder import Encoder
from ..models.forward import stack
from ..models.layers import EMBEDDING, Tap, block_taps, layer_features
from ..models.tensors import image_tensor
from ..models.threads import one_thread
from .embed import BATCH, embedding_key, one_by_one


def taps_of(encoder: Encoder, names: Sequence[Tap] = ()) -> tuple[Tap, ...]:
    """These layers, or every block and the embedding."""
    return tuple(names) or (*block_taps(encoder.body), Tap(EMBEDDING))


def embed_layers(
    encoder: Encoder,
    data: LabelledImages,
    taps: Sequence[Tap],
    store: Store | None,
    *,
    device: str = "cpu",
) -> tuple[dict[str, Embeddings], int]:
    """Features of every image at these layers, one image at a time (norm mode ``running``).

    Returns:
        Embeddings by the name of the tap, and how many of them had to be computed.

    Raises:
        MetaprobeError: As `embed`, or if the encoder has no such layer.
    """
    keys = {t.name: {**embedding_key(encoder, data, device), "tap": t.name} for t in taps}
    kept = {name: store.get(key) if store else None for name, key in keys.items()}
    found = {name: rows for name, rows in kept.items() if rows is not None}
    missing = [t for t in taps if t.name not in found]
    if missing:
        features = layer_features(one_by_one(encoder).to(device), missing)
        params = stack({n: p.to(device) for n, p in encoder.params.items()}, 1)
        parts: dict[str, list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]] = {}
        with one_thread(), torch.no_grad():
            for low in range(0, len(data), BATCH):
                rows = np.arange(low, min(low + BATCH, len(data)))
                images = image_tensor(data, rows[None]).to(device)
                for name, part in features(params, images).items():
                    parts.setdefault(name, []).append(part[0].cpu().numpy())
        for name, pieces in parts.items():
            found[name] = Embeddings(np.concatenate(pieces), data.ids, data.labels)
            if store:
                store.put(keys[name], found[name], provenance={"encoder": encoder.name})
    return {t.name: found[t.name] for t in taps}, len(missing)
