"""The estimators are scikit-learn's in manners and the functions' in answers."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from metaprobe.data.errors import MetaprobeError, ProbeError
from metaprobe.probes.knn import ClassMeanProbe, NearestNeighbourProbe
from metaprobe.probes.votes import class_mean

PROBES = [
    NearestNeighbourProbe(),
    NearestNeighbourProbe(k=3, metric="euclidean", weights="softmax"),
    NearestNeighbourProbe(k=5, weights="distance"),
    ClassMeanProbe(),
    ClassMeanProbe(metric="euclidean", normalise="before"),
]


@parametrize_with_checks(PROBES)  # type: ignore[untyped-decorator]
def test_scikit_learn_accepts_the_probe(estimator: Any, check: Any) -> None:
    check(estimator)


def clusters(seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 25)
    centres = np.random.default_rng(9).normal(size=(4, 6))
    return centres[labels] + random.normal(size=(100, 6)), np.array(["n", "e", "s", "w"])[labels]


@pytest.mark.parametrize("k", [1, 5])
def test_the_probe_scores_as_scikit_learns_classifier(k: int) -> None:
    (rows, names), (queries, truth) = clusters(0), clusters(1)
    ours = NearestNeighbourProbe(k=k, metric="euclidean", weights="distance").fit(rows, names)
    theirs = KNeighborsClassifier(k, weights="distance", algorithm="brute").fit(rows, names)
    np.testing.assert_array_equal(ours.predict(queries), theirs.predict(queries))
    assert ours.score(queries, truth) == theirs.score(queries, truth) > 0.5


def test_the_class_mean_probe_is_the_function_with_names() -> None:
    (rows, names), (queries, _) = clusters(0), clusters(1)
    ours = ClassMeanProbe(metric="euclidean").fit(rows, names)
    np.testing.assert_array_equal(
        ours.predict(queries), NearestCentroid().fit(rows, names).predict(queries)
    )
    kinds, labels = np.unique(names, return_inverse=True)
    cosine = ClassMeanProbe().fit(rows, names).predict(queries)
    np.testing.assert_array_equal(cosine, kinds[class_mean(rows, labels, queries)])


def test_probes_live_in_pipelines_and_searches() -> None:
    rows, names = clusters(0)
    scores = cross_val_score(make_pipeline(StandardScaler(), ClassMeanProbe()), rows, names)
    assert scores.mean() > 0.5
    grid = GridSearchCV(NearestNeighbourProbe(), {"k": [1, 3], "metric": ["cosine", "euclidean"]})
    assert grid.fit(rows, names).best_score_ > 0.5


def test_settings_are_what_they_were_after_fitting() -> None:
    probe = NearestNeighbourProbe(k=3, weights="softmax", temperature=0.1)
    before = dict(probe.get_params())
    probe.fit(*clusters(0))
    assert probe.get_params() == before
    copy: Any = clone(probe)
    assert copy.get_params() == before


def test_a_probe_that_cannot_answer_says_why() -> None:
    rows, names = clusters(0)
    with pytest.raises(NotFittedError):
        NearestNeighbourProbe().predict(rows)
    with pytest.raises(ProbeError) as caught:
        NearestNeighbourProbe(k=101).fit(rows, names).predict(rows)
    assert caught.value.code == "k-too-large"
    rows[0] = 0
    assert NearestNeighbourProbe().fit(rows, names).predict(rows[:1]).shape == (1,)
    with pytest.raises(MetaprobeError) as refused:
        NearestNeighbourProbe(zeros="error").fit(rows, names).predict(rows[1:])
    assert refused.value.code == "zero-norm"
