"""Maps to point at: what BokehJS needs to draw the panels of a map, as plain values.

A panel for each layout, and for phases one for T and one for T′ beside each other on the
layout's one pair of axes. All panels of a map share their rows, so what is picked in one is
picked in all, before and after adaptation. Nothing here is a script, and no callback is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.errors import printable
from ..figure_parts import QUIET
from .figures import TITLES, panel_title
from .layout import FEW, LayoutName
from .marks import legend_of
from .page_marks import MARKS, outline
from .plain import as_plain
from .result import Layout, Map

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure as Plot

MISSING = "The map to point at needs bokeh, which is not installed: pip install 'metaprobe[bokeh]'."
PICTURES = 3_000_000
"""Characters that the pictures of one map may take; those that a result keeps take fewer."""

TOOLTIP = """
<div style="display:flex;gap:10px;align-items:center;max-width:280px;color:#24292f;\
font:13px/1.4 system-ui,sans-serif">
<img src="@picture" alt="" width="84" height="84" style="image-rendering:pixelated;\
object-fit:contain;background:#fff;border:1px solid #ccc">
<div><b>@name</b><br>@what<br><span style="color:#6e7781;overflow-wrap:anywhere">@id</span></div>
</div>
"""


@dataclass(frozen=True)
class Panel:
    """A place for one plot: its element, and what is said above and below it."""

    element: str
    title: str
    note: str


@dataclass(frozen=True)
class Live:
    """One map as a page shows it.

    Args:
        name: Of its element.
        panels: In reading order, two in a row.
        legend: Path, colour, outline and name of each kind.
        phases: Whether rows come before and after adaptation.
    """

    name: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, str, str, str], ...]
    phases: bool


def can_be_live() -> bool:
    """Is bokeh there?"""
    return find_spec("bokeh") is not None


def library() -> str:
    """BokehJS itself, without network and as one script."""
    from bokeh.resources import Resources

    return Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]


def live(maps: Sequence[tuple[str, Map]]) -> tuple[tuple[Live, ...], dict[str, Any]]:
    """Maps under the names of their elements, and what BokehJS is to be given for all of them.

    The same maps give the same values.
    """
    from bokeh.document import Document

    shown, plots = [], []
    pictures: dict[str, int] = {}  # maps of several checkpoints are of the same images
    for name, drawn in maps:
        panels = list(_panels(name, drawn, _source(name, drawn, pictures)))
        kinds = legend_of(drawn.rows)
        legend = tuple(
            (MARKS[i][1], kinds.colour(i), outline(kinds.colour(i)), printable(kind))
            for i, kind in enumerate(kinds.names)
            if kinds.what
        )
        shown.append(Live(name, tuple(p for p, _ in panels), legend, bool(drawn.episodes)))
        plots += [(panel.element, plot) for panel, plot in panels]
    document = Document(title="")
    for _, plot in plots:
        document.add_root(plot)
    roots = {str(plot.id): element for element, plot in plots}
    items = {"docid": "maps", "roots": roots, "root_ids": list(roots)}
    return tuple(shown), _renamed(
        {
            "docs": {"maps": document.to_json(deferred=False)},
            "items": [items],
            "pictures": list(pictures),
        }
    )


def _panels(name: str, drawn: Map, source: ColumnDataSource) -> Iterator[tuple[Panel, Plot]]:
    tasks: Sequence[str] = ("T", "T′") if drawn.episodes else ("",)
    for layout_name, layout in drawn.layouts.items():
        ranges = _ranges(layout)
        for episode in drawn.episodes or (-1,):
            for i, task in enumerate(tasks):
                element = f"{name}-{layout_name}-{max(episode, 0)}-{i}"
                note = layout.distortion.sentence() if i == 0 else _arrows(layout)
                title = (
                    panel_title(drawn, layout_name, episode, task)
                    if drawn.episodes
                    else TITLES[layout_name]
                )
                plot = _plot(drawn, layout_name, (task, episode), source, ranges)
                yield Panel(element, title, note), plot


def _arrows(layout: Layout) -> str:
    told = layout.arrows
    return "" if told is None else f"arrows follow the features: ρ = {told:.2f}"


def _source(name: str, drawn: Map, pictures: dict[str, int]) -> ColumnDataSource:
    """The rows of a map; their pictures by number, and `pictures` told of new ones."""
    from bokeh.models import ColumnDataSource

    rows, plain = drawn.rows, as_plain(drawn, PICTURES)
    places = [pictures.setdefault(one, len(pictures)) for one in plain["pictures"]]
    before = rows.moment == "init"
    kinds = legend_of(rows)
    support = rows.role == "support"
    colours = [kinds.colour(k) if kinds.what else "#7a8590" for k in kinds.kinds.tolist()]
    columns: dict[str, Any] = {
        "id": [printable(str(i)) for i in rows.ids],
        "name": [printable(rows.classes[c]) for c in rows.labels],
        "what": [_what(*row) for row in zip(rows.task, rows.role, rows.moment, strict=True)],
        "picture": [places[record["picture"]] for record in plain["points"]],
        "twin": drawn.twins().tolist(),
        "colour": colours,
        "edge": [outline(colour) for colour in colours],
        "mark": [MARKS[k][0] for k in kinds.kinds.tolist()],
        "fill": np.where(before, 0.0, 0.85).tolist(),
        "size": np.where(support, 13.0, 8.0 if len(rows) < FEW else 6.0).tolist(),
    }
    for layout_name, layout in drawn.layouts.items():
        columns |= {
            f"{layout_name}_{axis}": layout.points[:, i].tolist() for i, axis in enumerate("xy")
        }
    return ColumnDataSource(columns, name=name)


def _what(task: str, role: str, moment: str) -> str:
    """What a row is, in words; nothing in a map of a dataset."""
    when = {"init": "before adaptation", "adapted": "after adaptation"}.get(moment, "")
    return ", ".join(part for part in (task, role, when) if part)


def _ranges(layout: Layout) -> dict[str, Any]:
    """One pair of square axes for every panel of a layout."""
    from bokeh.models import Range1d

    low, high = layout.points.min(axis=0), layout.points.max(axis=0)
    middle, half = (low + high) / 2, 0.56 * float((high - low).max() or 1.0)
    return {
        f"{axis}_range": Range1d(start=float(m - half), end=float(m + half))
        for axis, m in zip("xy", middle, strict=True)
    }


def _plot(
    drawn: Map,
    layout: LayoutName,
    which: tuple[str, int],
    source: ColumnDataSource,
    ranges: dict[str, Any],
) -> Plot:
    from bokeh.models import CDSView, HoverTool, IndexFilter
    from bokeh.plotting import figure

    rows = drawn.rows
    plot = figure(
        **ranges, tools="pan,box_zoom,wheel_zoom,tap,reset,save", toolbar_location="above",
        sizing_mode="stretch_width", aspect_ratio=1, min_border=2, background_fill_color=None,
        border_fill_color=None, outline_line_color=QUIET, outline_line_alpha=0.5, active_scroll=None,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.axis.visible = False
    plot.grid.visible = False
    here = (rows.task == which[0]) & (rows.episode == which[1])
    if drawn.episodes:
        _moves(plot, drawn, layout, here)
    marks = plot.scatter(
        f"{layout}_x", f"{layout}_y", source=source, marker="mark", size="size", line_color="edge",
        line_width=1.4 if len(rows) < FEW else 0.7, fill_color="colour", fill_alpha="fill", nonselection_line_alpha=0.25,
        nonselection_fill_alpha=0, hover_line_color="edge",
        view=CDSView(filter=IndexFilter(indices=np.flatnonzero(here).tolist())),
    )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[marks], tooltips=TOOLTIP, limit=3))
    return plot


def _moves(plot: Plot, drawn: Map, layout: LayoutName, here: np.ndarray[Any, Any]) -> None:
    """A thin line for each image, and an arrow for those of the support set."""
    from bokeh.models import ColumnDataSource
    from bokeh.models.annotations import Arrow, NormalHead

    rows, points = drawn.rows, drawn.layouts[layout].points
    before, after = rows.pairs[here[rows.pairs[:, 0]]].T
    apart = (points[before] != points[after]).any(axis=1)
    support = rows.role[before] == "support"

    def ends(which: np.ndarray[Any, Any]) -> ColumnDataSource:
        x, y = np.stack([points[before[which]], points[after[which]]]).transpose(2, 0, 1)
        return ColumnDataSource(
            {"x0": x[0].tolist(), "y0": y[0].tolist(), "x1": x[1].tolist(), "y1": y[1].tolist()}
        )

    plot.segment(
        "x0", "y0", "x1", "y1", source=ends(apart & ~support), line_color=QUIET, line_width=0.7,
        line_alpha=0.6,
    )  # fmt: skip
    # bokeh's type stubs do not know the names of an arrow's line
    look: dict[str, Any] = {"line_color": QUIET, "line_width": 1.6, "tags": ["line_color=ink"]}
    head = NormalHead(size=9, line_color=None, fill_color=QUIET, tags=["fill_color=ink"])
    plot.add_layout(
        Arrow(
            x_start="x0", y_start="y0", x_end="x1", y_end="y1", source=ends(apart & support),
            end=head, **look,
        )
    )  # fmt: skip


def _renamed(plain: Any) -> Any:
    """Bokeh numbers its models on and on while a process lives; here they begin with one."""
    names: dict[str, str] = {}

    def new(old: str) -> str:
        return names.setdefault(old, f"p{len(names) + 1}")

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(one) for one in node]
        if not isinstance(node, dict):
            return node
        return {
            key: new(one) if key == "id" and _ours(one) else walk(one) for key, one in node.items()
        }

    docs = walk(plain["docs"])
    items = [
        {
            **item,
            "roots": {new(root): element for root, element in item["roots"].items()},
            "root_ids": [new(root) for root in item["root_ids"]],
        }
        for item in plain["items"]
    ]
    return {**plain, "docs": docs, "items": items}


def _ours(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"p\d+", text) is not None
