"""The figure of a map: numbers on it, nothing resting on colour alone, images where few."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.text import Annotation

from metaprobe.analysis.figure_files import FORMATS, figure_bytes, in_formats
from metaprobe.analysis.figure_parts import style
from metaprobe.analysis.maps.marks import COLOURS, SHAPES, legend_of, thumbnail

from ..test_figures import texts
from .planted import planted_map, rows

HOSTILE = ("$\\frac{$", "x" * 200, "日本語", "=cmd()")


@pytest.mark.parametrize("phases", [False, True])
def test_no_text_overlaps_another_or_leaves_the_figure(phases: bool) -> None:
    drawn = planted_map(rows(each=20, phases=phases, names=HOSTILE), "pca", "umap")
    with style():
        figure = drawn.plot()
        boxes = [(t, t.get_window_extent().padded(-1.5)) for t in texts(figure)]
        boxes = [(t, box) for t, box in boxes if not isinstance(t, Annotation)]
    page = figure.bbox.padded(1)
    for text, box in boxes:
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)


def test_every_layout_says_how_far_to_believe_it() -> None:
    drawn = planted_map(rows(phases=True), "pca", "umap")
    said = " ".join(t.get_text() for t in texts(drawn.plot()))
    for layout in drawn.layouts.values():
        one = layout.distortion
        assert f"trustworthiness {one.trustworthiness:.2f}, continuity {one.continuity:.2f}" in said
        assert f"{100 * one.kept:.0f} % of {one.k} neighbours kept" in said
        assert f"ρ = {layout.arrows:.2f}" in said
    assert "seed 0" in " ".join(t.get_text() for t in texts(planted_map(rows(), "umap").plot()))


def test_each_support_image_that_moved_has_its_picture_and_its_arrow() -> None:
    points = rows(phases=True, moved=("T",))
    n = len(points.pairs)
    still = np.flatnonzero(points.task[:n] == "T′")
    points.features[n + still] = points.features[still]
    drawn = planted_map(points)
    left, right = drawn.plot().axes
    for axis, arrows in ((left, 2), (right, 0)):
        assert len([a for a in axis.artists if isinstance(a, AnnotationBbox)]) == 2
        marks = [t for t in axis.texts if isinstance(t, Annotation)]
        assert len(marks) == arrows
        ends = {tuple(np.round(m.xy, 6)) for m in marks}
        moved = points.pairs[(points.role[:n] == "support") & (points.task[:n] == "T"), 1]
        if arrows:
            assert ends == {tuple(np.round(p, 6)) for p in drawn.layouts["pca"].points[moved]}


def test_few_images_are_drawn_themselves_and_many_are_not() -> None:
    [few], [many] = (planted_map(rows(each=each)).plot().axes for each in (10, 20))
    assert len([a for a in few.artists if isinstance(a, AnnotationBbox)]) == 40
    assert not [a for a in many.artists if isinstance(a, AnnotationBbox)]
    assert sum(len(np.asarray(c.get_offsets())) for c in many.collections) == 80


def test_many_classes_are_drawn_by_group_and_many_groups_alike() -> None:
    by_class, by_group = legend_of(rows(10, 3)), legend_of(rows(12, 3))
    assert (by_class.what, len(by_class.names)) == ("class", 10)
    assert (by_group.what, by_group.names) == ("group", ("group 0", "group 1", "group 2"))
    points = rows(12, 3)
    object.__setattr__(points, "groups", tuple(f"group {i}" for i in range(12)))
    assert legend_of(points).what == ""
    planted_map(points).plot().canvas.draw()


def test_every_colour_has_a_shape_of_its_own() -> None:
    assert len(set(SHAPES)) == len(set(COLOURS)) == len(SHAPES) == len(COLOURS)


def test_strokes_read_as_ink_on_paper_and_colours_stay() -> None:
    light_on_dark = np.zeros((1, 4, 4), np.uint8)
    light_on_dark[0, 0] = 255
    assert thumbnail(light_on_dark)[0].max() == 0 < thumbnail(light_on_dark)[1].min()
    assert (thumbnail(255 - light_on_dark) == thumbnail(light_on_dark)).all()
    colour = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    assert (thumbnail(colour) == np.rint(255 * colour.transpose(1, 2, 0))).all()


def test_files_are_the_same_bytes_each_time() -> None:
    drawn = planted_map(rows(phases=True))
    first, second = (in_formats(drawn.plot(), "map") for _ in range(2))
    assert list(first) == [f"map.{suffix}" for suffix in FORMATS]
    assert first == second
    assert first["map.pdf"].startswith(b"%PDF")
    assert first["map.png"].startswith(b"\x89PNG")
    assert b"<image" in figure_bytes(drawn.plot(), "svg")
