"""Maps of real encoders: the right rows, nothing computed twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.analysis.maps.make import map_features
from metaprobe.analysis.maps.points import stratified
from metaprobe.analysis.planning import AuditSettings, draw, plan
from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import MetaprobeError
from metaprobe.data.store import Store
from metaprobe.models.encoder import load_encoder
from metaprobe.probes.extract import compute
from metaprobe.probes.measurement import BLOCK

SMALL = {"query": 2, "layouts": ("pca",), "phases": True}


def test_rows_are_the_episodes_images_before_and_after(tmp_path: Path) -> None:
    drawn = map_features("maml-glyphs-s0", episodes=(3,), **SMALL)  # type: ignore[arg-type]
    rows = drawn.rows
    encoder = load_encoder("maml-glyphs-s0")
    asked = AuditSettings(episodes=BLOCK, query=2)
    measurement = plan(encoder, asked, draw(asked, encoder.shape))
    truth = compute(measurement, measurement.episodes[3:4], ("init", "adapted"))
    before, after = rows.pairs.T
    for moment, which in (("init", before), ("adapted", after)):
        expected = truth[moment].features[0].reshape(-1, encoder.embedding_dim)  # type: ignore[index]
        assert np.allclose(rows.features[which], expected, atol=1e-5)
        assert set(rows.moment[which]) == {moment}
    data = open_dataset("glyphs", "test")
    one = measurement.episodes
    on = np.concatenate([p[3].ravel() for p in (one.on.support, one.on.gallery, one.on.query)])
    assert rows.ids[before[: len(on)]].tolist() == data.ids[on].tolist()
    assert (rows.ids[before] == rows.ids[after]).all()
    assert (rows.images[0] == data.images[on[0]]).all()
    assert (rows.task[before] == "T").sum() == len(on)
    assert drawn.episodes == (3,)


def test_a_repeat_computes_nothing_and_draws_the_same_points(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for settings in (SMALL, {"data": "digits", "split": "test", "layouts": ("pca",), "most": 40}):
        first = map_features("maml-glyphs-s0", store=store, **settings)  # type: ignore[arg-type]
        again = map_features("maml-glyphs-s0", store=store, **settings)  # type: ignore[arg-type]
        assert first.computed >= 2
        assert again.computed == 0
        assert np.array_equal(first.layouts["pca"].points, again.layouts["pca"].points)
        assert first.layouts["pca"].distortion == again.layouts["pca"].distortion


def test_a_map_finds_what_an_audit_left_in_the_store(tmp_path: Path) -> None:
    from metaprobe.analysis.audit import audit

    store = Store(tmp_path / "store")
    audit("maml-glyphs-s0", episodes=BLOCK, query=2, store=store)
    assert map_features("maml-glyphs-s0", store=store, **SMALL).computed == 1  # type: ignore[arg-type]


def test_no_inner_steps_draw_no_movement() -> None:
    drawn = map_features("maml-glyphs-s0", steps=0, **SMALL)  # type: ignore[arg-type]
    before, after = drawn.rows.pairs.T
    points = drawn.layouts["pca"].points
    assert np.array_equal(points[before], points[after])
    assert all(one.kept == 1 for one in drawn.moved.values())


def test_far_tasks_keep_their_own_class_names() -> None:
    drawn = map_features("maml-glyphs-s0", off_data="digits", **SMALL)  # type: ignore[arg-type]
    table = drawn.table()
    assert set(table[table.task == "T′"]["class"]) <= set(map(str, range(10)))
    assert table[table.task == "T"]["class"].str.contains("U\\+").all()


def test_json_and_table_tell_the_same_points(tmp_path: Path) -> None:
    drawn = map_features("maml-glyphs-s0", **SMALL)  # type: ignore[arg-type]
    plain = json.loads(drawn.to_json())
    table = drawn.table()
    assert plain["schema"] == "metaprobe.map/1"
    assert len(plain["points"]) == plain["rows"] == len(table)
    assert plain["points"][5]["pca_x"] == table["pca_x"][5]
    twins = table["twin"].to_numpy()
    assert (twins[twins] == np.arange(len(table))).all()
    assert (table["id"].to_numpy()[twins] == table["id"].to_numpy()).all()
    assert drawn._repr_html_().count("data:image/png;base64,") == 1


@pytest.mark.parametrize("episodes", [(), (-1,), (0, 0)])
def test_episodes_that_do_not_exist_are_refused(episodes: tuple[int, ...]) -> None:
    with pytest.raises(MetaprobeError) as refusal:
        map_features("maml-glyphs-s0", phases=True, episodes=episodes)
    assert refusal.value.code == "episode"


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    most=st.integers(1, 120),
    seed=st.integers(0, 99),
)
def test_a_stratified_draw_keeps_proportions(counts: list[int], most: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    kept = stratified(labels, most, seed)
    assert len(kept) == min(most, len(labels))
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(kept) > 0).all()
    share = len(kept) / len(labels)
    for c, count in enumerate(counts):
        assert abs((labels[kept] == c).sum() - share * count) < 1 + 1e-9
