"""Cells and pictures that are safe to open: no line breaks, no formulas, plain PNG."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_text(text: str) -> str:
    """A name that a spreadsheet will not run and no table is broken by.

    Line breaks and tabs become spaces; what a spreadsheet would read as a formula gets an
    apostrophe in front.

    >>> safe_text("=SUM(A1)"), safe_text("a\\tb"), safe_text("cyrillic/0431")
    ("'=SUM(A1)", 'a b', 'cyrillic/0431')
    """
    guard = "'" if text.lstrip(" ").startswith(_FORMULA) else ""
    return guard + re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]", " ", text)


def cell(value: object) -> str:
    """A value as the text of a cell; numbers stay numbers."""
    if isinstance(value, float | np.floating):
        return repr(float(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    return safe_text(str(value))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Comma-separated, quoted where it has to be."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def tsv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Tab-separated, never quoted: there is nothing left to quote."""
    lines = ["\t".join(header), *("\t".join(map(cell, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def picture(image: NDArray[Any]) -> Image.Image:
    """An image ``(C, H, W)`` as it is, grey or in colour."""
    pixels = image if image.dtype == np.uint8 else np.rint(255 * image).astype(np.uint8)
    if len(pixels) in (3, 4):
        return Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels[:3], 0, -1)))
    return Image.fromarray(pixels[0])


def png(image: NDArray[Any]) -> bytes:
    """The same as a PNG."""
    out = io.BytesIO()
    picture(image).save(out, format="PNG")
    return out.getvalue()
