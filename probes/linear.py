"""How far a linear classifier gets: ridge in closed form, or multinomial logistic.

Ridge regression on one-hot labels has a closed form, so one call fits every episode
of an audit. Logistic regression is dearer, and its strength C must be chosen: here on
rows held out from the fit, from a grid that the fitted probe shows. A linear probe on
few shots in many dimensions overfits; read it beside the neighbour probes.

Accuracies are shares in [0, 1].
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data.errors import ProbeError
from .rows import Floats, Integers, checked_rows

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
_AT_ONCE = 1 << 24  # float64 numbers of episodes fitted together


def ridge(rows: Floats, targets: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Least squares with a penalty on the weights but not on the intercept, per episode.

    Minimises ``|targets - rows @ weights - intercept|^2 + penalty |weights|^2``. With
    more features than rows the ``G x G`` Gram system is solved instead of the ``D x D``
    one (Hastie, Tibshirani & Friedman 2009, Exercise 12.7): the same weights, sooner.

    Args:
        rows: ``(E, G, D)``.
        targets: ``(E, G, C)``.
        penalty: Above 0.

    Returns:
        weights ``(E, D, C)`` and intercepts ``(E, 1, C)``.

    Raises:
        ProbeError: ``penalty``.
    """
    if not (np.isfinite(penalty) and penalty > 0):
        raise ProbeError(f"penalty {penalty}; give a number above 0", code="penalty")
    middle, level = rows.mean(axis=1, keepdims=True), targets.mean(axis=1, keepdims=True)
    x, y = rows - middle, targets - level
    flipped = np.swapaxes(x, 1, 2)
    if x.shape[2] > x.shape[1]:
        weights = flipped @ np.linalg.solve(x @ flipped + penalty * np.eye(x.shape[1]), y)
    else:
        weights = np.linalg.solve(flipped @ x + penalty * np.eye(x.shape[2]), flipped @ y)
    return weights, level - middle @ weights


def episode_ridge(
    gallery: ArrayLike, labels: ArrayLike, queries: ArrayLike, penalty: float = 1.0
) -> Integers:
    """Classify each episode's queries by ridge regression on its gallery's one-hots.

    Ties go to the smallest label.

    Args:
        gallery: ``(E, G, D)``.
        labels: ``(E, G)``, or ``(G,)`` for all episodes; 0…C-1.
        queries: ``(E, M, D)``.
        penalty: Above 0, in the squared units of the features.

    Returns:
        ``(E, M)`` predicted labels.

    Raises:
        ProbeError: ``labels``, ``shape``, ``dimension``, ``empty``, ``not-finite``,
            ``penalty``.

    >>> episode_ridge([[[1, 0], [0, 1]]], [0, 1], [[[5, 1], [1, 2]]]).tolist()
    [[0, 1]]
    """
    known = checked_rows(gallery, "gallery", "euclidean", 3)
    asked = checked_rows(queries, "queries", "euclidean", 3)
    (episodes, size, width), (others, many, features) = np.shape(gallery), np.shape(queries)
    if episodes != others:
        raise ProbeError(f"{episodes} galleries for the queries of {others}", code="shape")
    if width != features:
        raise ProbeError(f"gallery rows of {width} features, queries {features}", code="dimension")
    if not size:
        raise ProbeError("the galleries hold no row; give one of each class", code="empty")
    truth = np.asarray(labels)
    if truth.dtype.kind not in "iu" or truth.shape not in ((size,), (episodes, size)):
        raise ProbeError(
            f"labels: {truth.dtype} of shape {truth.shape} for {size} gallery rows in each of "
            f"{episodes} episodes; give whole numbers (E, G) or (G,)",
            code="labels",
        )
    if truth.size and truth.min() < 0:
        raise ProbeError("labels must be 0 or more", code="labels")
    truth = np.broadcast_to(truth, (episodes, size))
    one_hot = np.eye(int(truth.max(initial=0)) + 1)
    found = np.empty((episodes, many), dtype=np.int64)
    step = max(1, _AT_ONCE // ((size + many) * width))
    for start in range(0, episodes, step):
        stop = min(start + step, episodes)
        rows = known.exact(slice(start * size, stop * size)).reshape(-1, size, width)
        weights, intercept = ridge(rows, one_hot[truth[start:stop]], penalty)
        rows = asked.exact(slice(start * many, stop * many)).reshape(-1, many, width)
        found[start:stop] = (rows @ weights + intercept).argmax(axis=2)
    return found


class LinearProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A linear classifier on fixed features.

    Args:
        method: ``"ridge"`` on one-hots, in closed form; or ``"logistic"``, multinomial
            with an L2 penalty, by scikit-learn.
        penalty: Of ridge, above 0, in the squared units of the features.
        strengths: Of logistic, the inverse penalties C to choose from. Features are
            centred and divided by their common root mean square, so that a grid means
            the same for every encoder.
        holdout: Share of each class (at least one row) that chooses C; the probe is
            then fitted to all rows. Not used with one strength.
        seed: Of the choice of these rows.

    Attributes:
        coef_: ``(C, D)``.
        intercept_: ``(C,)``.
        held_out_: ``{C: held-out accuracy}``, empty where nothing was chosen.
        strength_: The C chosen (the smallest of equally good ones), None for ridge.

    Raises:
        ProbeError: ``method``, ``penalty``, ``strengths``, ``holdout``, ``classes`` (a
            class with one row cannot be held out; logistic needs two classes).

    >>> LinearProbe().fit([[1.0, 0.1], [0.1, 1.0]], ["left", "up"]).predict([[3.0, 1.0]]).tolist()
    ['left']
    """

    method: Literal["ridge", "logistic"]

    def __init__(
        self,
        method: Literal["ridge", "logistic"] = "ridge",
        penalty: float = 1.0,
        strengths: Sequence[float] = STRENGTHS,
        holdout: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.method = method
        self.penalty = penalty
        self.strengths = strengths
        self.holdout = holdout
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to the labelled rows ``(N, D)``, ``(N,)``."""
        if self.method not in ("ridge", "logistic"):
            raise ProbeError(f"method {self.method!r}; choose 'ridge' or 'logistic'", code="method")
        rows, names = map(np.asarray, validate_data(self, X, y, dtype=np.float64))
        check_classification_targets(names)
        self.classes_, labels = np.unique(names, return_inverse=True)
        self.held_out_: dict[float, float] = {}
        self.strength_: float | None = None
        if self.method == "ridge":
            one_hot = np.eye(len(self.classes_))[labels]
            weights, intercept = ridge(rows[None], one_hot[None], self.penalty)
            self.coef_, self.intercept_ = weights[0].T, intercept[0, 0]
        else:
            self._fit_logistic(rows, labels)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """``(M,)`` classes of the rows ``(M, D)``."""
        check_is_fitted(self)
        rows = np.asarray(validate_data(self, X, reset=False, dtype=np.float64))
        found = (rows @ self.coef_.T + self.intercept_).argmax(axis=1)
        return np.asarray(self.classes_[found])

    def _fit_logistic(self, rows: Floats, labels: Integers) -> None:
        if len(self.classes_) < 2:
            raise ProbeError("logistic needs 2 classes or more; there is 1 class", code="classes")
        strengths = sorted({float(strength) for strength in self.strengths})
        if not strengths or not (np.isfinite(strengths).all() and strengths[0] > 0):
            raise ProbeError(f"strengths {self.strengths}; give numbers above 0", code="strengths")
        middle = rows.mean(axis=0)
        spread = float(np.sqrt(np.square(rows - middle).mean())) or 1.0
        scaled = (rows - middle) / spread
        if len(strengths) > 1:
            out = held_out(labels, self.holdout, self.seed)
            for strength in strengths:
                with warnings.catch_warnings():  # the strength chosen warns when it is refitted
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    coef, intercept = _logistic(scaled[~out], labels[~out], strength)
                found = (scaled[out] @ coef.T + intercept).argmax(axis=1)
                self.held_out_[strength] = float((found == labels[out]).mean())
        self.strength_ = max(strengths, key=lambda strength: self.held_out_.get(strength, 0.0))
        coef, intercept = _logistic(scaled, labels, self.strength_)
        self.coef_ = coef / spread
        self.intercept_ = intercept - self.coef_ @ middle


def _logistic(rows: Floats, labels: Integers, strength: float) -> tuple[Floats, Floats]:
    """``(C, D)`` weights and ``(C,)`` intercepts; two classes get opposite ones."""
    model = LogisticRegression(C=strength, max_iter=2000).fit(rows, labels)
    coef, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(coef) > 1:
        return coef, intercept
    return np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2


def held_out(labels: Integers, share: float, seed: int) -> NDArray[np.bool_]:
    """``(N,)`` True for this share of each class: at least one row, and not all.

    Raises:
        ProbeError: ``holdout``, or ``classes`` where a class has one row.
    """
    if not 0 < share < 1:
        raise ProbeError(f"holdout {share}; give a share between 0 and 1", code="holdout")
    random, out = np.random.default_rng(seed), np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise ProbeError(
                "a class has 1 row, so none can be held out; give each class two, or one strength",
                code="classes",
            )
        out[rows[: min(max(1, round(share * len(rows))), len(rows) - 1)]] = True
    return out
