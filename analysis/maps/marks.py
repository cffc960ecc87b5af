"""What the points of a map look like: never colour alone, few colours, images where few.

Ten colours at most (seaborn's ``colorblind``), each with a shape of its own. More classes
than that are drawn by group; more groups than that in one colour, for a legend of a hundred
names helps nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from ...probes.rows import Floats
from ..figure_parts import INK
from .points import Points

COLOURS: tuple[str, ...] = tuple(sns.color_palette("colorblind", 10).as_hex())
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "*")
MOST = len(COLOURS)


@dataclass(frozen=True, eq=False)
class Legend:
    """Which kind each row is of, and what the kinds are called.

    Args:
        kinds: ``(N,)`` positions in `names`.
        names: At most `MOST`, in the dataset's order.
        what: ``"class"``, ``"group"``, or ``""`` where all rows look alike.
    """

    kinds: NDArray[np.int64]
    names: tuple[str, ...]
    what: str

    def colour(self, kind: int) -> str:
        """Of a kind."""
        return COLOURS[kind]

    def shape(self, kind: int) -> str:
        """Of a kind."""
        return SHAPES[kind]


def legend_of(rows: Points) -> Legend:
    """By class if ten colours do, else by group, else all alike."""
    classes = [rows.classes[c] for c in rows.labels]
    groups = [rows.groups[c] for c in rows.labels]
    for what, words in (("class", classes), ("group", groups)):
        order = rows.classes if what == "class" else rows.groups
        there = set(words)
        names = tuple(name for name in dict.fromkeys(order) if name in there)
        if len(names) <= MOST and (what == "class" or len(names) > 1):
            place = {name: i for i, name in enumerate(names)}
            return Legend(np.array([place[w] for w in words]), names, what)
    return Legend(np.zeros(len(rows), dtype=np.int64), ("",), "")


def thumbnail(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image ``(C, H, W)`` as ``(H, W, 3)`` bytes, ink dark on light where it is grey.

    Images of one channel whose background is dark are turned over, so that strokes read as
    ink on paper; colours stay as they are.
    """
    pixels = image if image.dtype == np.uint8 else np.rint(255 * image).astype(np.uint8)
    if pixels.shape[0] == 1:
        grey = pixels[0]
        grey = 255 - grey if np.median(grey) < 128 else grey
        return np.repeat(grey[..., None], 3, axis=-1)
    colour = pixels[:3] if pixels.shape[0] >= 3 else np.repeat(pixels[:1], 3, axis=0)
    return np.moveaxis(colour, 0, -1)


def picture_mark(
    axis: Axes,
    image: NDArray[Any],
    at: Floats,
    colour: str,
    *,
    side: float = 15.0,
    beside: tuple[float, float] = (0.0, 0.0),
) -> AnnotationBbox:
    """An image as a mark, framed in its colour.

    Args:
        axis: Where to.
        image: ``(C, H, W)``.
        at: ``(2,)`` the row's point.
        colour: Of the frame.
        side: In points.
        beside: How far from its point to stand, in points; a thin line then leads to it.
    """
    pixels = thumbnail(image)
    inside = OffsetImage(pixels, zoom=side / max(pixels.shape[:2]), interpolation="antialiased")
    box = AnnotationBbox(
        inside, (float(at[0]), float(at[1])), xybox=beside, boxcoords="offset points", pad=0.08,
        bboxprops={"edgecolor": colour, "linewidth": 1.3, "facecolor": "white"},
        arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "shrinkB": 0},
    )  # fmt: skip
    box.set_zorder(6)
    axis.add_artist(box)
    return box


def scatter(
    axis: Axes, points: Floats, legend: Legend, rows: NDArray[Any], *, size: float, hollow: bool
) -> None:
    """These rows as marks, kind by kind; hollow ones only in outline."""
    for kind in range(len(legend.names)):
        here = rows[legend.kinds[rows] == kind]
        colour = legend.colour(kind) if legend.what else INK
        look: dict[str, Any] = (
            {"facecolors": "none", "edgecolors": colour, "linewidths": 0.8}
            if hollow
            else {"facecolors": colour, "edgecolors": "white", "linewidths": 0.3}
        )
        axis.scatter(
            points[here, 0], points[here, 1], s=size, marker=legend.shape(kind), zorder=3, **look
        )
