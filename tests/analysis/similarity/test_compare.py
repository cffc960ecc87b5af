"""Two sets of embeddings are compared only where their rows are the same samples."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metaprobe.analysis.similarity import MEASURES, cka, cka_matrix, similarity, with_null
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import ProbeError
from metaprobe.probes.measures import MEASURES as QUALITY


def embeddings(seed: int, n: int = 40, d: int = 6) -> Embeddings:
    features = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    ids = np.array([f"image {i}" for i in range(n)])
    return Embeddings(features, ids, np.arange(n) % 4)


@pytest.mark.parametrize("name", MEASURES)
def test_a_value_stands_beside_its_null_its_rows_and_widths(name: str) -> None:
    x, y = embeddings(0), embeddings(1)
    found = similarity(x, y, name, repeats=9, seed=5)
    assert found.measure is MEASURES[name]
    assert (found.rows, found.dims) == (40, (6, 6))
    assert found.null is not None
    assert (found.null.repeats, found.null.seed, found.null.value) == (9, 5, found.value)
    assert 0.1 <= found.null.p <= 1
    assert similarity(x, y, name, repeats=9, seed=5) == found
    bare = similarity(x, y, name, repeats=0)
    assert bare.null is None
    assert bare.value == pytest.approx(found.value)
    other = similarity(x, y, name, repeats=9, seed=6)
    assert other.null is not None
    assert other.null.mean != found.null.mean


def test_widths_may_differ_where_coordinates_need_not_be_the_same() -> None:
    x, wide = embeddings(0), embeddings(1, d=9)
    assert similarity(x, wide, "cka").dims == (6, 9)
    with pytest.raises(ProbeError, match="6 features and y 9") as caught:
        similarity(x, wide, "drift-cosine")
    assert caught.value.code == "dimension"


def test_other_samples_are_refused_and_the_first_is_named() -> None:
    x = embeddings(0)
    order = np.arange(40)
    order[[7, 9]] = [9, 7]
    swapped = replace(x, ids=x.ids[order])
    with pytest.raises(ProbeError) as caught:
        similarity(x, swapped)
    assert caught.value.code == "ids"
    assert "2 of 40 rows" in str(caught.value)
    assert "row 7, image 7 against image 9" in str(caught.value)
    with pytest.raises(ProbeError, match="40 rows and y 39") as caught:
        similarity(x, embeddings(0, n=39))
    assert caught.value.code == "ids"


def test_other_labels_are_refused_where_labels_count() -> None:
    x = embeddings(0)
    y = replace(x, labels=x.labels[::-1])
    assert similarity(x, y, "cka", repeats=0).value == pytest.approx(1)
    with pytest.raises(ProbeError, match="different labels"):
        similarity(x, y, "centroid-shift")


def test_an_image_in_several_rows_is_not_its_own_neighbour() -> None:
    x = embeddings(0)
    twice = Embeddings(np.vstack([x.features] * 2), np.tile(x.ids, 2), np.tile(x.labels, 2))
    noise = np.random.default_rng(1).normal(size=(80, 6)) + np.repeat([[0], [9]], 40, axis=0)
    other = replace(twice, features=noise.astype(np.float32))
    # were its copy a neighbour, each row would keep it in a space that keeps nothing else
    apart = similarity(twice, twice, "mutual-knn", k=4, repeats=0)
    assert apart.value == 1
    assert abs(similarity(twice, other, "mutual-knn", k=4, repeats=0).value) < 0.2


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("measure", lambda x: similarity(x, x, "kca")),
        ("repeats", lambda x: with_null(MEASURES["cka"], x.features, x.features, repeats=1)),
        ("kind", lambda x: with_null(QUALITY["nc1"], x.features, x.labels)),
        ("empty", lambda x: cka_matrix([])),
        ("empty", lambda x: cka_matrix([x.features], [])),
        ("rows", lambda x: cka_matrix([x.features, x.features[1:]])),
    ],
)
def test_a_question_without_an_answer_is_refused(code: str, call: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        call(embeddings(0))
    assert caught.value.code == code


def rows(n: int, d: int = 3) -> Any:
    return np.random.default_rng(0).normal(size=(n, d))


SIMPLEX = np.eye(12)  # rows all equally far apart


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("code", "x", "y"),
    [
        ("rows", rows(20), rows(21)),
        ("shape", rows(20)[0], rows(20)),
        ("shape", rows(20), np.array([["a"] * 3] * 20)),
        ("shape", np.empty((20, 0)), rows(20)),
        ("not-finite", np.full((20, 3), np.nan), rows(20)),
        ("not-finite", rows(20), np.full((20, 3), 1e200)),
        ("too-few-rows", rows(0), rows(0)),
    ],
)
def test_no_measure_takes_what_is_not_features(name: str, code: str, x: Any, y: Any) -> None:
    extra = [np.arange(len(x)) % 2] if "labels (N,)" in MEASURES[name].takes else []
    with pytest.raises(ProbeError) as caught:
        MEASURES[name](x, y, *extra)
    assert caught.value.code == code


@pytest.mark.parametrize("value", [0.0, 0.1, 7.3])  # 0.1 and 7.3 have no exact mean
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [m for m in MEASURES if not m.startswith("drift")])
def test_features_that_never_change_are_like_nothing(name: str, dtype: Any, value: float) -> None:
    flat, other = np.full((5000, 3), value, dtype), rows(5000).astype(dtype)
    if name not in ("cka", "biased-cka"):
        flat, other = flat[:50], other[:50]
    extra = [np.arange(len(flat)) % 2] if "labels (N,)" in MEASURES[name].takes else []
    with pytest.raises(ProbeError) as caught:
        MEASURES[name](flat, other, *extra)
    assert caught.value.code == "constant"
    if name != "centroid-shift":  # which has its unit from x alone
        with pytest.raises(ProbeError):
            MEASURES[name](other, flat, *extra)


@pytest.mark.parametrize(
    ("code", "name", "x", "settings"),
    [
        ("too-few-rows", "cka", rows(3), {}),
        ("too-few-rows", "rbf-cka", rows(3), {}),
        ("too-few-rows", "minibatch-cka", rows(3), {}),
        ("batch", "minibatch-cka", rows(20), {"batch": 3}),
        ("constant", "minibatch-cka", np.repeat(rows(5), 4, axis=0), {"batch": 4}),
        ("width", "rbf-cka", rows(20), {"width": 0.0}),
        ("constant", "rbf-cka", np.repeat([[0.0], [1.0]], [19, 1], axis=0), {}),
        ("equidistant", "cka", SIMPLEX, {}),
        ("equidistant", "rbf-cka", SIMPLEX, {}),
        ("equidistant", "rsa", SIMPLEX, {}),
        ("equidistant", "rsa-euclidean", SIMPLEX, {}),
        ("constant-row", "rsa", np.vstack([rows(9), np.ones((1, 3))]), {}),
        ("distance", "rsa", rows(9), {"distance": "cosine"}),
        ("compared", "rsa", rows(9), {"compared": "kendall"}),
        ("too-few-rows", "rsa", rows(2), {}),
        ("too-few-rows", "pwcca", rows(12, 12), {}),
        ("too-few-rows", "svcca", rows(12, 12), {}),
        ("too-few-rows", "svcca", rows(20, 12), {"keep": 1.0}),
        ("keep", "svcca", rows(20), {"keep": 0.0}),
        ("k-too-large", "mutual-knn", rows(11), {}),
        ("k-too-large", "mutual-knn", rows(12), {"k": 11}),
        ("zero-norm", "mutual-knn", np.vstack([rows(20), np.zeros((1, 3))]), {}),
        ("zero-norm", "drift-cosine", np.vstack([rows(20), np.zeros((1, 3))]), {}),
        ("constant", "drift-change", np.zeros((4, 3)), {}),
    ],
)
def test_what_is_undefined_is_refused(code: str, name: str, x: Any, settings: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        MEASURES[name](x, x, **settings)
    assert caught.value.code == code


def test_labels_are_one_for_each_row() -> None:
    with pytest.raises(ProbeError) as caught:
        MEASURES["centroid-shift"](rows(9), rows(9), [0, 1])
    assert caught.value.code == "labels"


@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1e30, 1e140])
@pytest.mark.parametrize("name", [m.name for m in MEASURES.values() if "scale" in m.invariant_to])
def test_neither_tiny_nor_huge_features_overflow(name: str, scale: float) -> None:
    x, y = rows(40, 6), rows(41, 6)[1:]
    assert MEASURES[name](x * scale, y) == pytest.approx(MEASURES[name](x, y), abs=1e-9)


def test_cka_in_feature_space_is_as_robust_to_size() -> None:
    x, y = rows(3000, 6), rows(3001, 6)[1:]
    assert cka(x * 1e60, y * 1e-60) == pytest.approx(cka(x, y), abs=1e-9)
