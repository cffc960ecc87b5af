"""A support set, and parameters that our rule adapted to it, to compare with others'."""

from __future__ import annotations

import torch
from torch import Tensor

from metaprobe.models.adapt import adapt
from metaprobe.models.encoder import Encoder
from metaprobe.models.forward import features_of, stack
from metaprobe.models.norms import with_norm


def support(shape: tuple[int, ...], ways: int = 5) -> tuple[Tensor, Tensor]:
    images = torch.rand(2 * ways, *shape, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(ways).repeat(2)


def ours(encoder: Encoder, steps: int) -> dict[str, Tensor]:
    """Parameters adapted by our rule, under the file's names."""
    images, labels = support(encoder.shape)
    features = features_of(with_norm(encoder.body, encoder.norm), "loop")
    params = stack(encoder.params | encoder.head, 1)
    moved = adapt(
        features, params, encoder.rule, encoder.rates, images[None], labels[None], steps=steps
    )
    assert encoder.load_report is not None
    names = encoder.load_report.names
    return {
        names.get(n.removeprefix("body."), n.removeprefix("body.")): p[0] for n, p in moved.items()
    }
