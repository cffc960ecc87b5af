"""Figures as files: PNG for slides, SVG for pages, PDF for papers; the same bytes each time."""

from __future__ import annotations

from io import BytesIO
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

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
        figure.savefig(out, format=suffix, dpi=dpi, metadata=FORMATS[suffix], **settings)
    return out.getvalue()


def in_formats(figure: Figure, name: str) -> dict[str, bytes]:
    """A figure as ``NAME.png``, ``NAME.svg`` and ``NAME.pdf``."""
    return {f"{name}.{suffix}": figure_bytes(figure, suffix) for suffix in FORMATS}
