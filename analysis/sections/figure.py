"""A section as a picture: one panel a quantity, curves over steps and layers, rows otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..figure_parts import BOTH, INK, OFF, ON, QUIET, STEPS, legend, new_figure, short, style
from ..maps.plain import from_plain
from .values import Line, Section

Dash = Literal["-", "--", ":"]
Look = tuple[str, str, Dash]
"""Colour, marker and dash of a series."""

TASKS: dict[str, Look] = {"on-task": (ON, "o", "-"), "off-task": (OFF, "s", "--")}
OTHERS = ("o", "s", "D", "^", "v", "P", "X")
DEALT = "rows dealt anew"
ROW = 0.21  # inches of one row and series


def panels(section: Section) -> dict[str, dict[str, list[Line]]]:
    """The lines by panel and series, in order."""
    found: dict[str, dict[str, list[Line]]] = {}
    for line in section.lines:
        title, series = _place(line.group)
        found.setdefault(title, {}).setdefault(series, []).append(line)
    return found


def draw(section: Section) -> Figure:
    """Every panel of a section with lines, as a figure that no global state knows about.

    Of a section with a map it is the map.
    """
    if section.map is not None:
        return from_plain(section.map).plot()
    if not section.lines:
        with style():
            figure = new_figure(1.2)
            figure.text(0.5, 0.5, "\n".join(wrap(section.finding, 90)), ha="center", va="center")
        return figure
    every = panels(section)
    curves = {t: s for t, s in every.items() if _is_curve(s)}
    rows = {t: s for t, s in every.items() if t not in curves}
    across = 2 if len(curves) > 1 else 1
    heights = [2.1] * (-(-len(curves) // across))
    heights += [0.7 + ROW * sum(len(lines) for lines in s.values()) for s in rows.values()]
    with style():
        figure = new_figure(sum(heights) + 0.7)
        grid = figure.add_gridspec(len(heights), across, height_ratios=heights)
        for i, (title, series) in enumerate(curves.items()):
            last = across == 2 and i == len(curves) - 1 and i % 2 == 0
            place = grid[i // across, :] if last else grid[i // across, i % across]
            _curve(figure.add_subplot(place), title, series, section)
        for i, (title, series) in enumerate(rows.items()):
            _rows(figure.add_subplot(grid[len(heights) - len(rows) + i, :]), title, series)
        names = [n for s in every.values() for n in s]
        legend(figure, [_key(n, k) for n, k in _looks(list(dict.fromkeys(names))).items() if n])
    return figure


def described(section: Section) -> str:
    """What the picture shows, in words."""
    shown = [line for line in section.lines if line.value is not None]
    told = [f"{line.group}, {line.label}: {number(line)}" for line in shown[:12]]
    more = f"; and {len(shown) - 12} more, in the table" if len(shown) > 12 else ""
    return f"{section.title}: {section.finding} {'; '.join(told)}{more}."


def number(line: Line) -> str:
    """A line's value as text: effects in percentage points."""
    if line.value is None:
        return "–"
    if line.unit == "points":
        return f"{100 * line.value:+.2f}".replace("-", "−")
    return f"{line.value:.3g}".replace("-", "−")


def ends(line: Line) -> str:
    """Its interval as text."""
    if line.ci_low is None or line.ci_high is None:
        return "–"
    low, high = (
        number(line.model_copy(update={"value": end})) for end in (line.ci_low, line.ci_high)
    )
    return f"{low} to {high}"


def _place(group: str) -> tuple[str, str]:
    """``(panel, series)`` of a group.

    >>> _place("rates times, on-task")
    ('rates times', 'on-task')
    """
    for task in TASKS:
        if group.endswith(task):
            return group.removesuffix(task).rstrip(" ,") or "effect", task
    if group.endswith(DEALT):
        return group.removesuffix(DEALT).rstrip(" ,"), DEALT
    title, _, series = group.partition(" · ")
    return title, series


def _is_curve(series: Mapping[str, Sequence[Line]]) -> bool:
    lines = [line for lines in series.values() for line in lines]
    return all(line.x is not None for line in lines) and not any(
        " " in line.label for line in lines
    )


def _looks(names: Sequence[str]) -> dict[str, Look]:
    """Colour, marker and dash of each series; greys and markers where there are many."""
    rest = [n for n in names if n and n not in TASKS and n != DEALT]
    colours = sns.color_palette("colorblind", max(len(rest), 1)).as_hex()
    looks: dict[str, Look] = {n: (c, OTHERS[i % len(OTHERS)], "-") for i, (n, c) in
             enumerate(zip(rest, colours, strict=False))}  # fmt: skip
    return {n: TASKS.get(n) or ((QUIET, "x", ":") if n == DEALT else looks.get(n, (BOTH, "D", "-")))
            for n in names}  # fmt: skip


def _curve(axis: Axes, title: str, series: Mapping[str, Sequence[Line]], section: Section) -> None:
    looks = _looks(list(series))
    words = False
    for name, lines in series.items():
        colour, marker, dash = looks[name]
        kept = [line for line in lines if line.value is not None]
        x = np.array([line.x for line in kept], dtype=float)
        scale = 100.0 if kept and kept[0].unit == "points" else 1.0
        y = scale * np.array([line.value for line in kept], dtype=float)
        axis.plot(x, y, dash, color=colour, linewidth=1.2)
        open_ = np.array([line.verdict == "UNRESOLVED" for line in kept], dtype=bool)
        for which, face in ((~open_, colour), (open_, "white")):
            if which.any():
                axis.plot(x[which], y[which], marker, markersize=3.5, color=colour,
                          markerfacecolor=face)  # fmt: skip
        if all(line.ci_low is not None for line in kept):
            low, high = (scale * np.array([getattr(line, end) for line in kept], dtype=float)
                         for end in ("ci_low", "ci_high"))  # fmt: skip
            axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        words = words or any(not _is_number(line.label) for line in kept)
    if words:
        first = next(iter(series.values()))
        axis.set_xticks([float(line.x or 0) for line in first],
                        [line.label.removesuffix(":avg") for line in first])  # fmt: skip
        if len(first) > 6:
            axis.tick_params(axis="x", labelrotation=45)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(8, steps=STEPS))
        axis.set_xlabel(section.axis or "")
    lines = next(iter(series.values()))
    if lines[0].unit == "points":
        axis.axhline(0, color=INK, linewidth=0.7)
        axis.set_ylabel("points")
    axis.set_title(title.replace("θ_T", r"$\theta_T$"))
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    sns.despine(ax=axis)


def _rows(axis: Axes, title: str, series: Mapping[str, Sequence[Line]]) -> None:
    looks = _looks(list(series))
    labels = list(dict.fromkeys(line.label for lines in series.values() for line in lines))
    many = len(series)
    for s, (name, lines) in enumerate(series.items()):
        colour, marker, _ = looks[name]
        for line in lines:
            if line.value is None:
                continue
            scale = 100 if line.unit == "points" else 1
            y = labels.index(line.label) + (s - (many - 1) / 2) * min(0.3, 0.75 / many)
            if line.ci_low is not None and line.ci_high is not None:
                axis.plot([scale * line.ci_low, scale * line.ci_high], [y, y], color=colour,
                          linewidth=1.2)  # fmt: skip
            open_ = line.verdict == "UNRESOLVED"
            axis.plot(scale * line.value, y, marker, color=colour, markersize=5,
                      markerfacecolor="white" if open_ else colour)  # fmt: skip
    placed = {line.label: line.x for lines in series.values() for line in lines}
    axis.set_yticks(
        range(len(labels)),
        [short(n if placed[n] is None else f"{n} ({placed[n]:.2f})", 34) for n in labels],
    )
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.axvline(0, color=INK, linewidth=0.7)
    unit = next(iter(series.values()))[0].unit
    axis.set(title=title, xlabel="points" if unit == "points" else "")
    axis.xaxis.set_major_locator(MaxNLocator(7, steps=STEPS))
    sns.despine(ax=axis, left=True)


def _key(name: str, look: Look) -> Line2D:
    colour, marker, dash = look
    line = Line2D([], [], color=colour, marker=marker, markersize=5, label=name)
    line.set_linestyle(dash)
    return line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
