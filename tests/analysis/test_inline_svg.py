"""Figures inside a page: the same picture in fewer bytes, its names its own, its colours the page's."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from metaprobe.analysis.figures import FIGURES, svg_text
from metaprobe.analysis.inline_svg import inline_svg, shared_outlines
from metaprobe.analysis.sections.figure import draw

from .maps.planted import planted_map, rows
from .sample_audit import make_section, make_set

DRAWN = {
    **{name: svg_text(figure(make_set(2, episodes=30))) for name, figure in FIGURES.items()},
    "section": svg_text(draw(make_section())),
    "map": svg_text(planted_map(rows(phases=True)).plot()),
}


def marks(svg: str) -> list[ElementTree.Element]:
    """Everything that leaves ink, in order of drawing."""
    tree = ElementTree.fromstring(svg[svg.index("<svg") :])
    kinds = {"use", "path", "image"}
    return [one for one in tree.iter() if one.tag.rpartition("}")[2] in kinds]


def numbers(mark: ElementTree.Element) -> list[float]:
    text = " ".join(mark.get(a, "") for a in ("d", "x", "y", "width", "height"))
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


@pytest.mark.parametrize("name", DRAWN)
def test_every_mark_stays_where_it_was(name: str) -> None:
    before, after = marks(DRAWN[name]), marks(inline_svg(DRAWN[name], name))
    assert [m.tag for m in after] == [m.tag for m in before]
    for one, other in zip(before, after, strict=True):
        assert np.allclose(numbers(one), numbers(other), rtol=0, atol=0.01)
        assert re.findall(r"scale\([^)]*\)", one.get("transform", "")) == re.findall(
            r"scale\([^)]*\)", other.get("transform", "")
        )


@pytest.mark.parametrize("name", DRAWN)
def test_a_page_gets_a_third_less(name: str) -> None:
    assert len(inline_svg(DRAWN[name], name)) < 0.8 * len(DRAWN[name])


def test_names_are_short_lead_somewhere_and_are_of_one_figure_alone() -> None:
    names: Counter[str] = Counter()
    for name, svg in DRAWN.items():
        inside = inline_svg(svg, name)
        own = re.findall(r' id="([^"]+)"', inside)
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', inside))
        assert used == set(own) - {f"{name}-svg"}
        names.update(own)
    assert set(names.values()) == {1}
    assert max(len(n) for n in names if not n.endswith("-svg")) < 12


def test_ink_and_paper_take_the_colours_of_the_page() -> None:
    inside = inline_svg(DRAWN["effects"], "effects")
    for variable in ("ink", "on", "off", "both", "quiet"):
        assert f"var(--{variable})" in inside
    assert not re.search(r"(?:fill|stroke): #(?:24292f|0072b2|d55e00|00795a)", inside)


def styles(svg: str) -> list[str]:
    """The style each mark is drawn in: its own, or that of the nearest group that has one."""
    tree = ElementTree.fromstring(svg[svg.index("<svg") :])
    found: list[str] = []

    def walk(node: ElementTree.Element, style: str) -> None:
        style = node.get("style", style)
        if node.tag.endswith("}use"):
            found.append(style)
        for child in node:
            walk(child, style)

    walk(tree, "")
    return found


def test_a_style_that_many_marks_share_is_said_once_and_holds_for_each() -> None:
    before, after = styles(DRAWN["map"]), styles(inline_svg(DRAWN["map"], "map"))
    colours = [re.findall(r"#\w{6}|var\(--\w+\)", style) for style in after]
    assert len(before) == len(after) > 100
    for old, new in zip(before, colours, strict=True):
        for hexadecimal, kept in zip(re.findall(r"#\w{6}", old), new, strict=True):
            assert kept == hexadecimal or kept.startswith("var(")
    inside = inline_svg(DRAWN["map"], "map")
    assert inside.count('style="') < 0.7 * DRAWN["map"].count('style="')


def drawn_by(svg: str, outlines: str = "<svg/>") -> list[str | None]:
    """The outline that each reference to one draws, with how it is placed."""
    found: list[str | None] = []
    trees = [ElementTree.fromstring(text) for text in (outlines, svg)]
    known = {one.get("id"): one for tree in trees for one in tree.iter() if one.get("id")}
    for one in trees[1].iter():
        if one.tag.endswith("}use"):
            [target] = [v for k, v in one.items() if k.endswith("href")]
            shape = known[target[1:]]
            found += [shape.get("d"), shape.get("transform"), one.get("transform"), one.get("x")]
    return found


def test_letters_that_figures_share_are_in_a_page_once_and_draw_what_they_drew() -> None:
    pictures = [inline_svg(svg, name) for name, svg in DRAWN.items()]
    outlines, left = shared_outlines(pictures)
    for before, after in zip(pictures, left, strict=True):
        assert drawn_by(after, outlines) == drawn_by(before)
        assert len(drawn_by(before)) > 100
    shapes = re.findall(r'<path id="[^"]+" d="([^"]+)"', outlines)
    assert len(shapes) == len(set(shapes)) > 20
    assert len(outlines) + sum(map(len, left)) < 0.85 * sum(map(len, pictures))
    alone, [same] = shared_outlines(pictures[:1])
    assert (drawn_by(same), "<path" in alone) == (drawn_by(pictures[0]), False)
