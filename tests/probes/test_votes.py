"""Votes count rightly, break ties by their rule, and agree where they must."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from metaprobe.data.errors import ProbeError
from metaprobe.probes.neighbours import episode_neighbours, nearest_neighbours
from metaprobe.probes.votes import Weights, class_mean, knn_accuracies, nil_vote, vote

Array = NDArray[Any]


def planted(classes: int, each: int, d: int, gap: float, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, d)) * gap
    labels = np.repeat(np.arange(classes), each)
    return centres[labels] + random.normal(size=(len(labels), d)), labels


# --- vote -------------------------------------------------------------------------------


def test_a_tie_goes_to_the_class_whose_nearest_member_is_nearest() -> None:
    assert vote([3, 1, 1, 3], [0.1, 0.2, 0.3, 0.4], classes=4) == 3
    assert vote([2, 3, 1, 1, 3], [0.0, 0.2, 0.2, 0.3, 0.4], classes=4) == 1  # then to the smallest
    assert vote([2, 1], [0.5, 0.5], classes=3, weights="softmax") == 1


def test_softmax_weights_are_those_of_the_formula() -> None:
    # One close neighbour against two farther ones: exp(-0.1/T) against 2 exp(-0.15/T).
    for temperature, winner in ((0.05, 0), (0.1, 1)):
        found = vote(
            [0, 1, 1], [0.1, 0.15, 0.15], classes=2, weights="softmax", temperature=temperature
        )
        assert found == winner == int(np.exp(0.05 / temperature) < 2)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_votes_are_those_of_scikit_learn(weights: Weights) -> None:
    rows, labels = planted(6, 30, 5, 0.8)
    queries = np.concatenate([planted(6, 30, 5, 0.8, seed=1)[0], rows[:20]])
    near = nearest_neighbours(rows, queries, 7, metric="euclidean")
    found = vote(labels[near.indices], near.distances, classes=6, weights=weights)
    theirs = KNeighborsClassifier(7, weights=weights, algorithm="kd_tree").fit(rows, labels)
    shares = np.sort(theirs.predict_proba(queries), axis=1)
    clear = shares[:, -1] - shares[:, -2] > 1e-9  # their ties go to the smallest label at once
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(found[clear], theirs.predict(queries)[clear])


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    steps=st.lists(st.integers(0, 2), min_size=8, max_size=8),
    weights=st.sampled_from(["uniform", "distance", "softmax"]),
    seed=st.integers(0, 1000),
)
def test_the_order_of_equally_near_neighbours_changes_nothing(
    labels: list[int], steps: list[int], weights: Weights, seed: int
) -> None:
    far = np.cumsum(steps[: len(labels)]) / 7
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    shuffled = shuffled[np.argsort(far[shuffled], kind="stable")]
    first = vote(labels, far, classes=4, weights=weights)
    assert first == vote(np.array(labels)[shuffled], far[shuffled], classes=4, weights=weights)
    if weights == "uniform":
        counts = np.bincount(labels, minlength=4)
        tied = [c for c in range(4) if counts[c] == counts.max()]
        key = {c: min(far[i] for i, label in enumerate(labels) if label == c) for c in tied}
        assert first == min(tied, key=lambda c: (key[c], c))


def test_leading_shapes_are_kept_and_large_tables_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    labels, far = random.integers(0, 9, (4, 5, 6)), np.sort(random.random((4, 5, 6)), axis=-1)
    whole = vote(labels, far, classes=9)
    assert whole.shape == (4, 5)
    monkeypatch.setattr("metaprobe.probes.votes._TABLE", 20)
    np.testing.assert_array_equal(vote(labels, far, classes=9), whole)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("labels", {"classes": 2}),
        ("labels", {"labels": [[-1, 0, 1]]}),
        ("labels", {"labels": [[0.5, 0, 1]]}),
        ("shape", {"labels": [0, 1]}),
        ("shape", {"labels": np.zeros((1, 0), int), "distances": np.zeros((1, 0))}),
        ("distances", {"distances": [[0.2, 0.1, 0.3]]}),
        ("distances", {"distances": [[0.1, 0.2, np.nan]]}),
        ("distances", {"distances": [[0.1, 0.2, np.inf]]}),
        ("distances", {"distances": [[-0.1, 0.2, 0.3]]}),
        ("weights", {"weights": "votes"}),
        ("temperature", {"weights": "softmax", "temperature": 0.0}),
    ],
)
def test_a_vote_that_is_undefined_is_refused(code: str, arguments: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"labels": [[0, 1, 2]], "distances": [[0.1, 0.2, 0.3]], "classes": 3}
    with pytest.raises(ProbeError) as caught:
        vote(**{**asked, **arguments})
    assert caught.value.code == code


# --- NIL vote and class means ------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    grid=st.booleans(),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)),
)
def test_at_one_shot_nearest_neighbour_nil_vote_and_class_mean_are_one_rule(
    seed: int, grid: bool, shape: tuple[int, int, int, int]
) -> None:
    episodes, ways, many, d = shape
    random = np.random.default_rng(seed)
    gallery, queries = (random.normal(size=(episodes, n, d)) for n in (ways, many))
    if grid:  # many exact ties, copies and parallel rows
        gallery, queries = np.round(gallery) * 2 + 1, np.round(queries) * 2 + 1
    labels = np.tile(np.arange(ways), (episodes, 1))
    first = episode_neighbours(gallery, queries, 1).indices[..., 0]
    np.testing.assert_array_equal(nil_vote(gallery, labels, queries), first)
    np.testing.assert_array_equal(class_mean(gallery, labels, queries), first)
    before = class_mean(gallery, labels, queries, normalise="before")
    if grid:  # a unit row made unit again may move by one rounding: compare what it chose
        cosines = (
            np.einsum("emd,ewd->emw", queries, gallery) / np.linalg.norm(gallery, axis=2)[:, None]
        )
        chosen = np.take_along_axis(cosines, np.stack([before, first], axis=2), 2)
        np.testing.assert_allclose(chosen[..., 0], chosen[..., 1], rtol=1e-12)
    else:
        np.testing.assert_array_equal(before, first)


def test_the_nil_vote_is_that_of_matching_networks() -> None:
    gallery = np.stack([planted(5, 4, 6, 0.5, seed=e)[0] for e in range(8)])
    queries = np.stack([planted(5, 10, 6, 0.5, seed=50 + e)[0] for e in range(8)])
    labels = np.tile(np.repeat(np.arange(5), 4), (8, 1))
    unit = [x / np.linalg.norm(x, axis=2, keepdims=True) for x in (queries, gallery)]
    cosines = np.exp(unit[0] @ unit[1].swapaxes(1, 2))
    attention = cosines / cosines.sum(axis=2, keepdims=True)
    expected = (attention @ np.eye(5)[labels]).argmax(axis=2)
    np.testing.assert_array_equal(nil_vote(gallery, labels, queries), expected)
    alone = nil_vote(gallery[3], labels[3], queries[3])
    np.testing.assert_array_equal(alone, expected[3])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("normalise", ["before", "after"])
def test_class_means_are_those_of_plain_numpy(metric: Any, normalise: Any) -> None:
    random = np.random.default_rng(0)
    gallery = np.stack([planted(5, 5, 6, 0.4, seed=e)[0] for e in range(9)])
    gallery *= random.gamma(1.0, size=(9, 25, 1)) + 0.1
    queries = np.stack([planted(5, 8, 6, 0.4, seed=70 + e)[0] for e in range(9)])
    labels = np.stack([random.permutation(np.repeat(np.arange(5), 5)) for _ in range(9)])
    found = class_mean(gallery, labels, queries, metric, normalise)
    for e in range(9):
        g, q = gallery[e], queries[e]
        if normalise == "before":
            g, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (g, q))
        means = np.stack([g[labels[e] == c].mean(axis=0) for c in range(5)])
        if metric == "cosine":
            means, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (means, q))
        far = np.square(q[:, None] - means).sum(axis=2)
        np.testing.assert_array_equal(found[e], far.argmin(axis=1))
    if (metric, normalise) == ("euclidean", "after"):
        theirs = NearestCentroid().fit(gallery[0], labels[0])
        np.testing.assert_array_equal(found[0], theirs.predict(queries[0]))


def test_normalising_before_and_after_differ_where_lengths_do() -> None:
    gallery = np.array([[[10.0, 0.0], [0.0, 1.0], [2.0, 2.1], [2.0, 2.1]]])
    labels, query = np.array([[0, 0, 1, 1]]), np.array([[[1.0, 0.2]]])
    assert class_mean(gallery, labels, query, normalise="after")[0, 0] == 0
    assert class_mean(gallery, labels, query, normalise="before")[0, 0] == 0
    query = np.array([[[1.0, 0.9]]])
    gallery = np.array([[[10.0, 9.0], [0.0, 1.0], [1.0, 0.5], [1.0, 0.5]]])
    assert class_mean(gallery, labels, query, normalise="after")[0, 0] == 0
    assert class_mean(gallery, labels, query, normalise="before")[0, 0] == 1


def test_a_collapsed_encoder_scores_exactly_chance() -> None:
    gallery, labels = np.ones((10, 5, 8)), np.tile(np.arange(5), (10, 1))
    queries, truth = np.ones((10, 50, 8)), np.repeat(np.arange(5), 10)
    for found in (class_mean(gallery, labels, queries), nil_vote(gallery, labels, queries)):
        assert (found == truth).mean() == 0.2


def test_zeros_are_refused_or_orthogonal_as_asked() -> None:
    gallery = np.array([[1.0, 0], [0, 0], [0, 1]])
    queries = np.array([[0.0, 0], [0, 1], [-1, -1]])
    for probe in (class_mean, nil_vote):
        with pytest.raises(ProbeError) as caught:
            probe(gallery, [0, 1, 2], queries)
        assert caught.value.code == "zero-norm"
        # The last query points away from both others: the zero row is nearer, at distance 1.
        assert probe(gallery, [0, 1, 2], queries, zeros="orthogonal").tolist() == [0, 2, 1]
    with pytest.raises(ProbeError, match="gallery: 1 of 1 rows"):
        class_mean([[1.0, 0], [-1.0, 0]], [0, 0], [[1.0, 0]])
    kept = class_mean(gallery, [0, 0, 1], queries[1:], normalise="before", zeros="orthogonal")
    assert kept[0] == 1


def test_class_means_refuse_what_has_no_mean() -> None:
    rows = np.ones((2, 4, 3))
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("labels", [[0, 0, 2, 2], [0, 1, 2, 2]], {}),
        ("labels", [[0, 0, -1, 2], [0, 1, 2, 2]], {}),
        ("labels", np.zeros((2, 4)), {}),
        ("shape", [0, 1, 2, 3], {}),
        ("normalise", np.zeros((2, 4), int), {"normalise": "never"}),
        ("not-finite", np.zeros((2, 4), int), {"gallery": rows * np.nan}),
        ("dimension", np.zeros((2, 4), int), {"queries": np.ones((2, 1, 2))}),
    ]
    for code, labels, extra in cases:
        asked: dict[str, Any] = {"gallery": rows, "queries": rows, **extra}
        with pytest.raises(ProbeError) as caught:
            class_mean(gallery_labels=labels, **asked)
        assert caught.value.code == code


# --- whole data sets ---------------------------------------------------------------------


def test_one_search_gives_the_accuracies_of_one_search_per_k() -> None:
    rows, labels = planted(7, 40, 6, 0.6)
    queries, truth = planted(7, 20, 6, 0.6)
    names = np.array(["ant", "bee", "cat", "dog", "elk", "fox", "gnu"])
    found = knn_accuracies(rows, names[labels], queries, names[truth])
    assert list(found) == [1, 5, 10, 20, 100, 200]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, queries)]
    cosines = unit[1] @ unit[0].T
    for k, accuracy in found.items():
        top = np.argsort(-cosines, axis=1)[:, :k]
        mass = np.exp(np.take_along_axis(cosines, top, 1) / 0.07)
        score = (mass[..., None] * np.eye(7)[labels[top]]).sum(axis=1)
        assert accuracy == (score.argmax(axis=1) == truth).mean()


def test_well_apart_classes_score_one_and_shuffled_labels_chance() -> None:
    rows, labels = planted(10, 40, 16, 6.0)
    queries, truth = planted(10, 40, 16, 6.0)
    assert set(knn_accuracies(rows, labels, queries, truth, ks=(1, 5, 20)).values()) == {1.0}
    shuffled = np.random.default_rng(0).permutation(labels)
    for accuracy in knn_accuracies(rows, shuffled, queries, truth, ks=(1, 5)).values():
        # 10 clusters vote nearly alike inside, so the spread is that of 10, not 400, draws.
        assert abs(accuracy - 0.1) < 0.15


def test_noise_scores_chance_leave_one_out_and_only_the_ks_that_fit_are_taken() -> None:
    random = np.random.default_rng(0)
    rows, labels = random.normal(size=(1500, 8)), np.repeat(np.arange(100), 15)
    ids = np.arange(1500)
    found = knn_accuracies(rows, labels, rows, labels, gallery_ids=ids, query_ids=ids, ks=(1, 5))
    assert all(accuracy < 0.03 for accuracy in found.values())
    few = slice(0, 1500, 75)
    kept = knn_accuracies(
        rows[few], labels[few], rows[few], labels[few], gallery_ids=ids[few], query_ids=ids[few]
    )
    assert list(kept) == [1, 5, 10]  # 19 rows are not the query itself
    with pytest.raises(ProbeError) as caught:
        knn_accuracies(rows[few], labels[few], rows, labels, ks=(21,))
    assert caught.value.code == "k-too-large"


def test_a_class_the_gallery_lacks_counts_as_wrong() -> None:
    assert knn_accuracies([[1.0, 0]], ["a"], [[1.0, 0], [1.0, 0]], ["a", "b"]) == {1: 0.5}


def test_no_accuracy_is_made_up() -> None:
    rows = np.ones((3, 2))
    for code, arguments in [
        ("empty", (rows, [0, 1, 2], rows[:0], np.zeros(0, int))),
        ("empty", (rows[:0], [], rows, [0, 1, 2])),
        ("shape", (rows, [0, 1], rows, [0, 1, 2])),
    ]:
        with pytest.raises(ProbeError) as caught:
            knn_accuracies(*arguments)  # type: ignore[arg-type]
        assert caught.value.code == code
    for ks in ((), (0, 1)):
        with pytest.raises(ProbeError) as caught:
            knn_accuracies(rows, [0, 1, 2], rows, [0, 1, 2], ks=ks)
        assert caught.value.code == "k"
