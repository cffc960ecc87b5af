"""Figures as files: PNG for slides, SVG for pages, PDF for papers; the same bytes each time."""

from __future__ import annotations

from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from .figure_parts import style

SVG_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

# No date and no version, or a file would differ from one day to the next.
FORMATS = MappingProxyType(
    {
        "png": {"Software": None},
        "svg": SVG_METADATA,
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
)
"""Suffixes, and the metadata that are left out."""


def figure_bytes(figure: Figure, suffix: str, dpi: int = 200, **settings: Any) -> bytes:
    """A figure in one of `FORMATS`; ``dpi`` is that of bitmaps."""
    out = BytesIO()
    with style():
        _settle(figure)
        figure.savefig(out, format=suffix, dpi=dpi, metadata=FORMATS[suffix], **settings)
    return out.getvalue()


def in_formats(figure: Figure, name: str) -> dict[str, bytes]:
    """A figure as ``NAME.png``, ``NAME.svg`` and ``NAME.pdf``."""
    return {f"{name}.{suffix}": figure_bytes(figure, suffix) for suffix in FORMATS}


def _settle(figure: Figure) -> None:
    """Lay out once, for every format.

    The solver of the layout may differ in the last digits from one run to the next.
    """
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for axis in figure.axes:
            place = axis.get_position(original=True).get_points()
            axis.set_position(Bbox(np.round(place, 6)))
