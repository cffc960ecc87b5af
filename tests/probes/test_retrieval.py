"""Retrieval: hand-worked rankings, scikit-learn's neighbours, and whose row is whose."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from metaprobe.data.errors import ProbeError
from metaprobe.probes.accuracies import (
    class_mean_accuracy,
    knn_accuracy,
    logistic_accuracy,
    nil_accuracy,
    ridge_accuracy,
    weighted_knn_accuracy,
)
from metaprobe.probes.knn import ClassMeanProbe
from metaprobe.probes.linear import LinearProbe
from metaprobe.probes.retrieval import leave_one_out, map_at_r, r_precision, recall_at_k, retrieval

Array = NDArray[Any]


def clusters(seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat([3, 7, 8], [30, 20, 10]))
    centres = random.normal(size=(9, 5))
    return centres[labels] + random.normal(size=(60, 5)), labels


def test_a_ranking_worked_by_hand() -> None:
    # On a line; class a at 0, 1, 3, 10, class b at 2 and 11.
    rows, labels = np.array([[0.0], [1.1], [3.3], [10], [2], [11.5]]), list("aaaabb")
    found = retrieval(rows, labels, (1, 2), metric="euclidean")
    # Neighbours in order: 0: 1.1 2 3.3, 1.1: 2 0 3.3, 3.3: 2 1.1 0, 10: 11.5 3.3 2; R = 3
    precision = [2 / 3, 2 / 3, 2 / 3, 1 / 3]
    average = [(1 + 2 / 3) / 3, (1 / 2 + 2 / 3) / 3, (1 / 2 + 2 / 3) / 3, (1 / 2) / 3]
    # 2: 1.1, 11.5: 10; R = 1
    assert found.r_precision == pytest.approx((sum(precision) + 0 + 0) / 6)
    assert found.map_at_r == pytest.approx(sum(average) / 6)
    assert found.leave_one_out == pytest.approx(1 / 6)
    assert found.recall == {1: pytest.approx(1 / 6), 2: pytest.approx(4 / 6)}
    assert (found.rows, found.alone) == (6, 0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_readings_are_those_of_a_full_sort(metric: Any) -> None:
    rows, labels = clusters()
    far = cdist(rows, rows, metric)
    np.fill_diagonal(far, np.inf)
    precision, average, recall = [], [], []
    for i in range(60):
        hits = labels[np.argsort(far[i])[:-1]] == labels[i]
        r = int(hits.sum())
        precision.append(hits[:r].mean())
        at = [hits[: j + 1].mean() for j in range(r) if hits[j]]
        average.append(sum(at) / r)
        recall.append(hits[:4].any())
    assert r_precision(rows, labels, metric=metric) == pytest.approx(np.mean(precision))
    assert map_at_r(rows, labels, metric=metric) == pytest.approx(np.mean(average))
    assert recall_at_k(rows, labels, 4, metric=metric) == pytest.approx(np.mean(recall))


def test_perfect_classes_have_scikit_learns_average_precision_of_one() -> None:
    labels = np.repeat([0, 1], 10)
    rows = labels[:, None] * 9.0 + np.random.default_rng(0).uniform(size=(20, 1)) + 1
    far = cdist(rows, rows)
    same = labels == labels[:, None]
    others = ~np.eye(20, dtype=bool)
    theirs = label_ranking_average_precision_score(
        same[others].reshape(20, 19), -far[others].reshape(20, 19)
    )
    assert map_at_r(rows, labels, metric="euclidean") == theirs == 1


def test_leave_one_out_is_scikit_learns() -> None:
    rows, labels = clusters()
    model = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    theirs = cross_val_score(model, rows, labels, cv=LeaveOneOut()).mean()
    assert leave_one_out(rows, labels) == pytest.approx(theirs)


def test_another_row_of_the_same_image_does_not_answer_for_it() -> None:
    rows, labels = clusters()
    shuffled = np.random.default_rng(1).permutation(labels)  # so that only copies would know
    twice, ids = np.vstack([rows, rows]), np.tile(np.arange(60), 2)
    assert leave_one_out(twice, np.tile(shuffled, 2)) == 1
    found = retrieval(twice, np.tile(shuffled, 2), ids=ids)
    once = retrieval(rows, shuffled)
    assert found.leave_one_out == once.leave_one_out < 0.6
    assert found.r_precision == pytest.approx(once.r_precision, abs=0.03)  # hits come in pairs


def test_rows_alone_in_their_class_are_left_out_and_counted() -> None:
    rows, labels = clusters()
    more, named = np.vstack([rows, [[9.0, 0, 0, 0, 0]]]), np.append(labels, 99)
    found = retrieval(more, named)
    assert (found.rows, found.alone) == (61, 1)
    # it is wrong for leave-one-out, and not asked of the others
    near = cdist(more, more, "cosine") + 9 * np.eye(61)
    assert found.leave_one_out == pytest.approx((named[near.argmin(1)] == named).mean())
    same = named == named[:, None]
    order = np.argsort(near, axis=1)[:60]
    shares = [same[i, order[i, : same[i].sum() - 1]].mean() for i in range(60)]
    assert found.r_precision == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("code", "labels", "settings"),
    [
        ("classes", [0, 1, 2, 3], {}),
        ("classes", [0, 0, 0, 0], {}),
        ("k", [0, 0, 1, 1], {"ks": ()}),
        ("k", [0, 0, 1, 1], {"ks": (0,)}),
        ("k-too-large", [0, 0, 1, 1], {"ks": (4,)}),
        ("ids", [0, 0, 1, 1], {"ids": [0, 1]}),
    ],
)
def test_what_is_undefined_is_refused(code: str, labels: Any, settings: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        retrieval(np.eye(4), labels, **{"ks": (1,), **settings})
    assert caught.value.code == code


def test_accuracies_are_those_of_the_estimators() -> None:
    rows, labels = clusters()
    names = np.array([f"class {c}" for c in labels])
    split = (rows[:40], names[:40], rows[40:], names[40:])
    nearest = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    assert knn_accuracy(*split) == nearest.fit(*split[:2]).score(*split[2:])
    mass: Any = lambda far: np.exp((1 - far) / 0.07)  # noqa: E731
    weights = KNeighborsClassifier(20, metric="cosine", algorithm="brute", weights=mass)
    assert weighted_knn_accuracy(*split) == weights.fit(*split[:2]).score(*split[2:])
    assert class_mean_accuracy(*split) == ClassMeanProbe().fit(*split[:2]).score(*split[2:])
    assert ridge_accuracy(*split) == LinearProbe("ridge").fit(*split[:2]).score(*split[2:])
    logistic = LinearProbe("logistic").fit(*split[:2])
    assert logistic_accuracy(*split) == logistic.score(*split[2:])
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in split[::2]]
    votes = np.exp(unit[1] @ unit[0].T) @ (split[1][:, None] == np.unique(split[1]))
    said = np.unique(split[1])[votes.argmax(1)]
    assert nil_accuracy(*split) == (said == split[3]).mean()
