"""Every classifier of this room as one number: the share of queries it gets right.

Labels are integers or strings, of any values, of one kind on both sides; a query whose class the
gallery lacks counts as wrong. Under cosine, rows of zeros are orthogonal to all rows, as in the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.errors import ProbeError
from .knn import ClassMeanProbe
from .labels import checked_labels
from .linear import STRENGTHS, LinearProbe
from .measure import matrix
from .neighbours import Metric
from .votes import DINO_TEMPERATURE, knn_accuracies, nil_vote


def knn_accuracy(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    query_labels: ArrayLike,
    k: int = 1,
    metric: Metric = "cosine",
) -> float:
    """Of the class most of the ``k`` nearest gallery rows have.

    Args:
        gallery: ``(G, D)``.
        gallery_labels: ``(G,)``.
        queries: ``(M, D)``.
        query_labels: ``(M,)``.
        k: Neighbours.
        metric: ``"cosine"`` or ``"euclidean"``.

    Raises:
        ProbeError: As `knn_accuracies`.
    """
    found = knn_accuracies(
        *_split(gallery, gallery_labels, queries, query_labels),
        ks=[k], weights="uniform", metric=metric, zeros="orthogonal",
    )  # fmt: skip
    return found[k]


def weighted_knn_accuracy(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    query_labels: ArrayLike,
    k: int = 20,
    temperature: float = DINO_TEMPERATURE,
) -> float:
    """Of DINO's protocol: ``k`` nearest by cosine, weighted by ``exp(cos / temperature)``."""
    found = knn_accuracies(
        *_split(gallery, gallery_labels, queries, query_labels),
        ks=[k], temperature=temperature, zeros="orthogonal",
    )  # fmt: skip
    return found[k]


def class_mean_accuracy(
    gallery: ArrayLike, gallery_labels: ArrayLike, queries: ArrayLike, query_labels: ArrayLike
) -> float:
    """Of the nearest class mean by cosine."""
    return _score(ClassMeanProbe(), gallery, gallery_labels, queries, query_labels)


def nil_accuracy(
    gallery: ArrayLike, gallery_labels: ArrayLike, queries: ArrayLike, query_labels: ArrayLike
) -> float:
    """Of `nil_vote`: every gallery row votes by its cosine."""
    known, labels, asked, truth = _split(gallery, gallery_labels, queries, query_labels)
    names, codes = np.unique(labels, return_inverse=True)
    found = nil_vote(known, codes, asked, zeros="orthogonal")
    return float((names[found] == truth).mean())


def ridge_accuracy(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    query_labels: ArrayLike,
    penalty: float = 1.0,
) -> float:
    """Of ridge regression on one-hot labels."""
    probe = LinearProbe("ridge", penalty=penalty)
    return _score(probe, gallery, gallery_labels, queries, query_labels)


def logistic_accuracy(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    queries: ArrayLike,
    query_labels: ArrayLike,
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """Of logistic regression whose strength was chosen on gallery rows held out."""
    probe = LinearProbe("logistic", strengths=strengths)
    return _score(probe, gallery, gallery_labels, queries, query_labels)


def _score(probe: Any, *arrays: ArrayLike) -> float:
    known, labels, asked, truth = _split(*arrays)
    return float((probe.fit(known, labels).predict(asked) == truth).mean())


def _split(*arrays: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A gallery ``(G, D)`` and queries ``(M, D)``, each with its labels.

    Raises:
        ProbeError: ``dimension``, ``labels`` (of two kinds), or as `matrix` and `checked_labels`.
    """
    gallery, gallery_labels, queries, query_labels = arrays
    known, asked = matrix(gallery, "gallery"), matrix(queries, "queries")
    if known.shape[1] != asked.shape[1]:
        raise ProbeError(
            f"gallery rows of {known.shape[1]} features, queries of {asked.shape[1]}; "
            "take both from the same layer",
            code="dimension",
        )
    labels = checked_labels(gallery_labels, len(known), "gallery labels")
    truth = checked_labels(query_labels, len(asked), "query labels")
    if (labels.dtype.kind == "U") != (truth.dtype.kind == "U"):
        raise ProbeError(
            f"gallery labels are {labels.dtype} and query labels {truth.dtype}; "
            "give both as strings or both as integers",
            code="labels",
        )
    return known, labels, asked, truth
