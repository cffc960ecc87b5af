r"""Orthogonal Procrustes: how far apart are two sets of features, once turned to fit?

.. math:: \min_Q \|X Q - Y\|_F^2 = 2 - 2 \|X^\top Y\|_*, \quad X, Y \text{ centred}, \|X\|_F = \|Y\|_F = 1

Directions count by their length, where CKA counts them by its square: small ones still matter,
and it takes outlying rows longer to drown the others. The square root is a metric (Williams et
al. 2021); this is its square, as in Ding et al. (2021), https://arxiv.org/abs/2108.01661.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...probes.rows import Floats, Integers
from .pairs import centred_sides


def procrustes(x: ArrayLike, y: ArrayLike) -> float:
    """Squared Procrustes distance.

    Args:
        x: ``(N, D)``.
        y: ``(N, E)``; the narrower side counts as padded with zeros.

    Returns:
        In [0, 2]; 0 where one side is the other turned, scaled and shifted.

    Raises:
        ProbeError: ``constant``, or as `pairs.sides`.
    """
    return float(procrustes_reordered(x, y, np.arange(len(np.asarray(x)))[None])[0])


def procrustes_reordered(x: ArrayLike, y: ArrayLike, orders: Integers) -> Floats:
    """`procrustes` of ``x`` and ``y[order]`` for each order ``(R, N)``."""
    one, two = (_thin(side) for side in centred_sides(x, y))
    lengths = [np.linalg.svd(one.T @ two[order], compute_uv=False).sum() for order in orders]
    return np.asarray(np.clip(2 - 2 * np.array(lengths), 0.0, 2.0))


def _thin(rows: Floats) -> Floats:
    """The same rows turned into at most N features: what lies beyond them is nothing."""
    n, d = rows.shape
    return rows if d <= n else np.asarray(np.linalg.qr(rows.T, mode="r")).T
