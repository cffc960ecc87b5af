"""From neighbours to a class: votes over the nearest rows, and the nearest class mean.

| function | the class of a query is | source |
|---|---|---|
| `vote` | the one with most weight among its ``k`` neighbours | Wu et al. 2018 (softmax) |
| `nil_vote` | the one with most softmax of cosine over **all** support rows | Raghu et al. 2020 |
| `class_mean` | that of the nearest class mean | Snell et al. 2017 |

With one row per class, 1-NN by cosine, `nil_vote` and `class_mean` by cosine are
the same rule. Labels are 0…classes-1. Accuracies are shares in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.errors import ProbeError
from .neighbours import Metric, Zeros, episode_neighbours, nearest_neighbours, rows_available
from .rows import Floats, Integers, checked_rows

Weights = Literal["uniform", "distance", "softmax"]
Normalise = Literal["before", "after"]

DINO_KS = (1, 5, 10, 20, 100, 200)
DINO_TEMPERATURE = 0.07
_TABLE = 1 << 22  # entries of a (queries, classes) table held at once


def vote(
    labels: ArrayLike,
    distances: ArrayLike,
    *,
    classes: int,
    weights: Weights = "uniform",
    temperature: float = DINO_TEMPERATURE,
) -> Integers:
    """The class with most weight among the neighbours of each query.

    A tie goes to the tied class whose nearest member is nearest; if those are equally
    near, to the smallest label. The order of equally near neighbours changes nothing.

    Args:
        labels: ``(..., k)`` classes of the neighbours, nearest first.
        distances: ``(..., k)`` their distances, ascending.
        classes: How many classes there are.
        weights: ``"uniform"``; ``"distance"``, that is ``1/d``, where rows at distance
            0 outvote all others; ``"softmax"``, that is ``exp(-d / temperature)``,
            which for cosine distances is ``exp(cos / temperature)`` up to a factor.
        temperature: Of the softmax; 0.07 in Wu et al. (2018) and DINO.

    Returns:
        ``(...)`` predicted labels.

    Raises:
        ProbeError: ``labels``, ``shape``, ``distances``, ``weights``, ``temperature``.

    >>> vote([[2, 0, 0], [2, 0, 1]], [[.1, .2, .3], [.1, .2, .3]], classes=3).tolist()
    [0, 2]
    """
    known, far = np.asarray(labels), np.asarray(distances, dtype=np.float64)
    if known.ndim < 1 or known.shape != far.shape or known.shape[-1] == 0:
        raise ProbeError(
            f"labels of shape {known.shape} and distances of shape {far.shape}; "
            "one (..., k) shape is needed for both",
            code="shape",
        )
    known = _checked_labels(known, classes)
    if not ((far >= 0).all() and (far[..., 1:] >= far[..., :-1]).all() and np.isfinite(far).all()):
        raise ProbeError("distances must be finite, 0 or more, and ascending", code="distances")
    known, far = known.reshape(-1, known.shape[-1]), far.reshape(-1, far.shape[-1])
    out = np.empty(len(known), dtype=np.int64)
    step = max(1, _TABLE // classes)
    for start in range(0, len(known), step):
        part = slice(start, start + step)
        mass = _weigh(far[part], weights, temperature)
        out[part] = _most(known[part], far[part], mass, classes)
    return out.reshape(np.shape(labels)[:-1])


def _weigh(far: Floats, weights: str, temperature: float) -> Floats:
    if weights == "uniform":
        return np.ones_like(far)
    nearest = far[:, :1]
    if weights == "distance":  # relative to the nearest, so that nothing overflows
        zero = nearest == 0
        return np.where(zero, far == 0, nearest / np.where(far == 0, 1.0, far))
    if weights != "softmax":
        raise ProbeError(
            f"weights {weights!r}; choose 'uniform', 'distance' or 'softmax'", code="weights"
        )
    if not (np.isfinite(temperature) and temperature > 0):
        raise ProbeError(f"temperature {temperature}; give a positive number", code="temperature")
    return np.exp((nearest - far) / temperature)


def _most(labels: Integers, far: Floats, mass: Floats, classes: int) -> Integers:
    """Most mass, then nearest member, then smallest label.

    Masses add up in the order of distance, so classes with the same ones tie exactly.
    """
    cell = (np.arange(len(labels))[:, None] * classes + labels).ravel()
    total = np.bincount(cell, mass.ravel(), len(labels) * classes).reshape(-1, classes)
    tied = np.take_along_axis(total, labels, 1) == total.max(axis=1, keepdims=True)
    nearest = np.where(tied, far, np.inf)
    tied &= nearest == nearest.min(axis=1, keepdims=True)
    return np.asarray(np.where(tied, labels, classes).min(axis=1))


def nil_vote(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    *,
    zeros: Zeros = "error",
) -> Integers:
    """Raghu et al.'s no-inner-loop head: every support row votes by its cosine.

    ``p(y | x)`` is the sum over support rows ``s`` of class ``y`` of
    ``softmax_s cos(f(x), f(s))`` (temperature 1; the softmax is that of Matching
    Networks, Vinyals et al. 2016). Ties as in `vote`.

    Args:
        gallery: ``(E, G, D)``, or ``(G, D)`` for one episode.
        gallery_labels: ``(E, G)`` or ``(G,)``, labels 0…C-1.
        queries: ``(E, M, D)`` or ``(M, D)``.
        zeros: What a row of zeros is (see `nearest_neighbours`).

    Returns:
        ``(E, M)`` or ``(M,)`` predicted labels.

    Raises:
        ProbeError: As `episode_neighbours` and `vote`.
    """
    rows, labels, asked = _episodes(gallery, gallery_labels, queries)
    near = episode_neighbours(rows, asked, rows.shape[1], zeros=zeros)
    named = np.take_along_axis(labels[:, None], near.indices, axis=2)
    classes = int(labels.max(initial=0)) + 1
    found = vote(named, near.distances, classes=classes, weights="softmax", temperature=1.0)
    return found.reshape(np.shape(queries)[:-1])


def class_mean(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    metric: Metric = "cosine",
    normalise: Normalise = "after",
    *,
    zeros: Zeros = "error",
) -> Integers:
    """The class whose mean is nearest; among equally near ones, the smallest label.

    Args:
        gallery: ``(E, G, D)``, or ``(G, D)`` for one episode.
        gallery_labels: ``(E, G)`` or ``(G,)``; each of 0…C-1 in every episode.
        queries: ``(E, M, D)`` or ``(M, D)``.
        metric: Between a query and the means.
        normalise: ``"after"``: the rows are averaged as they are; what follows is up to
            the metric. ``"before"``: rows and queries are brought to length 1 first, so
            that each row of a class counts the same. They differ for K > 1.
        zeros: What a mean or a query of zeros is under cosine, and whether a row of zeros
            may stay as it is when ``"before"`` brings the others to length 1.

    Returns:
        ``(E, M)`` or ``(M,)`` predicted labels.

    Raises:
        ProbeError: ``labels`` (a class without a row has no mean), ``normalise``,
            ``zero-norm`` (also a mean of opposite rows), or as `episode_neighbours`.
    """
    rows, labels, asked = _episodes(gallery, gallery_labels, queries)
    if normalise not in ("before", "after"):
        raise ProbeError(f"normalise {normalise!r}; choose 'before' or 'after'", code="normalise")
    if normalise == "before":
        asked = _exact(asked, "queries", "cosine", zeros)
    rows = _exact(rows, "gallery", "cosine" if normalise == "before" else "euclidean", zeros)
    near = episode_neighbours(_means(rows, labels), asked, 1, metric=metric, zeros=zeros)
    return near.indices.reshape(np.shape(queries)[:-1])


def _means(rows: Floats, labels: Integers) -> Floats:
    """``(E, C, D)``, the mean of each class of each episode."""
    classes = int(labels.max(initial=0)) + 1
    cell = (np.arange(len(labels))[:, None] * classes + labels).ravel()
    counts = np.bincount(cell, minlength=len(labels) * classes)
    if not counts.all():
        episode, label = divmod(int(np.flatnonzero(counts == 0)[0]), classes)
        raise ProbeError(
            f"class {label} of 0…{classes - 1} has no row in episode {episode}, so it has no "
            "mean; give each class a row",
            code="labels",
        )
    order = np.argsort(cell, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    flat = rows.reshape(-1, rows.shape[-1])[order]
    sums = np.add.reduceat(flat, starts, axis=0) if len(flat) else flat
    return np.asarray((sums / counts[:, None]).reshape(len(labels), classes, rows.shape[-1]))


def _exact(rows: NDArray[Any], what: str, metric: Metric, zeros: Zeros) -> Floats:
    """Float64 rows; under cosine of length 1."""
    return checked_rows(rows, what, metric, 3, zeros).exact(slice(None)).reshape(rows.shape)


def _episodes(
    gallery: ArrayLike, gallery_labels: ArrayLike, queries: ArrayLike
) -> tuple[NDArray[Any], Integers, NDArray[Any]]:
    """``(E, G, D)``, ``(E, G)``, ``(E, M, D)``, from one episode or many."""
    rows, labels, asked = np.asarray(gallery), np.asarray(gallery_labels), np.asarray(queries)
    if rows.ndim not in (2, 3) or asked.ndim != rows.ndim or labels.shape != rows.shape[:-1]:
        raise ProbeError(
            f"a gallery of shape {rows.shape}, labels of shape {labels.shape}, queries of shape "
            f"{asked.shape}; give (E, G, D), (E, G), (E, M, D), or all three without E",
            code="shape",
        )
    if rows.ndim == 2:
        rows, labels, asked = rows[None], labels[None], asked[None]
    return rows, _checked_labels(labels), asked


def _checked_labels(labels: NDArray[np.generic], classes: int | None = None) -> Integers:
    ok = labels.dtype.kind in "iu" and (not labels.size or int(labels.min()) >= 0)
    if not ok or (classes is not None and int(labels.max(initial=0)) >= classes):
        most = "C-1" if classes is None else str(classes - 1)
        raise ProbeError(f"labels must be whole numbers 0…{most}, one per row", code="labels")
    return labels.astype(np.int64)


def knn_accuracies(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    query_labels: ArrayLike,
    *,
    ks: Sequence[int] | None = None,
    weights: Weights = "softmax",
    temperature: float = DINO_TEMPERATURE,
    metric: Metric = "cosine",
    gallery_ids: ArrayLike | None = None,
    query_ids: ArrayLike | None = None,
    zeros: Zeros = "error",
    device: str = "auto",
) -> dict[int, float]:
    """Whole-dataset kNN accuracy for several ``k``, from one search (DINO's protocol).

    Caron et al. (2021): cosine, softmax weights, temperature 0.07. A query whose class
    the gallery lacks counts as wrong. With the gallery as queries and both ids this
    is leave-one-out.

    Args:
        gallery: ``(N, D)``.
        gallery_labels: ``(N,)`` integers or strings, any values.
        queries: ``(M, D)``.
        query_labels: ``(M,)``.
        ks: By default those of 1, 5, 10, 20, 100, 200 that the gallery has rows for;
            one of your own that is too large is an error.

    Returns:
        ``{k: share of queries classified rightly}``.

    Raises:
        ProbeError: ``empty`` (no query: no accuracy), ``shape``, ``k``, or as
            `nearest_neighbours`.
    """
    known, truth = np.asarray(gallery_labels), np.asarray(query_labels)
    if known.shape != np.shape(gallery)[:1] or truth.shape != np.shape(queries)[:1]:
        raise ProbeError(
            f"labels of shapes {known.shape} and {truth.shape} for rows of shapes "
            f"{np.shape(gallery)} and {np.shape(queries)}; each row needs one",
            code="shape",
        )
    if not len(truth) or not len(known):
        raise ProbeError("no queries or no gallery rows, so there is no accuracy", code="empty")
    if ks is None:
        most = len(known)
        if gallery_ids is not None and query_ids is not None:
            most = int(rows_available(gallery_ids, query_ids).min())
        ks = [k for k in DINO_KS if k <= max(most, 1)]
    if not len(ks) or min(ks) < 1:
        raise ProbeError(f"ks {tuple(ks)}; give whole numbers of 1 or more", code="k")
    near = nearest_neighbours(
        gallery,
        queries,
        max(ks),
        metric=metric,
        gallery_ids=gallery_ids,
        query_ids=query_ids,
        zeros=zeros,
        device=device,
    )
    names, codes = np.unique(known, return_inverse=True)
    labels = codes[near.indices]
    accuracies = {}
    for k in ks:
        found = vote(
            labels[:, :k],
            near.distances[:, :k],
            classes=len(names),
            weights=weights,
            temperature=temperature,
        )
        accuracies[int(k)] = float((names[found] == truth).mean())
    return accuracies
