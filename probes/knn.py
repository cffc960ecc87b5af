"""Neighbour probes as scikit-learn estimators: settings in, `fit`, `predict`, `score`.

They do no arithmetic of their own: `neighbours` searches, `votes` decides. Labels
may be of any kind scikit-learn accepts.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .neighbours import Metric, Zeros, nearest_neighbours
from .votes import DINO_TEMPERATURE, Normalise, Weights, class_mean, vote


class _Probe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps the rows it is given; what it is asked is up to its heirs."""

    def fit(self, X: Any, y: Any) -> Self:
        """Keep the labelled rows ``(N, D)``, ``(N,)``."""
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(labels)
        self.classes_, self.labels_ = np.unique(labels, return_inverse=True)
        self.rows_ = rows
        return self

    def _asked(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, dtype=[np.float64, np.float32]))


class NearestNeighbourProbe(_Probe):
    """The class most of the ``k`` nearest rows have (exact search; see `neighbours`).

    Args:
        k: Neighbours of each query.
        metric: ``"cosine"`` or ``"euclidean"``.
        weights: ``"uniform"``, ``"distance"`` or ``"softmax"`` (see `votes.vote`).
        temperature: Of the softmax.
        zeros: Under cosine a row of zeros is ``"orthogonal"`` to every row, which is
            scikit-learn's own reading, or an ``"error"``.

    Raises:
        ProbeError: At `predict`, as `nearest_neighbours`.

    >>> probe = NearestNeighbourProbe(k=1).fit([[1.0, 0.1], [0.1, 1.0]], ["left", "up"])
    >>> probe.predict([[3.0, 1.0]]).tolist()
    ['left']
    """

    metric: Metric
    weights: Weights
    zeros: Zeros

    def __init__(
        self,
        k: int = 1,
        metric: Metric = "cosine",
        weights: Weights = "uniform",
        temperature: float = DINO_TEMPERATURE,
        zeros: Zeros = "orthogonal",
    ) -> None:
        self.k = k
        self.metric = metric
        self.weights = weights
        self.temperature = temperature
        self.zeros = zeros

    def predict(self, X: Any) -> NDArray[Any]:
        """``(M,)`` classes of the rows ``(M, D)``."""
        asked = self._asked(X)
        near = nearest_neighbours(self.rows_, asked, self.k, metric=self.metric, zeros=self.zeros)
        found = vote(
            self.labels_[near.indices],
            near.distances,
            classes=len(self.classes_),
            weights=self.weights,
            temperature=self.temperature,
        )
        return np.asarray(self.classes_[found])


class ClassMeanProbe(_Probe):
    """The class whose mean row is nearest.

    Args:
        metric: ``"cosine"`` or ``"euclidean"``.
        normalise: ``"after"`` or ``"before"`` averaging (see `votes.class_mean`).
        zeros: As in `NearestNeighbourProbe`, of a query and of a mean.

    Raises:
        ProbeError: At `predict`, as `class_mean`.
    """

    metric: Metric
    normalise: Normalise
    zeros: Zeros

    def __init__(
        self,
        metric: Metric = "cosine",
        normalise: Normalise = "after",
        zeros: Zeros = "orthogonal",
    ) -> None:
        self.metric = metric
        self.normalise = normalise
        self.zeros = zeros

    def predict(self, X: Any) -> NDArray[Any]:
        """``(M,)`` classes of the rows ``(M, D)``."""
        asked = self._asked(X)
        found = class_mean(
            self.rows_, self.labels_, asked, self.metric, self.normalise, zeros=self.zeros
        )
        return np.asarray(self.classes_[found])
