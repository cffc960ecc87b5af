"""Comparisons drawn: layer against layer beside their nulls, and the images at odds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from .figure_parts import INK, OFF, ON, QUIET, WIDTH, new_figure, short, style
from .maps.marks import thumbnail
from .similarity import named

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from .comparison import Comparison

SHOWN = 5
"""Neighbours of an image that are shown."""

LEGIBLE = 0.44
"""Inches of a cell that two numbers fit into."""

FLAT = 0.72
"""Inches of a cell that the name of a layer fits below."""

PAIRS = 6
"""Pairs of encoders whose images at odds are shown, so that a page holds them."""


def heat_maps(found: Comparison) -> Figure:
    """For each pair of encoders and measure a map; the null below each value where it fits.

    Yellow is alike, whichever way a measure runs.
    """
    table = found.table()
    measures = list(dict.fromkeys(table["measure"]))
    tallest = max(len(layers) for layers in found.layers)
    across = max(1, min(len(measures), int(0.85 * WIDTH / (LEGIBLE * tallest))))
    cell = 0.85 * WIDTH / (across * tallest)  # inches
    places = [(one, measure) for one in found.agreements for measure in measures]
    lines = sum(-(-len(measures) // across) for _ in found.agreements)
    with style():
        height = min(0.52, max(0.2, cell)) * tallest
        figure = new_figure(lines * ((1.3 if cell >= FLAT else 1.9) + height))
        grid = figure.subplots(lines, across, squeeze=False)
        each = -(-len(measures) // across) * across  # places of a pair, some of them empty
        for axis in grid.flat:
            axis.set_visible(False)
        for n, (one, measure) in enumerate(places):
            pair, at = divmod(n, len(measures))
            axis = grid.flat[pair * each + at]
            axis.set_visible(True)
            here = table[(table.a == one.a) & (table.b == one.b) & (table.measure == measure)]
            _heat_map(axis, here, measure, cell)
            axis.set_xlabel(short(one.b, 40))
            axis.set_ylabel(short(one.a, 24))
        said = "in brackets: the mean of permuted rows"
        if cell < LEGIBLE:
            said = "every value and the mean of permuted rows: in the table"
        figure.supxlabel(f"yellow: alike · {said}", fontsize=7.8, color=QUIET)
    return figure


def _heat_map(axis: Axes, here: pd.DataFrame, measure: str, cell: float) -> None:
    """One pair of encoders by one measure, in cells of so many inches."""
    rows, columns = (list(dict.fromkeys(here[c])) for c in ("layer_a", "layer_b"))
    value, null = (
        here[c].to_numpy(dtype=float).reshape(len(rows), len(columns))
        for c in ("value", "null_mean")
    )
    words: NDArray[np.str_] | bool = cell >= LEGIBLE and np.array(
        [
            [f"{_plain(v)}\n({_plain(n)})" for v, n in zip(vs, ns, strict=True)]
            for vs, ns in zip(value, null, strict=True)
        ]
    )
    declared = named(measure)
    lower = declared.direction == "lower"
    sns.heatmap(
        value, annot=words, fmt="", vmin=0.0, vmax=declared.high if np.isfinite(declared.high) else None,
        cmap="cividis_r" if lower else "cividis", cbar=False,
        annot_kws={"fontsize": 7}, linewidths=0.6 if cell >= LEGIBLE else 0, ax=axis,
        xticklabels=[short(c, 16) for c in columns], yticklabels=[short(r, 16) for r in rows],
    )  # fmt: skip
    axis.set_title(short(declared.title.partition(" (")[0], 30) + (" (0: alike)" if lower else ""))
    axis.tick_params(labelsize=7.5, length=0)
    axis.tick_params(axis="x", rotation=0 if cell >= FLAT else 90)
    axis.tick_params(axis="y", rotation=0)


def disagreements(found: Comparison, many: int = 6) -> Figure:
    """The images whose neighbours differ most, with their nearest under either encoder.

    The first `PAIRS` pairs share the rows, each having two or more. A thick blue frame is an image of the same class, a thin dashed orange one of another.
    """
    pairs, labels = found.agreements[:PAIRS], found.images.labels
    each = max(2, many // len(pairs))
    lines = [
        (one, image, not place) for one in pairs for place, image in enumerate(one.worst(each))
    ]
    heights = [1.35 if first and n else 1.0 for n, (_, _, first) in enumerate(lines)]
    with style():
        figure = new_figure(0.9 + sum(heights) * WIDTH / 14)
        grid = figure.subplots(
            len(lines), 2 * SHOWN + 2, squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for (one, image, first), line in zip(lines, grid, strict=True):
            shown = [image, *one.near[0, image, :SHOWN], -1, *one.near[1, image, :SHOWN]]
            for place, (row, axis) in enumerate(zip(shown, line, strict=True)):
                if row < 0:
                    axis.axis("off")
                    continue
                axis.imshow(thumbnail(found.images.images[row]), interpolation="nearest")
                axis.set_anchor("S")
                axis.set_xticks([])
                axis.set_yticks([])
                same = labels[row] == labels[image]
                for side in axis.spines.values():
                    side.set(
                        visible=True, linewidth=2.2 if same else 1.1, capstyle="butt",
                        color=INK if not place else ON if same else OFF,
                        linestyle="-" if same else (0, (3, 2)),
                    )  # fmt: skip
            line[0].set_ylabel(
                f"{100 * one.kept[image]:.0f} %", rotation=0, ha="right", va="center", fontsize=7.5
            )
            for place, name in ((1, one.a), (SHOWN + 2, one.b)) if first else ():
                heading = line[place].annotate(
                    f"nearest by {short(name, 60)}", (0, 1), (0, 8), xycoords="axes fraction",
                    textcoords="offset points", fontsize=8, fontweight="bold",
                )  # fmt: skip
                heading.set_in_layout(False)  # else its column grows as wide as the words
        grid[0, 0].set_title("image", fontsize=8)
        figure.supxlabel(
            f"left: share of {found.k} neighbours both name · thick blue: same class · thin dashed "
            "orange: another",
            fontsize=7.8, color=QUIET,
        )  # fmt: skip
    return figure


def _plain(value: float) -> str:
    """Two digits, and no zero with a sign."""
    return f"{value + 0.0 if abs(value) >= 0.005 else 0.0:.2f}".replace("-", "−")
