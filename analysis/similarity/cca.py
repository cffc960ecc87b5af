r"""Canonical correlations: how well can directions of one side be read off the other?

The canonical correlations ``ρ_i`` of ``X`` and ``Y`` are the singular values of ``Qxᵀ Qy``,
whose columns are orthonormal bases of the centred features. They do not change under any
invertible map of either side, and that is their trouble: with ``N <= D`` every direction can
be read off everything, and all of them are 1 whatever the features. So too few rows are
refused, and many more than that are needed: unrelated Gaussians of 64 features have a mean
correlation of 0.89 at 75 rows and still 0.15 at 2000.

| measure | mean of ``ρ_i`` | source |
|---|---|---|
| `svcca` | plain, over the directions that hold 99 % of each side's variance | Raghu et al. 2017 |
| `pwcca` | weighted by what of ``X`` the direction accounts for | Morcos et al. 2018 |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...data.errors import ProbeError
from ...probes.rows import Floats
from .pairs import centred_sides

_RANK = 1e-10  # of the largest singular value: directions below are rounding
_CLEAR = 1e-6  # of the largest eigenvalue: eigenvectors above are exact to 1e-10


def canonical_correlations(x: ArrayLike, y: ArrayLike) -> Floats:
    """``(min(D, E),)`` correlations, largest first (fewer where features are dependent).

    Args:
        x: ``(N, D)`` with ``N > D``.
        y: ``(N, E)`` with ``N > E``.

    Raises:
        ProbeError: ``too-few-rows`` (``N <= D`` or ``N <= E``), ``constant``, or as
            `pairs.sides`.
    """
    one, two = _many_rows(x, y)
    return _correlations(_basis(one), _basis(two))[1]


def svcca(x: ArrayLike, y: ArrayLike, keep: float = 0.99) -> float:
    """Mean canonical correlation of the directions that hold most variance.

    Args:
        x: ``(N, D)``.
        y: ``(N, E)``.
        keep: Share of the variance of each side to hold on to, above 0 and at most 1. It
            drives the result: state it.

    Returns:
        In [0, 1], higher is more alike.

    Raises:
        ProbeError: ``keep``; ``too-few-rows``, where the directions kept on both sides
            together are not fewer than N: some correlations would be 1 by arithmetic.
    """
    if not 0 < keep <= 1:
        raise ProbeError(f"keep {keep}; give a share above 0 and at most 1", code="keep")
    one, two = centred_sides(x, y)
    a, b = _basis(one, keep), _basis(two, keep)
    if a.shape[1] + b.shape[1] >= len(one):
        raise ProbeError(
            f"{a.shape[1]} and {b.shape[1]} directions hold {keep:.0%} of the variance, of only "
            f"{len(one)} rows, so some correlations are 1 whatever the features; give more rows, "
            "or keep less",
            code="too-few-rows",
        )
    return float(_correlations(a, b)[1].mean())


def pwcca(x: ArrayLike, y: ArrayLike) -> float:
    """Canonical correlations, weighted by how much of ``x`` their direction accounts for.

    The weight of direction ``h_i`` is ``Σ_j |⟨h_i, x_j⟩|`` over the centred features
    ``x_j``, so the two sides may not change places.

    Args:
        x: ``(N, D)`` with ``N > D``: the side whose directions are weighed.
        y: ``(N, E)`` with ``N > E``.

    Returns:
        In [0, 1], higher is more alike.

    Raises:
        ProbeError: As `canonical_correlations`.
    """
    one, two = _many_rows(x, y)
    basis = _basis(one)
    turned, found = _correlations(basis, _basis(two))
    directions = basis @ turned[:, : len(found)]
    weights = np.abs(directions.T @ one).sum(axis=1)
    return float(weights @ found / weights.sum())


def _many_rows(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    one, two = centred_sides(x, y)
    n, width = len(one), max(one.shape[1], two.shape[1])
    if n <= width:
        raise ProbeError(
            f"{n} rows of {width} features: all canonical correlations are 1 whatever the "
            f"features; give more than {width} rows (ten times as many to be of use), or take "
            "cka or procrustes",
            code="too-few-rows",
        )
    return one, two


def _basis(rows: Floats, keep: float = 1.0) -> Floats:
    """``(N, R)`` orthonormal: the leading directions with this share of the variance.

    Of many rows the covariance's eigenvectors give them several times sooner than an SVD, and
    as well where none of those kept is small.
    """
    n, d = rows.shape
    if n > 2 * d and keep < 1:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        values = np.maximum(values[::-1], 0.0)
        count = _count(values, keep)
        if values[count - 1] > _CLEAR * values[0]:
            turned = rows @ vectors[:, ::-1][:, :count]
            return np.asarray(turned / np.linalg.norm(turned, axis=0))
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(u[:, : min(int((s > _RANK * s[0]).sum()), _count(s * s, keep))])


def _count(values: Floats, keep: float) -> int:
    share = np.cumsum(values) / np.sum(values)
    return min(int(np.searchsorted(share, keep * (1 - 1e-12))) + 1, len(values))


def _correlations(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The turn of the first basis that pairs it with the second, and the correlations."""
    turned, found, _ = np.linalg.svd(a.T @ b)
    return turned, np.minimum(found, 1.0)
