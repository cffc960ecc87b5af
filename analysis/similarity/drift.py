"""Direct drift: how far did each image's features move?

Before and after adaptation an encoder has the same coordinates, so its features can be
subtracted, with no alignment between: the cheapest comparison and the most sensitive. It
says nothing of two encoders trained apart, whose coordinates mean different things.

| measure | of ``X = f_θ`` and ``Y = f_θ_T`` on the same rows |
|---|---|
| `drift_cosine` | mean cosine of a row before and after |
| `drift_change` | ``‖Y − X‖ / ‖X‖`` |
| `centroid_shift` | how far the class means moved, in typical distances from the mean |

The first is read in Oh et al. (2021), https://arxiv.org/abs/2008.08882.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...data.errors import ProbeError
from ...probes.labels import checked_labels
from ...probes.rows import Floats, checked_rows
from .pairs import sides


def drift_cosine(x: ArrayLike, y: ArrayLike) -> float:
    """Mean cosine between a row's features on both sides.

    Args:
        x: ``(N, D)``, before.
        y: ``(N, D)``, after.

    Returns:
        In [-1, 1]; 1 where no row turned.

    Raises:
        ProbeError: ``zero-norm`` (a row of zeros points nowhere), or as `pairs.sides`.
    """
    one, two = sides(x, y, 1, same_width=True)
    a = checked_rows(one, "x", "cosine").exact(slice(None))
    b = checked_rows(two, "y", "cosine").exact(slice(None))
    return float((1 - np.square(a - b).sum(axis=1) / 2).mean())


def drift_change(x: ArrayLike, y: ArrayLike) -> float:
    """Size of the change relative to the size of the features before.

    Args:
        x: ``(N, D)``, before.
        y: ``(N, D)``, after.

    Returns:
        0 or more; 0 where nothing moved.

    Raises:
        ProbeError: ``constant`` (x is zero throughout), or as `pairs.sides`.
    """
    one, two = sides(x, y, 1, same_width=True)
    peak = float(np.abs(one).max(initial=0))
    if peak == 0:
        raise ProbeError(
            "x is zero throughout, so no change is large or small beside it", code="constant"
        )
    before, after = one / np.float64(peak), two / np.float64(peak)
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))


def centroid_shifts(x: ArrayLike, y: ArrayLike, labels: ArrayLike) -> Floats:
    """How far each class's mean moved, in typical distances of a row of x from their mean.

    Args:
        x: ``(N, D)``, before.
        y: ``(N, D)``, after.
        labels: ``(N,)`` integers or strings.

    Returns:
        ``(C,)`` distances, classes in sorted order.

    Raises:
        ProbeError: ``labels``, ``constant`` (all rows of x are the same), or as
            `pairs.sides`.
    """
    one, two = sides(x, y, 1, same_width=True)
    names, codes = np.unique(checked_labels(labels, len(one)), return_inverse=True)
    if not np.ptp(one, axis=0).any():
        raise ProbeError(
            "all rows of x are the same, so there is no unit to measure by", code="constant"
        )
    unit = np.float64(np.ptp(one, axis=0).max())
    before = one / unit
    spread = np.sqrt(np.square(before - before.mean(axis=0)).sum(axis=1).mean())
    moved = two / unit - before
    one_hot = codes == np.arange(len(names))[:, None]
    means = (one_hot @ moved) / one_hot.sum(axis=1, keepdims=True)
    return np.asarray(np.linalg.norm(means, axis=1) / spread)


def centroid_shift(x: ArrayLike, y: ArrayLike, labels: ArrayLike) -> float:
    """Mean of `centroid_shifts` over the classes."""
    return float(centroid_shifts(x, y, labels).mean())
