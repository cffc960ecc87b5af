r"""How well do labelled features keep their classes apart, without a classifier?

With ``m_c`` and ``v_c`` the mean of class c and its rows' mean squared distance from it, `m` the
mean of the class means, and all classes weighing the same whatever their size:

| measure | it is | source |
|---|---|---|
| `silhouette` | mean of ``(b - a) / max(a, b)``: own class against the next | Rousseeuw 1987 |
| `class_separation` | ``1 - `` mean cosine distance within classes / over all pairs | Kornblith et al. 2021 |
| `cdnv` | mean over pairs of classes of ``(v_i + v_j) / (2 ‖m_i - m_j‖²)`` | Galanti et al. 2022 |
| `nc1` | ``Σ v_c / Σ ‖m_c - m‖²`` (the quotient ``tr S_w / tr S_b``) | Papyan et al. 2020 |
| `logme` | best evidence of a Bayesian linear model of the one-hot labels, per row | You et al. 2021 |

The form of NC1 with a pseudo-inverse of ``S_b`` is not offered: with five classes its rank is
4, and it explodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import silhouette_score

from ..data.errors import ProbeError
from .labels import checked_labels
from .measure import matrix
from .rows import Floats, Integers, Metric, checked_rows

_DECADES = 8.0  # LogME looks for its noise ratio this far to either side of the largest σ²


def silhouette(features: ArrayLike, labels: ArrayLike, metric: Metric = "cosine") -> float:
    """Mean silhouette of the classes (scikit-learn's).

    Args:
        features: ``(N, D)``.
        labels: ``(N,)`` integers or strings; 2 classes or more, and fewer than N.
        metric: ``"cosine"`` or ``"euclidean"``.

    Returns:
        In [-1, 1]; 0 where classes overlap entirely. A class of one row scores 0.

    Raises:
        ProbeError: ``labels``, ``classes``, ``zero-norm``, ``metric``, or as `matrix`.
    """
    rows, codes = labelled(features, labels)
    exact = checked_rows(rows, "features", metric).exact(slice(None))
    if codes.max() + 1 == len(rows):
        raise ProbeError(
            f"{len(rows)} rows of as many classes: no class has a second row, so none has an "
            "inside; give each class two rows or more",
            code="classes",
        )
    return float(silhouette_score(exact, codes, metric=metric))


def class_separation(features: ArrayLike, labels: ArrayLike) -> float:
    """Kornblith's R²: the share of the mean cosine distance that lies between classes.

    Pairs of a row with itself are counted, as in the paper. A high value marks the better
    classifier of *these* classes and often the worse source for others.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``; 2 classes or more.

    Returns:
        In [0, 1].

    Raises:
        ProbeError: ``zero-norm``, ``constant`` (all rows point the same way), or as
            `silhouette`.
    """
    rows, codes = labelled(features, labels)
    means = _means(checked_rows(rows, "features", "cosine").exact(slice(None)), codes)
    # Of unit rows the mean cosine of all pairs of two classes is the product of their means.
    within = 1 - np.square(means).sum(axis=1).mean()
    total = 1 - np.square(means.mean(axis=0)).sum()
    if total <= 1e-12:
        raise ProbeError(
            "all rows point the same way, so there is no distance to split", code="constant"
        )
    return float(1 - within / total)


def cdnv(features: ArrayLike, labels: ArrayLike) -> float:
    """Class-distance normalised variance: spread within two classes over the gap between.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``; 2 classes or more.

    Returns:
        0 or more, lower is more apart; infinite where two classes share their mean.

    Raises:
        ProbeError: ``constant`` (all rows are the same), or as `silhouette`.
    """
    means, spreads = _classes(features, labels)
    i, j = np.triu_indices(len(means), 1)
    gaps = np.square(means[i] - means[j]).sum(axis=1)
    if not gaps.all():
        return float("inf")
    return float(((spreads[i] + spreads[j]) / (2 * gaps)).mean())


def nc1(features: ArrayLike, labels: ArrayLike) -> float:
    """Within-class over between-class scatter.

    Args:
        features: ``(N, D)``.
        labels: ``(N,)``; 2 classes or more.

    Returns:
        0 or more, lower is more collapsed; infinite where all classes share their mean.

    Raises:
        ProbeError: As `cdnv`.
    """
    means, spreads = _classes(features, labels)
    between = float(np.square(means - means.mean(axis=0)).sum())
    return float(spreads.sum() / between) if between else float("inf")


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Evidence of a Bayesian linear model of each class's one-hot, at its best priors.

    A class's 0-1 column ``y`` is ``N(0, s² (I + F Fᵀ / t))``; s² has a closed form and t is
    found by search, between 1e-8 and 1e8 times the largest squared singular value of the
    features. Read it between encoders on the same rows, never between data sets.

    Args:
        features: ``(N, D)``, not centred here; many more rows than a few shots.
        labels: ``(N,)``; 2 classes or more.

    Returns:
        Mean log evidence over classes, per row; higher is better.

    Raises:
        ProbeError: ``constant`` (zero throughout), or as `silhouette`.
    """
    rows, codes = labelled(features, labels)
    peak = np.float64(np.abs(rows).max())
    if peak == 0:
        raise ProbeError("the features are zero throughout", code="constant")
    u, s, _ = np.linalg.svd(rows / peak, full_matrices=False)
    squares = np.square(s / s[0])
    one_hot = np.eye(int(codes.max()) + 1)[codes]
    along = np.square(u.T @ one_hot).T  # (C, R): of each class, per direction
    beyond = np.maximum(one_hot.sum(axis=0) - along.sum(axis=1), 0.0)
    found = [_evidence(a, b, squares, len(rows)) for a, b in zip(along, beyond, strict=True)]
    return float(np.mean(found))


def _evidence(along: Floats, beyond: float, squares: Floats, n: int) -> float:
    """Best log evidence per row over the noise ratio t."""

    def lost(decade: float) -> float:
        stretch = 1 + squares / 10**decade
        size = (along / stretch).sum() + beyond
        return float(n * np.log(size / n) + np.log(stretch).sum())

    grid = np.arange(-_DECADES, _DECADES + 0.25, 0.5)
    best = grid[int(np.argmin([lost(decade) for decade in grid]))]
    bounds = (max(best - 0.5, -_DECADES), min(best + 0.5, _DECADES))
    found = minimize_scalar(lost, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(-0.5 * (min(found.fun, lost(best)) / n + 1 + np.log(2 * np.pi)))


def labelled(features: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], Integers]:
    """Finite rows ``(N, D)`` and their classes as 0…C-1.

    Raises:
        ProbeError: ``classes`` (fewer than 2), or as `matrix` and `checked_labels`.
    """
    rows = matrix(features)
    names, codes = np.unique(checked_labels(labels, len(rows)), return_inverse=True)
    if len(names) < 2:
        raise ProbeError(
            f"{len(names)} class in {len(rows)} rows; 2 or more are needed", code="classes"
        )
    return rows, codes.astype(np.int64)


def _means(rows: Floats, codes: Integers) -> Floats:
    """``(C, D)``."""
    one_hot = codes == np.arange(int(codes.max()) + 1)[:, None]
    return np.asarray((one_hot @ rows) / one_hot.sum(axis=1, keepdims=True))


def _classes(features: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Class means ``(C, D)`` and mean squared distances from them ``(C,)``, in one unit."""
    rows, codes = labelled(features, labels)
    if not np.ptp(rows, axis=0).any():
        raise ProbeError("all rows are the same, so nothing varies", code="constant")
    moved = rows - rows.mean(axis=0, dtype=np.float64)
    moved /= np.abs(moved).max()
    means = _means(moved, codes)
    squares = np.square(moved - means[codes]).sum(axis=1)
    return means, np.bincount(codes, squares) / np.bincount(codes)
