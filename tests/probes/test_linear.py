"""Ridge is scikit-learn's least squares, for every episode at once; logistic chooses its C."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from metaprobe.data.errors import ProbeError
from metaprobe.probes.linear import LinearProbe, episode_ridge, held_out, ridge

Array = NDArray[Any]


PROBES = [LinearProbe(), LinearProbe("logistic"), LinearProbe("logistic", strengths=(1.0,))]


@parametrize_with_checks(PROBES)  # type: ignore[untyped-decorator]
def test_scikit_learn_accepts_the_probe(estimator: Any, check: Any) -> None:
    check(estimator)


def episodes(e: int, way: int, shot: int, many: int, d: int) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(0)
    labels = np.stack([random.permutation(np.repeat(np.arange(way), shot)) for _ in range(e)])
    centres = random.normal(size=(e, way, d)) * 0.8
    gallery = np.take_along_axis(centres, labels[..., None], 1) + random.normal(
        size=(e, way * shot, d)
    )
    queries = np.repeat(centres, many, axis=1) + random.normal(size=(e, way * many, d)) + 5
    return gallery + 5, labels, queries


@pytest.mark.parametrize("d", [3, 24, 26, 100])  # either side of the 25 rows
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_ridge_weights_and_answers_are_scikit_learns(d: int, penalty: float) -> None:
    gallery, labels, queries = episodes(6, 5, 5, 4, d)
    one_hot = np.eye(5)[labels]
    weights, intercept = ridge(gallery, one_hot, penalty)
    found = episode_ridge(gallery, labels, queries, penalty)
    for e in range(6):
        theirs = Ridge(alpha=penalty).fit(gallery[e], one_hot[e])
        np.testing.assert_allclose(weights[e], theirs.coef_.T, atol=1e-9)
        np.testing.assert_allclose(intercept[e, 0], theirs.intercept_, atol=1e-8)
        classifier = RidgeClassifier(alpha=penalty).fit(gallery[e], labels[e])
        np.testing.assert_array_equal(found[e], classifier.predict(queries[e]))


def test_episodes_fitted_together_or_in_parts_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, _, queries = episodes(7, 5, 1, 3, 40)
    labels = np.arange(5)
    whole = episode_ridge(gallery, labels, queries)
    assert whole.shape == (7, 15)
    monkeypatch.setattr("metaprobe.probes.linear._AT_ONCE", 1)
    np.testing.assert_array_equal(episode_ridge(gallery, labels, queries), whole)
    np.testing.assert_array_equal(
        episode_ridge(gallery, np.tile(labels, (7, 1)), queries.astype("f4").astype(float)),
        episode_ridge(gallery, labels, queries.astype("f4")),
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_the_ridge_probe_is_scikit_learns_ridge_classifier(classes: int) -> None:
    gallery, labels, queries = episodes(1, classes, 20, 10, 8)
    names = np.array(["a", "b", "c", "d"])[labels[0]]
    ours = LinearProbe(penalty=3.0).fit(gallery[0], names)
    theirs = RidgeClassifier(alpha=3.0).fit(gallery[0], names)
    np.testing.assert_array_equal(ours.predict(queries[0]), theirs.predict(queries[0]))
    assert ours.held_out_ == {}
    assert ours.strength_ is None


@pytest.mark.parametrize("classes", [2, 4])
def test_the_logistic_probe_is_scikit_learns_on_scaled_rows(classes: int) -> None:
    gallery, labels, queries = episodes(1, classes, 20, 10, 8)
    rows, names = gallery[0], np.array(["a", "b", "c", "d"])[labels[0]]
    ours = LinearProbe("logistic", strengths=(0.5,)).fit(rows, names)
    middle = rows.mean(axis=0)
    spread = np.sqrt(((rows - middle) ** 2).mean())
    theirs = LogisticRegression(C=0.5).fit((rows - middle) / spread, names)
    np.testing.assert_array_equal(
        ours.predict(queries[0]), theirs.predict((queries[0] - middle) / spread)
    )
    assert ours.strength_ == 0.5


def test_the_strength_is_chosen_on_rows_held_out_and_the_grid_is_shown() -> None:
    gallery, labels, queries = episodes(1, 4, 30, 30, 60)
    probe = LinearProbe("logistic", seed=3).fit(gallery[0], labels[0])
    assert list(probe.held_out_) == [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2]
    best = max(probe.held_out_.values())
    assert probe.strength_ == min(c for c, share in probe.held_out_.items() if share == best)
    again = LinearProbe("logistic", seed=3).fit(gallery[0], labels[0])
    assert again.held_out_ == probe.held_out_
    assert probe.score(queries[0], np.repeat(np.arange(4), 30)) > 0.5
    # Twice the features, half the weights: the choice does not hang on the encoder's scale.
    scaled = LinearProbe("logistic", seed=3).fit(gallery[0] * 2, labels[0])
    assert scaled.strength_ == probe.strength_


def test_every_class_is_held_out_in_part() -> None:
    labels = np.repeat([0, 1, 2], [2, 10, 50])
    out = held_out(labels, 0.2, 0)
    np.testing.assert_array_equal(np.bincount(labels[out]), [1, 2, 10])
    assert not np.array_equal(out, held_out(labels, 0.2, 1))
    assert not held_out(labels, 0.99, 0).all()


def test_well_apart_classes_score_one_and_shuffled_labels_chance() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), 60)
    rows = random.normal(size=(5, 10))[truth] * 8 + random.normal(size=(300, 10))
    half = random.permutation(300) < 150
    for method in ("ridge", "logistic"):
        probe = LinearProbe(method).fit(rows[half], truth[half])
        assert probe.score(rows[~half], truth[~half]) == 1
        noise = random.normal(size=(300, 10))
        probe = LinearProbe(method).fit(noise[half], truth[half])
        assert abs(probe.score(noise[~half], truth[~half]) - 0.2) < 0.13  # 4 standard errors


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("penalty", {"penalty": 0.0}),
        ("penalty", {"penalty": float("nan")}),
        ("labels", {"labels": [0, 1]}),
        ("labels", {"labels": [0, 1, -1]}),
        ("labels", {"labels": [0.0, 1.0, 2.0]}),
        ("shape", {"queries": np.ones((3, 3, 4))}),
        ("shape", {"gallery": np.ones((3, 4))}),
        ("dimension", {"queries": np.ones((2, 3, 5))}),
        ("empty", {"gallery": np.ones((2, 0, 4)), "labels": np.zeros(0, int)}),
        ("not-finite", {"queries": np.full((2, 3, 4), np.nan)}),
    ],
)
def test_an_episode_that_cannot_be_fitted_is_refused(code: str, arguments: Any) -> None:
    rows = np.ones((2, 3, 4))
    asked: dict[str, Any] = {"gallery": rows, "labels": [0, 1, 2], "queries": rows, **arguments}
    with pytest.raises(ProbeError) as caught:
        episode_ridge(**asked)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("method", {"method": "svm"}),
        ("penalty", {"penalty": -1.0}),
        ("strengths", {"method": "logistic", "strengths": ()}),
        ("strengths", {"method": "logistic", "strengths": (0.0, 1.0)}),
        ("holdout", {"method": "logistic", "holdout": 1.0}),
        ("classes", {"method": "logistic"}),
    ],
)
def test_a_probe_that_cannot_be_fitted_is_refused(code: str, settings: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        LinearProbe(**settings).fit(np.eye(3), [0, 1, 2])  # one row per class
    assert caught.value.code == code
