"""Four figures of an audit: the phases, the effects, the episodes, the learned rates.

Each function takes an :class:`AuditSet` and returns a matplotlib ``Figure`` that no global
state knows about. Colours, markers and lines mean the same in all four (``figure_parts.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..data.files import write_together
from .figure_files import figure_bytes, in_formats
from .figure_parts import (
    BAND,
    FORMULAS,
    INK,
    OFF,
    ON,
    QUIET,
    STEPS,
    checkpoint_rows,
    dumbbell,
    episode_bars,
    floor_lines,
    forest_row,
    four_cells,
    legend,
    new_figure,
    phase_keys,
    short,
    style,
    verdict_label,
)
from .rate_densities import drawn_layers, ridge
from .result import AuditSet
from .sections.figure import draw as draw_section
from .wording import EFFECT_ROWS

__all__ = [
    "FIGURES",
    "drawable",
    "effects",
    "episodes",
    "phases",
    "rates",
    "save_figures",
    "svg_text",
]


def phases(audits: AuditSet) -> Figure:
    """The four cells of each checkpoint: in the context of the floors, and close up.

    Left, all of the accuracy range with the floors; right, the cells with 95 % intervals and
    an arrow's worth of line from meta-init (hollow) to adapted (filled).
    """
    n = len(audits.audits)
    with style():
        figure = new_figure(1.35 + 0.72 * n)
        wide, close = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.9])
        for row, audit in enumerate(audits.audits):
            floor_lines(wide, audit, row)
            for key, shift in (("on", -0.19), ("off", 0.19)):
                dumbbell(close, audit, key, row + shift)
                dumbbell(wide, audit, key, row + shift, bars=False)
        checkpoint_rows(wide, audits.labels)
        checkpoint_rows(close, audits.labels)
        low = min([0.0, *(min(x.ci_low for x in four_cells(a)) for a in audits.audits)])
        wide.set(xlim=(low - 0.02, 1.02), title="In context", xlabel="accuracy (share)")
        close.set(title="Close up, with 95 % intervals", xlabel="accuracy (share)")
        close.margins(x=0.06)
        close.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        legend(figure, phase_keys(audits))
    return figure


def effects(audits: AuditSet) -> Figure:
    """Forest plot: each effect with its 95 % (thin) and 90 % (thick) interval and verdict."""
    n = len(audits.audits)
    with style():
        figure = new_figure(1.35 + 0.58 * n)
        axes: Sequence[Axes] = figure.subplots(1, 3, sharex=True, sharey=True)
        for axis, (key, title, _) in zip(axes, EFFECT_ROWS, strict=True):
            axis.axvline(0, color=QUIET, linewidth=0.8, zorder=1)
            for row, audit in enumerate(audits.audits):
                sesoi = 100 * audit.sesoi
                axis.fill_betweenx(
                    [row - 0.5, row + 0.5], -sesoi, sesoi, color=BAND, linewidth=0, zorder=0
                )
                forest_row(axis, getattr(audit.effects, key), key, row)
            checkpoint_rows(axis, audits.labels)
            axis.set_title(title, loc="left", pad=20)
            axis.annotate(
                FORMULAS[key], (0, 1), (0, 5), xycoords="axes fraction",
                textcoords="offset points", color=QUIET, fontsize=8.5,
            )  # fmt: skip
            axis.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        axes[1].set_xlabel("change in percentage points")
        axes[0].margins(x=0.08)
        for axis, (key, _, _) in zip(axes, EFFECT_ROWS, strict=True):
            for row, audit in enumerate(audits.audits):
                verdict_label(axis, getattr(audit.effects, key), row)
        band = Patch(color=BAND, label="too small to matter (± SESOI)")
        ends = [
            Line2D([], [], color=INK, linewidth=2.6, label="90 % interval"),
            Line2D([], [], color=INK, linewidth=1.0, label="95 % interval"),
        ]
        legend(figure, [band, *ends])
    return figure


def episodes(audits: AuditSet) -> Figure:
    """How single episodes changed: on-task counts upwards, off-task counts downwards.

    Differences are multiples of 1 / (way × query), so bars stand at exact values. Counts have a
    scale for each checkpoint: one that changes nothing would flatten all others.
    """
    n = len(audits.audits)
    columns = 1 if n == 1 else 2
    lines = -(-n // columns)
    with style():
        figure = new_figure(1.1 + (2.3 if n == 1 else 1.75) * lines)
        grid = figure.subplots(lines, columns, sharex=True, squeeze=False)
        for axis, audit, label in zip(grid.flat, audits.audits, audits.labels, strict=False):
            episode_bars(axis, audit)
            axis.set_title(short(label, 40))
        for axis in grid.flat[n:]:
            axis.set_visible(False)
        for column, axis in enumerate(grid[-1]):
            if column and n < lines * columns:
                axis = grid[-2, column]
                axis.tick_params(labelbottom=True)
            axis.set_xlabel("change within an episode, percentage points")
        figure.supylabel("episodes", fontsize=9, color=INK)
        legend(
            figure,
            [
                Patch(facecolor=ON, label="on-task (upwards)"),
                Patch(facecolor="none", edgecolor=OFF, hatch="////", label="off-task (downwards)"),
                Line2D([], [], color=INK, linewidth=1.2, label="mean"),
            ],
        )
    return figure


def rates(audits: AuditSet) -> Figure:
    """Densities of the learned rates, layer by layer; the negative side is filled.

    Checkpoints without learned rates are left out; of very many layers the largest are drawn.
    """
    kept = [
        (label, audit)
        for label, audit in zip(audits.labels, audits.audits, strict=True)
        if audit.rates is not None and any(layer.histogram for layer in audit.rates.layers)
    ]
    with style():
        if not kept:
            figure = new_figure(1.2)
            figure.text(0.5, 0.5, "No checkpoint here has learned rates to draw.", ha="center")
            return figure
        columns = min(len(kept), 2)
        lines = -(-len(kept) // columns)
        drawn = [drawn_layers(audit) for _, audit in kept]
        tallest = max(len(layers) for layers in drawn)
        figure = new_figure(0.8 + lines * (0.75 + 0.46 * tallest))
        grid = figure.subplots(lines, columns, squeeze=False)
        for axis, (label, _), layers in zip(grid.flat, kept, drawn, strict=False):
            ridge(axis, layers)
            axis.set_title(short(label, 40))
        for axis in grid.flat[len(kept) :]:
            axis.set_visible(False)
        legend(
            figure,
            [
                Patch(
                    facecolor=OFF, alpha=0.6, hatch="////", edgecolor="white", label="below zero"
                ),
                Patch(facecolor=ON, alpha=0.25, label="above zero"),
                Line2D([], [], color=INK, marker="|", linestyle="none", label="mean"),
            ],
        )
    return figure


FIGURES: Mapping[str, Callable[[AuditSet], Figure]] = MappingProxyType(
    {"phases": phases, "effects": effects, "episodes": episodes, "rates": rates}
)


def drawable(audits: AuditSet) -> tuple[str, ...]:
    """Which of :data:`FIGURES` have something to show for these audits."""
    has_rates = any(a.rates and any(x.histogram for x in a.rates.layers) for a in audits.audits)
    return tuple(name for name in FIGURES if name != "rates" or has_rates)


def save_figures(audits: AuditSet, directory: Path | str) -> list[Path]:
    """Writes every figure as ``NAME.png`` (200 dpi), ``.svg`` and ``.pdf``; see `figure_files`.

    Raises:
        MetaprobeError: The folder cannot be written.
    """
    files = figure_files(audits)
    return write_together({Path(directory) / name: content for name, content in files.items()})


def figure_files(audits: AuditSet) -> dict[str, bytes]:
    """Every figure of the report as ``NAME.png`` (200 dpi), ``.svg`` and ``.pdf``.

    Those of sections are called ``why-SECTION``, and for the second checkpoint and later ones
    ``why-SECTION-2`` and so on, as in the page. The same bytes each time.
    """
    files: dict[str, bytes] = {}
    for name in drawable(audits):
        files |= in_formats(FIGURES[name](audits), name)
    for i, audit in enumerate(audits.audits, start=1):
        for name, section in audit.sections.items():
            if section.lines:
                numbered = f"why-{name}" if i == 1 else f"why-{name}-{i}"
                files |= in_formats(draw_section(section), numbered)
    return files


def svg_text(figure: Figure) -> str:
    """The figure as SVG text, transparent, the same each time."""
    return figure_bytes(figure, "svg", transparent=True).decode()
