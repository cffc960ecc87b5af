"""The figures: the audit's numbers in the right place, nothing overlapping, the same each time."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from metaprobe.analysis.audit_parts import Floors, Histogram, RateLayer, Rates
from metaprobe.analysis.figure_parts import COLOURS, MARKERS, style
from metaprobe.analysis.figures import FIGURES, drawable, save_figures, svg_text
from metaprobe.analysis.result import AuditSet, as_set

from .sample_audit import make_audit, make_section, make_set

SETS = {n: make_set(n, episodes=60) for n in (1, 2, 3, 10)}


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    figure.canvas.draw()
    found = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text().strip()]
    hidden = [a for a in figure.axes if not a.get_visible()]
    ticks = [
        label
        for axes in figure.axes
        for axis, low, high in ((axes.xaxis, *axes.get_xlim()), (axes.yaxis, *axes.get_ylim()))
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(low, high) <= tick.get_loc() <= max(low, high)
    ]
    return [t for t in found if t.get_visible() and t.axes not in hidden and t not in ticks]


def gray(colour: str) -> float:
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("n", [1, 3, 10])
def test_no_text_overlaps_another_or_leaves_the_figure(name: str, n: int) -> None:
    with style():
        figure = FIGURES[name](SETS[n])
        drawn = texts(figure)
        boxes = [text.get_window_extent().padded(-1.5) for text in drawn]
    page = figure.bbox.padded(1)
    for text, box in zip(drawn, boxes, strict=True):
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text
    for (one, a), (other, b) in itertools.combinations(zip(drawn, boxes, strict=True), 2):
        assert not a.overlaps(b), (one, other)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_leaves_no_trace_in_the_plotting_state(name: str) -> None:
    mpl.get_backend()
    before = mpl.rcParams.copy()
    FIGURES[name](SETS[2])
    assert plt.get_fignums() == []
    assert mpl.rcParams == before


def test_a_figure_looks_the_same_whatever_the_user_has_set() -> None:
    plain = svg_text(FIGURES["effects"](SETS[1]))
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "svg.hashsalt": None}):
        assert svg_text(FIGURES["effects"](SETS[1])) == plain


def test_saving_gives_pictures_for_print_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (save_figures(SETS[1], tmp_path / name) for name in "ab")
    assert [p.name for p in first] == [
        f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg", "pdf")
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with Image.open(first[0]) as picture:
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.5)
        assert picture.width == 1600


def test_the_figure_of_every_section_with_numbers_is_a_file_too(tmp_path: Path) -> None:
    silent = make_section().model_copy(update={"lines": ()})
    sections = {"layers": make_section(), "reliability": silent}
    audits = tuple(a.model_copy(update={"sections": sections}) for a in SETS[2].audits)
    written = {p.name for p in save_figures(AuditSet(audits=audits), tmp_path)}
    beyond = written - {p.name for p in save_figures(SETS[2], tmp_path / "plain")}
    assert beyond == {
        f"{name}.{suffix}"
        for name in ("why-layers", "why-layers-2")
        for suffix in ("png", "svg", "pdf")
    }
    with Image.open(tmp_path / "why-layers.png") as picture:
        assert picture.width == 1600
        assert len(picture.convert("L").getcolors() or []) > 20


def test_a_notebook_shows_a_figure_by_itself() -> None:
    figure = make_section().plot()
    picture = figure._repr_png_()  # type: ignore[attr-defined]
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.width == 800
    shown = make_section()._repr_html_()
    assert "<strong>Layers: Where?</strong>" in shown
    assert "<li>There.</li>" in shown
    assert len(make_section().table()) == len(make_section().lines) == 6


def test_a_section_without_numbers_draws_its_sentence() -> None:
    silent = make_section().model_copy(update={"lines": ()})
    assert [t.get_text() for t in texts(silent.plot())] == ["There."]


def test_an_svg_carries_no_date_and_no_version() -> None:
    text = svg_text(FIGURES["effects"](SETS[1]))
    assert "Matplotlib v" not in text.split("</metadata>")[0].split("<metadata>")[-1]
    assert "dc:date" not in text


def test_effects_stand_at_their_values_with_their_intervals() -> None:
    figure = FIGURES["effects"](SETS[3])
    for axis, key in zip(figure.axes, MARKERS, strict=True):
        lines = {tuple(map(float, np.atleast_1d(line.get_xdata()))) for line in axis.get_lines()}
        for audit in SETS[3].audits:
            effect = getattr(audit.effects, key)
            assert (100 * effect.value,) in lines
            assert (100 * effect.ci_low, 100 * effect.ci_high) in lines
            assert (100 * effect.ci90_low, 100 * effect.ci90_high) in lines


def test_the_band_is_the_smallest_effect_of_interest() -> None:
    figure = FIGURES["effects"](SETS[1])
    (band,) = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    x = np.asarray(band.get_paths()[0].vertices)[:, 0]
    assert (x.min(), x.max()) == pytest.approx((-0.25, 0.25))


def test_every_verdict_is_written_beside_its_effect() -> None:
    figure = FIGURES["effects"](SETS[10])
    written = [t.get_text() for t in texts(figure)]
    for audit in SETS[10].audits:
        for _, effect in audit.effects:
            assert effect.verdict in written


def test_phases_stand_at_their_values() -> None:
    close = FIGURES["phases"](SETS[2]).axes[1]
    drawn = {tuple(map(float, np.atleast_1d(line.get_xdata()))) for line in close.get_lines()}
    for audit in SETS[2].audits:
        for key in ("on", "off"):
            start = getattr(audit.cells, f"init_{key}")
            end = getattr(audit.cells, f"adapted_{key}")
            assert (start.value, end.value) in drawn
            assert (start.ci_low, start.ci_high) in drawn
            assert (end.ci_low, end.ci_high) in drawn


def test_bars_count_every_episode_once_each_way() -> None:
    (axis,) = FIGURES["episodes"](SETS[1]).axes
    bars = [bar for bar in axis.patches if isinstance(bar, Rectangle)]
    heights = np.array([bar.get_height() for bar in bars])
    assert heights[heights > 0].sum() == 60
    assert heights[heights < 0].sum() == -60
    steps = np.array([bar.get_x() + bar.get_width() / 2 for bar in bars]) * 75 / 100
    assert np.allclose(steps, np.rint(steps))


def area(vertices: NDArray[np.float64]) -> float:
    x, y = vertices.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))


def test_the_filled_area_below_zero_is_the_share_below_zero() -> None:
    audit = make_audit(episodes=20)
    (axis,) = FIGURES["rates"](as_set(audit)).axes
    fills = [np.asarray(c.get_paths()[0].vertices) for c in axis.collections]
    assert audit.rates is not None
    layers = [layer for layer in audit.rates.layers if layer.histogram]
    for layer, below, above in zip(layers, fills[::2], fills[1::2], strict=True):
        assert below[:, 0].max() == 0 == above[:, 0].min()
        share = area(below) / (area(below) + area(above))
        # The bin around zero is cut in proportion, the true share is not.
        assert share == pytest.approx(layer.share_negative, abs=0.02)


def test_a_small_tensor_is_drawn_in_few_bins_that_keep_its_share() -> None:
    values = np.random.default_rng(3).normal(0.02, 0.05, 32)
    counts, edges = np.histogram(values, bins=60)
    audit = make_audit(episodes=20)
    assert audit.rates is not None
    layer = audit.rates.layers[0].model_copy(
        update={
            "histogram": Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())),
            "share_negative": float((values < 0).mean()),
        }
    )
    rates = Rates(layers=(layer,), overall=audit.rates.overall)
    (axis,) = FIGURES["rates"](as_set(audit.model_copy(update={"rates": rates}))).axes
    below, above = (np.asarray(c.get_paths()[0].vertices) for c in axis.collections)
    assert len(np.unique(np.concatenate([below, above])[:, 0])) <= 15
    share = area(below) / (area(below) + area(above))
    assert share == pytest.approx(layer.share_negative, abs=0.02)


def test_nothing_rests_on_colour_alone() -> None:
    assert len(set(MARKERS.values())) == len(MARKERS)
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert all(gray(colour) < 0.55 for colour in COLOURS.values())


def test_an_adaptation_that_changed_nothing_still_draws() -> None:
    still = as_set(make_audit(on=0, off=0, churn=0, episodes=30, rates=False))
    assert set(still.audits[0].per_episode.on) == {0.0}
    for name in drawable(still):
        FIGURES[name](still).canvas.draw()


def test_an_audit_without_rates_has_no_figure_of_them() -> None:
    bare = as_set(make_audit(rates=False, episodes=20))
    assert drawable(bare) == ("phases", "effects", "episodes")
    FIGURES["rates"](bare).canvas.draw()


def test_one_rate_per_tensor_draws_as_a_stem() -> None:
    histogram = Histogram(edges=(-0.5, 0.0, 0.5), counts=(0, 1))
    layer = RateLayer(
        name="conv1.weight", mean=0.01, sd=0.0, share_negative=0.0, dead=0, size=1,
        g2_weighted_share_negative=0.0, first_order_change=-0.1, cosine=1.0, histogram=histogram,
    )  # fmt: skip
    audit = make_audit(episodes=20)
    assert audit.rates is not None
    rates = Rates(layers=(layer,), overall=audit.rates.overall)
    (axis,) = FIGURES["rates"](as_set(audit.model_copy(update={"rates": rates}))).axes
    assert axis.get_xlim() == pytest.approx((-0.015, 0.015))
    assert not axis.collections


def test_of_very_many_layers_the_largest_are_drawn() -> None:
    audit = make_audit(episodes=20)
    assert audit.rates is not None
    one = audit.rates.layers[0]
    layers = tuple(
        one.model_copy(update={"name": f"layer{i}", "size": 1000 + i}) for i in range(60)
    )
    rates = audit.rates.model_copy(update={"layers": layers})
    (axis,) = FIGURES["rates"](as_set(audit.model_copy(update={"rates": rates}))).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == [f"layer{i}" for i in range(36, 60)]


def test_floors_that_were_not_measured_are_not_drawn() -> None:
    none = Floors(untrained=None, pixels=None, shuffled_labels=None)
    audit = make_audit(episodes=20).model_copy(update={"floors": none})
    figure = FIGURES["phases"](as_set(audit))
    assert "raw pixels" not in [t.get_text() for t in texts(figure)]


@pytest.mark.parametrize("name", ["$\\frac{$", "x" * 300, "日本語", "a-->b", "$ $ _^", ""])
def test_any_name_can_be_drawn(name: str) -> None:
    audits = AuditSet(audits=tuple(make_audit(n, episodes=20) for n in (name, "other")))
    for figure in ("phases", "episodes"):
        svg_text(FIGURES[figure](audits))
