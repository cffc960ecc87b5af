"""Comparing encoders: themselves, their twins, strangers, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import metaprobe
from metaprobe.analysis.comparison import agreement, compare
from metaprobe.analysis.figure_parts import style
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
