"""Two pictures over runs: layer by layer, and effect against measured distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..figure_parts import INK, OFF, ON, legend, new_figure, style
from ..verdicts import SESOI
from .evidence import shares_none

CAPTIONS = {
    "layers": "Change of nearest-neighbour accuracy by the features of each layer, on the task "
    "adapted to and on another: means over runs with 95 % intervals for new runs, classes and "
    "episodes; the grey band is too small to count.",
    "distance": "Change of accuracy on another task against its measured distance, from the same "
    "classes to another dataset; hollow marks are tasks that share classes: means over runs with 95 % intervals for new runs, classes and "
    "episodes; the grey band is too small to count.",
}
"""By section; also the pictures' text alternatives."""

LOOKS: Mapping[str, tuple[str, str, Literal["-", "--"]]] = {
    "MAML": (ON, "o", "-"),
    "Meta-SGD": (OFF, "s", "--"),
}

Row = Mapping[str, Any]


def figures(profiles: Mapping[str, Sequence[Row]]) -> dict[str, Figure]:
    """A figure for each section of `CAPTIONS`, made without pyplot."""
    return {"layers": layers(profiles["layers"]), "distance": distance(profiles["distance"])}


def layers(rows: Sequence[Row]) -> Figure:
    """Effects on- and off-task by layer, a curve a learner."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    with style():
        figure = new_figure(2.9)
        for axis, (task, title) in zip(
            figure.subplots(1, 2), (("on", "on the task adapted to"), ("off", "on another task")),
            strict=True,
        ):  # fmt: skip
            for shift, learner in ((-0.08, "MAML"), (0.08, "Meta-SGD")):
                chosen = [r for r in rows if (r["learner"], r["kind"]) == (learner, task)]
                x = [labels.index(r["label"]) + shift for r in chosen]
                _errors(axis, x, chosen, learner)
            axis.set_xticks(range(len(labels)), labels)
            _finish(axis, title)
        figure.axes[0].set_ylabel("change of accuracy, points")
        _key(figure)
    return figure


def distance(rows: Sequence[Row]) -> Figure:
    """The off-task effect against distance; hollow where classes are shared."""
    with style():
        figure = new_figure(3.2)
        axis = figure.subplots()
        for learner in LOOKS:
            for apart in (False, True):
                chosen = [
                    r for r in rows if r["learner"] == learner and shares_none(r["label"]) == apart
                ]
                _errors(axis, [r["distance"] for r in chosen], chosen, learner, filled=apart)
        _finish(axis, "")
        axis.set(xlabel="distance of the other task", ylabel="change of accuracy, points")
        _key(figure, joined=False)
    return figure


def _errors(
    axis: Axes,
    x: Sequence[float],
    rows: Sequence[Row],
    learner: str,
    filled: bool | None = None,
) -> None:
    """Means with intervals, joined unless it is said whether marks are filled."""
    colour, marker, dash = LOOKS[learner]
    value, low, high = (100 * np.array([r[k] for r in rows]) for k in ("value", "low", "high"))
    axis.errorbar(
        x,
        value,
        yerr=[value - low, high - value],
        color=colour,
        marker=marker,
        linestyle=dash if filled is None else "none",
        markerfacecolor="white" if filled is False else colour,
        markersize=5,
        linewidth=1.2,
        capsize=2.5,
    )


def _finish(axis: Axes, title: str) -> None:
    axis.axhline(0, color=INK, linewidth=0.7)
    axis.axhspan(-100 * SESOI, 100 * SESOI, color="0.9", zorder=0)
    axis.set_title(title)
    sns.despine(ax=axis)


def _key(figure: Figure, joined: bool = True) -> None:
    handles = []
    for learner, (colour, marker, dash) in LOOKS.items():
        handle = Line2D([], [], color=colour, marker=marker, markersize=5, label=learner)
        handle.set_linestyle(dash if joined else "none")
        handles.append(handle)
    legend(figure, handles)
