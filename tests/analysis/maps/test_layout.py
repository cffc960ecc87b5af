"""Layouts: the same picture each time, what did not move drawn unmoved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from metaprobe.analysis.maps.layout import LayoutSettings, compared, lay_out, principal
from metaprobe.analysis.maps.make import MapSettings, map_of
from metaprobe.data.errors import MetaprobeError

from .planted import planted_map, rows


def test_pca_is_scikit_learns_up_to_sign() -> None:
    features = rows().features
    points, explained = principal(features, "euclidean")
    oracle = PCA(2, svd_solver="full").fit(features.astype(np.float64))
    assert np.allclose(np.abs(points), np.abs(oracle.transform(features)), atol=1e-6)
    assert explained == pytest.approx(oracle.explained_variance_ratio_)


def test_pca_does_not_depend_on_the_order_of_rows() -> None:
    features = rows().features
    turned = principal(features[::-1])[0][::-1]
    assert np.allclose(principal(features)[0], turned, atol=1e-9)


def test_under_cosine_the_length_of_a_row_does_not_matter() -> None:
    features = rows().features
    longer = features * np.linspace(1, 9, len(features), dtype=np.float32)[:, None]
    assert np.allclose(principal(features)[0], principal(longer)[0], atol=1e-5)
    assert not np.allclose(principal(features, "euclidean")[0], principal(longer, "euclidean")[0])


def test_a_row_of_zeros_stays_zero() -> None:
    assert compared(np.zeros((2, 3), np.float32), "cosine").tolist() == [[0.0] * 3] * 2


def test_umap_gives_the_same_points_each_time_and_keeps_planted_classes_together() -> None:
    points = rows(phases=True)
    how = LayoutSettings("umap")
    first, second = lay_out(points.features, how), lay_out(points.features, how)
    assert np.array_equal(first, second)
    other = lay_out(points.features, LayoutSettings("umap", seed=1))
    assert not np.array_equal(first, other)
    init = points.moment == "init"
    centres = np.stack([first[init & (points.labels == c)].mean(axis=0) for c in range(4)])
    far = np.linalg.norm(first[init][:, None] - centres[None], axis=-1)
    assert (far.argmin(axis=1) == points.labels[init]).all()


def test_on_the_shared_layout_what_moved_is_told_from_what_did_not() -> None:
    points = rows(phases=True, each=20)
    for name in ("pca", "umap"):
        found = planted_map(points, name).layouts[name]
        before, after = points.pairs.T
        length = np.linalg.norm(found.points[after] - found.points[before], axis=1)
        still = points.task[before] == "T′"
        assert np.quantile(length[still], 0.9) < 0.2 * np.median(length[~still])
        true = np.linalg.norm(
            compared(points.features[after], "cosine")
            - compared(points.features[before], "cosine"),
            axis=1,
        )
        assert found.arrows == pytest.approx(spearmanr(true, length).statistic)
        assert found.arrows is not None
        assert found.arrows > 0.6


def test_rows_that_are_the_same_are_one_point() -> None:
    features = rows().features
    twice = np.concatenate([features, features])
    for name in ("pca", "umap"):
        points = lay_out(twice, LayoutSettings(name))
        assert np.array_equal(points[: len(features)], points[len(features) :])


def test_where_nothing_moved_no_arrow_is_judged() -> None:
    points = rows(phases=True)
    n = len(points.pairs)
    points.features[n:] = points.features[:n]
    drawn = planted_map(points)
    assert drawn.layouts["pca"].arrows is None
    assert all(one.cosine == pytest.approx(1) and one.kept == 1 for one in drawn.moved.values())


def test_too_few_rows_are_refused_and_many_equal_ones_are_drawn() -> None:
    with pytest.raises(MetaprobeError, match="5 or more") as refusal:
        lay_out(rows(1, 4).features, LayoutSettings("pca"))
    assert refusal.value.code == "few-rows"
    equal = np.ones((30, 4), np.float32)
    for name in ("pca", "umap"):
        assert np.ptp(lay_out(equal, LayoutSettings(name)), axis=0).max() == 0


def test_a_layout_by_an_unknown_name_is_refused() -> None:
    from metaprobe.analysis.maps.make import map_features

    with pytest.raises(MetaprobeError, match="pca, umap") as refusal:
        map_features("maml-glyphs-s0", layouts=("tsne",))
    assert refusal.value.code == "layout"


def test_moved_speaks_of_features_and_knows_chance() -> None:
    points = rows(classes=2, each=40, phases=True)
    drawn = map_of(points, MapSettings(layouts=("pca",)))
    assert drawn.moved["T′"].cosine == pytest.approx(1, abs=1e-6)
    assert drawn.moved["T′"].kept > 0.97
    assert abs(drawn.moved["T"].cosine) < 0.8
    # a rotation turns every image and keeps every neighbour
    assert drawn.moved["T"].kept > 0.97
    assert drawn.moved["T"].chance == pytest.approx(10 / 39)
