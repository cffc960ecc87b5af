"""What the figures are drawn with: palette, manners, and one function per kind of mark.

On-task is always a blue circle and a solid line, off-task an orange square and a dashed line,
so nothing rests on colour alone and a greyscale print still reads. Colours are Okabe and
Ito's (2008), safe for the common kinds of colour blindness.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .audit_parts import Effect, Share
from .result import Audit, AuditSet
from .wording import FLOOR_ROWS

INK, QUIET, BAND = "#24292f", "#6e7781", "#d8dee4"
ON, OFF, BOTH = "#0072b2", "#d55e00", "#00795a"
MARKERS = MappingProxyType({"on": "o", "off": "s", "interaction": "D"})
COLOURS = MappingProxyType({"on": ON, "off": OFF, "interaction": BOTH})
FLOOR_LINES: Mapping[str, Any] = MappingProxyType(
    {"untrained": "--", "pixels": ":", "shuffled_labels": "-."}
)
WIDTH = 8.0  # inches
STEPS = [1, 2, 2.5, 5, 10]
FORMULAS = MappingProxyType(
    {
        "on": r"$\theta_T - \theta$ on T",
        "off": r"$\theta_T - \theta$ on T′",
        "interaction": "off − on",
    }
)

STYLE: dict[Any, Any] = {
    **sns.axes_style("ticks"),
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "svg.hashsalt": "metaprobe",
}


@contextmanager
def style() -> Iterator[None]:
    """The figures' own settings, whatever the user's are, restored afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        # A name in a script the font lacks is drawn as boxes; that is no reason to complain.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, whether pyplot was imported or not."""

    def _repr_png_(self) -> bytes:
        from .figure_files import figure_bytes

        return figure_bytes(self, "png", 100)


def new_figure(height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06, wspace=0.04, hspace=0.04)
    figure = ShownFigure(figsize=(WIDTH, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def short(label: str, most: int = 22) -> str:
    """A label in at most two lines of ``most`` characters, its ends kept, its middle not."""
    lines = textwrap.wrap(label, most) or [""]
    if len(lines) > 2:
        lines = [label[: most - 1] + "…", label[-most:]]
    # A dollar sign would start mathematics.
    return "\n".join(lines).replace("$", r"\$")


def checkpoint_rows(axis: Axes, labels: Sequence[str]) -> None:
    axis.set_yticks(range(len(labels)), [short(label) for label in labels])
    axis.set_ylim(len(labels) - 0.5, -0.5)
    for row in range(1, len(labels)):
        axis.axhline(row - 0.5, color=BAND, linewidth=0.8, zorder=0)
    sns.despine(ax=axis, left=True)


def four_cells(audit: Audit) -> list[Share]:
    cells = audit.cells
    return [cells.init_on, cells.adapted_on, cells.init_off, cells.adapted_off]


def dumbbell(axis: Axes, audit: Audit, key: str, y: float, *, bars: bool = True) -> None:
    """Hollow at meta-init, filled when adapted, joined by a line.

    With ``bars``, a thin interval of each accuracy, and a thick one of the paired change, which
    stands where the change would end if it began at the hollow mark.
    """
    start, end = getattr(audit.cells, f"init_{key}"), getattr(audit.cells, f"adapted_{key}")
    colour, marker = COLOURS[key], MARKERS[key]
    line = "-" if key == "on" else (0, (4, 2))
    size = 6.5 if bars else 4.5
    shifts = (-0.09, 0.09) if bars else (0.0, 0.0)
    for share, shift, fill in zip((start, end), shifts, ("white", colour), strict=True):
        if bars:
            interval = [share.ci_low, share.ci_high]
            axis.plot(interval, [y + shift] * 2, color=colour, linewidth=1, alpha=0.8)
        axis.plot(
            share.value, y + shift, marker, color=colour, markerfacecolor=fill,
            markersize=size, markeredgewidth=1.2, zorder=3,
        )  # fmt: skip
    if bars:
        change = getattr(audit.effects, key)
        ends = [start.value + change.ci_low, start.value + change.ci_high]
        axis.plot(ends, [y + shifts[1]] * 2, color=colour, linewidth=3.2, solid_capstyle="butt")
    axis.plot(
        [start.value, end.value], [y + shift for shift in shifts], linestyle=line, color=colour,
        linewidth=1.3, zorder=2,
    )  # fmt: skip


def floor_lines(axis: Axes, audit: Audit, row: int) -> None:
    for name, style in FLOOR_LINES.items():
        floor = getattr(audit.floors, name)
        if floor is not None:
            axis.plot(
                [floor.value] * 2,
                [row - 0.4, row + 0.4],
                linestyle=style,
                color=QUIET,
                linewidth=1.1,
            )


def phase_keys(audits: AuditSet) -> list[Line2D | Patch]:
    def key(label: str, colour: str, marker: str = "o", **look: Any) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, label=label, **look)

    keys: list[Line2D | Patch] = [
        key("on-task T", ON, linestyle="-"),
        key("off-task T′", OFF, "s", linestyle=(0, (4, 2))),
        key(r"meta-init $\theta$", INK, markerfacecolor="white", linestyle="none"),
        key(r"adapted $\theta_T$", INK, linestyle="none"),
        Line2D([], [], color=INK, linewidth=1.0, label="95 % interval of the accuracy"),
        Line2D([], [], color=INK, linewidth=3.2, label="95 % interval of the change, paired"),
    ]
    for name, label in FLOOR_ROWS:
        if any(getattr(audit.floors, name) for audit in audits.audits):
            keys.append(
                Line2D([], [], color=QUIET, linestyle=FLOOR_LINES[name], label=label.lower())
            )
    return keys


def forest_row(axis: Axes, effect: Effect, key: str, y: float) -> None:
    colour = COLOURS[key]
    axis.plot(
        [100 * effect.ci_low, 100 * effect.ci_high], [y, y], color=colour, linewidth=1.0, zorder=2
    )
    axis.plot([100 * effect.ci90_low, 100 * effect.ci90_high], [y, y], color=colour, linewidth=2.6,
              solid_capstyle="butt", zorder=2)  # fmt: skip
    settled = effect.verdict != "UNRESOLVED"
    axis.plot(100 * effect.value, y, MARKERS[key], color=colour, markersize=5.5, zorder=3,
              markerfacecolor=colour if settled else "white", markeredgewidth=1.2)  # fmt: skip


def verdict_label(axis: Axes, effect: Effect, y: float) -> None:
    """The verdict above its point, turned inwards near the edge of the panel."""
    low, high = axis.get_xlim()
    across = (100 * effect.value - low) / (high - low)
    side = "left" if across < 0.3 else "right" if across > 0.7 else "center"
    shift = {"left": -6, "center": 0, "right": 6}[side]
    axis.annotate(effect.verdict, (100 * effect.value, y), (shift, 7),
                  textcoords="offset points", ha=side, va="bottom", fontsize=7.2,
                  path_effects=[withStroke(linewidth=2.5, foreground="white")])  # fmt: skip


def episode_bars(axis: Axes, audit: Audit) -> None:
    step = 100 / (audit.episodes.way * audit.episodes.query)
    for key, sign in (("on", 1), ("off", -1)):
        differences = np.asarray(getattr(audit.per_episode, key))
        values, counts = np.unique(np.rint(100 * differences / step), return_counts=True)
        look: dict[str, Any] = (
            {"color": ON}
            if key == "on"
            else {"facecolor": "none", "edgecolor": OFF, "hatch": "////"}
        )
        axis.bar(values * step, sign * counts, width=0.82 * step, linewidth=0.8, **look)
        mean = 100 * float(differences.mean())
        axis.plot([mean, mean], [0, sign * counts.max() * 1.12], color=INK, linewidth=1.2)
    axis.axhline(0, color=INK, linewidth=0.7)
    axis.axvline(0, color=QUIET, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    axis.xaxis.set_major_locator(MaxNLocator(7, steps=STEPS))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):.0f}"))
    sns.despine(ax=axis, left=True)


def legend(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(len(handles), 4),
                  columnspacing=1.6, handlelength=2.2)  # fmt: skip
