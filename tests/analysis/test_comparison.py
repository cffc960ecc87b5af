"""Comparing encoders: themselves, their twins, strangers, and what is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from torch import nn

import metaprobe
from metaprobe.analysis.comparison import Agreement, Cell, Comparison, agreement, compare
from metaprobe.analysis.figure_parts import style
from metaprobe.data.datasets import open_dataset
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import MetaprobeError, ProbeError
from metaprobe.data.store import Store
from metaprobe.models.encoder import load_encoder
from metaprobe.probes.embed import embed

from .test_figures import texts

PAIR = ("maml-glyphs-s0", "meta-sgd-glyphs-s0")
SMALL = {"data": "digits", "split": "test", "most": 60, "repeats": 20}


def planted(n: int = 60, dim: int = 8, seed: int = 0) -> Embeddings:
    random = np.random.default_rng(seed)
    ids = np.array([f"image/{i}" for i in range(n)])
    return Embeddings(random.normal(size=(n, dim)).astype(np.float32), ids, np.arange(n) % 4)


def test_an_encoder_is_like_itself_at_every_layer_and_its_null_is_not() -> None:
    found = compare(PAIR[:1] * 2, **SMALL)  # type: ignore[arg-type]
    assert found.names == ("maml-glyphs-s0 (1)", "maml-glyphs-s0 (2)")
    same = [cell for cell in found.cells if cell.layer_a == cell.layer_b]
    assert len(same) == 2 * len(found.layers[0])
    for cell in same:
        assert cell.value == pytest.approx(1, abs=1e-6)
        assert abs(cell.null_mean) < 0.1
        assert cell.p == pytest.approx(1 / 21)
    assert found.agreements[0].kept.min() == 1


def test_the_last_layer_is_what_embed_gives_and_a_repeat_computes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = compare(PAIR, store=store, **SMALL)  # type: ignore[arg-type]
    again = compare(PAIR, store=store, **SMALL)  # type: ignore[arg-type]
    assert (first.computed, again.computed) == (10, 0)
    assert first.cells == again.cells
    sides = [embed(load_encoder(name), first.images, None) for name in PAIR]
    one = agreement(PAIR, (sides[0], sides[1]))
    assert one.kept == pytest.approx(first.agreements[0].kept)


def test_neighbours_agreed_on_are_those_of_two_searches() -> None:
    sides = planted(), planted(dim=5, seed=1)
    found = agreement(("a", "b"), sides, 7)
    near = [
        NearestNeighbors(n_neighbors=7, metric="cosine")
        .fit(s.features)
        .kneighbors(return_distance=False)
        for s in sides
    ]
    both = [len(set(a) & set(b)) / 7 for a, b in zip(*near, strict=True)]
    assert found.kept == pytest.approx(both)
    assert (np.diff(found.kept[found.worst(10)]) >= 0).all()
    assert found.kept.mean() == pytest.approx(found.chance, abs=0.06)


def test_the_neighbours_asked_for_are_those_of_the_shares_and_of_the_mutual_ones() -> None:
    found = compare(PAIR, layers=("embedding",), k=3, **SMALL)  # type: ignore[arg-type]
    [mutual] = [cell for cell in found.cells if cell.measure == "mutual-knn"]
    [one] = found.agreements
    assert mutual.value == pytest.approx((one.kept.mean() - one.chance) / (1 - one.chance))
    assert any("k = 3" in sentence for sentence in found.sentences())
    assert not any("k = 10" in sentence for sentence in found.sentences())


def test_rows_of_other_images_are_refused() -> None:
    one = planted()
    turned = replace(one, ids=one.ids[::-1])
    with pytest.raises(ProbeError, match="same order") as refusal:
        agreement(("a", "b"), (one, turned))
    assert refusal.value.code == "ids"


def test_encoders_of_other_widths_and_some_layers_are_compared() -> None:
    wide = load_encoder(PAIR[0])
    narrow = replace(wide, name="narrow", architecture={**wide.architecture, "filters": 8})
    found = compare([wide, narrow.untrained()], layers=("block2", "embedding"), **SMALL)  # type: ignore[arg-type]
    assert found.layers == (("block2:avg", "embedding"), ("block2:avg", "embedding"))
    assert len(found.cells) == 2 * 2 * 2


def test_three_encoders_make_three_pairs_and_each_shows_itself() -> None:
    found = metaprobe.compare((*PAIR, "anil-glyphs-s0"), layers=("embedding",), **SMALL)  # type: ignore[arg-type]
    assert len(found.agreements) == 3
    assert len(found.table()) == 6
    plain = json.loads(found.to_json())
    assert plain["schema"] == "metaprobe.comparison/1"
    assert len(plain["neighbours"][0]["least"]) == 6
    assert "image/png" in found._repr_html_()


def test_every_value_and_its_null_is_written_on_the_map() -> None:
    found = compare(PAIR, layers=("block1", "embedding"), **SMALL)  # type: ignore[arg-type]
    with style():
        said = {t.get_text() for t in texts(found.plot())}
    for cell in found.cells:
        if abs(cell.value) >= 0.005 and abs(cell.null_mean) >= 0.005:
            word = f"{cell.value:.2f}\n({cell.null_mean:.2f})".replace("-", "−")
            assert word in said


def test_pictures_of_the_images_at_odds_stand_in_their_order() -> None:
    found = compare(PAIR, layers=("embedding",), **SMALL)  # type: ignore[arg-type]
    figure = found.plot("disagreements")
    one = found.agreements[0]
    shares = [a.get_ylabel() for a in figure.axes if a.get_ylabel()]
    assert shares == [f"{100 * one.kept[i]:.0f} %" for i in one.worst()]
    assert sum(len(a.images) for a in figure.axes) == 6 * 11


def test_every_pair_has_its_images_at_odds() -> None:
    three = [*PAIR, "meta-sgd-glyphs-s1"]
    found = compare(three, layers=("embedding",), **SMALL)  # type: ignore[arg-type]
    figure = found.plot("disagreements")
    shares = [a.get_ylabel() for a in figure.axes if a.get_ylabel()]
    pairs = found.agreements
    assert len(pairs) == 3
    assert shares == [f"{100 * one.kept[i]:.0f} %" for one in pairs for i in one.worst(2)]
    with style():
        said = [t.get_text() for t in texts(figure) if t.get_text().startswith("nearest by")]
    assert said == [f"nearest by {name}" for one in pairs for name in (one.a, one.b)]


def test_one_checkpoint_or_an_unknown_measure_is_refused() -> None:
    with pytest.raises(MetaprobeError, match="two or more"):
        compare(PAIR[:1])
    with pytest.raises(MetaprobeError, match="unknown"):
        compare(PAIR, measures=("likeness",))
    with pytest.raises(MetaprobeError) as refusal:
        compare(PAIR, repeats=1)
    assert refusal.value.code == "compare-small"


def test_maps_of_many_layers_stay_legible_and_yellow_is_alike() -> None:
    """Names and numbers of a map of few inches were written over one another."""
    few, many = planted_comparison(4), planted_comparison(24)
    with style():
        for found, bracketed in ((few, True), (many, False)):
            figure = found.plot()
            figure.canvas.draw()
            shown = [axis for axis in figure.axes if axis.get_visible()]
            assert len(shown) == 3
            for axis in shown:
                boxes = [t.get_window_extent() for t in axis.get_xticklabels() if t.get_text()]
                assert all(a.x1 <= b.x0 + 1 for a, b in pairwise(boxes))
                assert any("(" in t.get_text() for t in axis.texts) is bracketed
            maps = {a.get_title("left"): a.collections[0].get_cmap().name for a in shown}
            assert maps["Orthogonal Procrustes (0: alike)"] == "cividis_r"
            assert maps["Debiased linear CKA"] == "cividis"


def planted_comparison(layers: int) -> Comparison:
    names = tuple(f"encoder.layer.{i}:avg" for i in range(layers))
    cells = tuple(
        Cell("a", "b", measure, one, other, 0.5, 0.1, 0.01, 0.02)
        for measure in ("cka", "procrustes", "mutual-knn")
        for one in names
        for other in names
    )
    images = open_dataset("digits", "test")
    pair = Agreement("a", "b", np.zeros(len(images)), np.zeros((2, len(images), 3), int), 0.1)
    return Comparison(("a", "b"), images, (names, names), cells, (pair,), 3, 0)


def test_an_encoder_without_running_statistics_is_told_what_it_may_do() -> None:
    encoder = load_encoder(PAIR[0])
    bare = replace(encoder, name="bare", body=copy.deepcopy(encoder.body))
    for layer in bare.body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            layer.track_running_stats = False
    with pytest.raises(MetaprobeError, match=r"'bare' stores no running .* audit it") as refusal:
        compare([encoder, bare], **SMALL)  # type: ignore[arg-type]
    assert refusal.value.code == "no-running-statistics"
