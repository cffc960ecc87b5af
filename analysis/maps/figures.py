"""The figure of a map: every panel says how far it may be believed.

A dataset has a panel for each layout. Phases have a row for each layout and episode and a
column for each task, T and T′, all on the layout's one pair of axes: hollow before
adaptation, filled after, and an arrow for each image of the support set, from its picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from ...probes.rows import Floats
from ..figure_parts import INK, QUIET, WIDTH, legend, new_figure, short, style
from .layout import LayoutName
from .marks import Legend, legend_of, picture_mark, scatter
from .result import Layout, Map

PICTURES = 60
"""A map of no more images than this draws the images themselves."""

ALONE = 5.4
"""Inches of a layout's side where there is no other beside it."""

TITLES = {"pca": "PCA", "umap": "UMAP"}


def draw(drawn: Map, layouts: Sequence[LayoutName]) -> Figure:
    """The figure of these layouts."""
    with style():
        if drawn.episodes:
            return _phases(drawn, layouts)
        return _dataset(drawn, layouts)


def _dataset(drawn: Map, layouts: Sequence[LayoutName]) -> Figure:
    kinds = legend_of(drawn.rows)
    figure = new_figure(1.55 + min((WIDTH - 0.4) / len(layouts), ALONE))
    axes: Sequence[Axes] = np.atleast_1d(figure.subplots(1, len(layouts))).tolist()
    every = np.arange(len(drawn.rows))
    for axis, name in zip(axes, layouts, strict=True):
        layout = drawn.layouts[name]
        _frame(axis, layout, name)
        _notes(axis, layout)
        if len(every) <= PICTURES:
            _limits(axis, layout.points)
            for row in every:
                colour = kinds.colour(int(kinds.kinds[row])) if kinds.what else INK
                picture_mark(axis, drawn.rows.images[row], layout.points[row], colour, side=15)
        else:
            size = float(np.clip(9000 / len(every), 4, 26))
            scatter(axis, layout.points, kinds, every, size=size, hollow=False)
            _limits(axis, layout.points)
    shown, whole = len(drawn.rows), drawn.rows.whole
    share = (
        f"{shown:,} of {whole:,} images, each class in proportion"
        if shown < whole
        else f"{shown:,} images"
    )
    figure.suptitle(
        f"{short(drawn.checkpoint, 40)} on {short(drawn.data, 30)}/{drawn.split}: {share}",
        fontsize=9.5, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    _legend(figure, kinds, [])
    return figure


def _phases(drawn: Map, layouts: Sequence[LayoutName]) -> Figure:
    kinds = legend_of(drawn.rows)
    lines: list[tuple[LayoutName, int]] = [(name, e) for name in layouts for e in drawn.episodes]
    figure = new_figure(1.3 + 3.75 * len(lines))
    grid = figure.subplots(len(lines), 2, squeeze=False)
    for (name, episode), pair in zip(lines, grid, strict=True):
        layout = drawn.layouts[name]
        for axis, task in zip(pair, ("T", "T′"), strict=True):
            _frame(axis, layout, name)
            _limits(axis, layout.points)
            axis.set_title(panel_title(drawn, name, episode, task))
            _one_task(axis, drawn, layout, kinds, task, episode)
        _notes(pair[0], layout)
        if layout.arrows is not None:
            pair[1].set_xlabel(
                f"arrows follow the features: ρ = {layout.arrows:.2f}\n", color=QUIET, fontsize=7.8
            )
    told = [f"{task} {one.sentence()}" for task, one in drawn.moved.items()]
    figure.suptitle(
        f"{short(drawn.checkpoint, 40)}: features before and after adaptation\n" + "\n".join(told),
        fontsize=8.6, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    moments = [
        Line2D([], [], color=INK, marker="o", markerfacecolor="white", linestyle="none",
               markersize=5, label=r"meta-init $\theta$"),
        Line2D([], [], color=INK, marker="o", linestyle="none", markersize=5,
               label=r"adapted $\theta_T$"),
        Line2D([], [], color=INK, marker=r"$\rightarrow$", linestyle="none", markersize=12,
               label="support image"),
    ]  # fmt: skip
    _legend(figure, kinds, moments)
    return figure


def panel_title(drawn: Map, layout: LayoutName, episode: int, task: str) -> str:
    """What one panel of phases shows."""
    several = f", episode {episode}" if len(drawn.episodes) > 1 else ""
    what = "the task adapted to" if task == "T" else "a task it never saw"
    return f"{TITLES[layout]}{several}: {task}, {what}"


def _one_task(
    axis: Axes, drawn: Map, layout: Layout, kinds: Legend, task: str, episode: int
) -> None:
    rows = drawn.rows
    before, after = rows.pairs.T
    here = (rows.task[before] == task) & (rows.episode[before] == episode)
    before, after = before[here], after[here]
    ends = layout.points[before], layout.points[after]
    axis.plot(*np.stack(ends).transpose(2, 0, 1), color=QUIET, linewidth=0.4, alpha=0.45, zorder=1)
    scatter(axis, layout.points, kinds, before, size=14, hollow=True)
    scatter(axis, layout.points, kinds, after, size=16, hollow=False)
    for i in np.flatnonzero(rows.role[before] == "support"):
        colour = kinds.colour(int(kinds.kinds[before[i]])) if kinds.what else INK
        if not np.array_equal(ends[0][i], ends[1][i]):
            axis.annotate(
                "", xy=ends[1][i], xytext=ends[0][i], zorder=5,
                arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2,
                            "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9},
            )  # fmt: skip
        picture_mark(
            axis, rows.images[before[i]], ends[0][i], colour, beside=_away(ends[1][i] - ends[0][i])
        )


def _away(move: Floats) -> tuple[float, float]:
    """Where a picture stands out of its arrow's way, in points."""
    length = float(np.hypot(*move))
    x, y = (-0.7, 0.7) if length == 0 else (-move[0] / length, -move[1] / length)
    return 19.0 * x, 19.0 * y


def _frame(axis: Axes, layout: Layout, name: str) -> None:
    axis.set_aspect("equal", adjustable="box")
    axis.xaxis.set_major_locator(NullLocator())
    axis.yaxis.set_major_locator(NullLocator())
    for side in axis.spines.values():
        side.set(color=QUIET, linewidth=0.5, alpha=0.6)
    if layout.explained is None:
        how = f", {layout.settings.neighbours} neighbours, seed {layout.settings.seed}"
    else:
        how = f", {100 * sum(layout.explained):.0f} % of variance"
    axis.set_title(TITLES[name] + how)


def _limits(axis: Axes, points: Floats) -> None:
    """Square, so that every panel of a layout has one scale."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, 0.56 * float((high - low).max() or 1.0)
    axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))


def _notes(axis: Axes, layout: Layout) -> None:
    one = layout.distortion
    axis.set_xlabel(
        f"trustworthiness {one.trustworthiness:.2f}, continuity {one.continuity:.2f}\n"
        f"{100 * one.kept:.0f} % of {one.k} neighbours kept (chance {100 * one.chance:.2g} %)",
        color=QUIET, fontsize=7.8,
    )  # fmt: skip


def _legend(figure: Figure, kinds: Legend, more: Sequence[Line2D | Patch]) -> None:
    keys: list[Line2D | Patch] = [
        Line2D(
            [], [], linestyle="none", marker=kinds.shape(i), color=kinds.colour(i), markersize=5,
            label=short(name, 24),
        )
        for i, name in enumerate(kinds.names)
        if kinds.what
    ]  # fmt: skip
    if keys or more:
        legend(figure, [*more, *keys])
