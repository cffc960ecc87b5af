"""From index arrays and stored pixels to the tensors a network takes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.images import LabelledImages


def image_tensor(
    data: LabelledImages, rows: NDArray[np.int64], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Images of these rows, in [0, 1].

    Args:
        data: The dataset.
        rows: ``(E, …)`` indices.
        dtype: Type of the result.

    Returns:
        ``(E, B, C, H, W)``, with every further axis of `rows` in `B`.
    """
    picked = data.images[rows.reshape(len(rows), -1)]
    out = torch.from_numpy(picked).to(dtype)
    return out / 255 if data.images.dtype == np.uint8 else out


def widened(tensor: Tensor) -> Tensor:
    """Floats of eight bits, for which torch has few operations, as float32; else what came."""
    narrow = tensor.is_floating_point() and tensor.element_size() < 2
    return tensor.float() if narrow else tensor


def not_finite(tensor: Tensor) -> int:
    """How many values are NaN or infinite.

    >>> not_finite(torch.tensor([1.0, float("nan")]))
    1
    """
    return int((~torch.isfinite(widened(tensor))).sum())


def label_tensor(episodes: int, way: int, each: int) -> Tensor:
    """Class-major labels `(E, W * each)`.

    >>> label_tensor(1, 2, 3)
    tensor([[0, 0, 0, 1, 1, 1]])
    """
    return torch.arange(way).repeat_interleave(each).expand(episodes, -1)
