"""Images as text: small, for a page that needs no file beside it, and back again as pixels."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...data.errors import DataError
from .marks import thumbnail

SIDES = (64, 48, 32, 24)
"""Sides tried in turn, until all pictures together keep within their bounds."""


def pictures(
    images: Sequence[NDArray[np.uint8] | NDArray[np.float32]], most: int = 3_000_000
) -> list[str]:
    """Images ``(C, H, W)`` as data URIs that keep together within `most` characters if they can.

    Larger ones are made smaller. Grey images are PNG and keep every value, coloured ones JPEG.
    """
    small = [thumbnail(image) for image in images]
    found: list[str] = []
    for side in SIDES:
        found = [_uri(pixels, side) for pixels in small]
        if sum(map(len, found)) <= most:
            break
    return found


def pixels_of(uri: str) -> NDArray[np.uint8]:
    """``(3, H, W)`` of what `pictures` made.

    Raises:
        DataError: ``picture``, if it is none.
    """
    head, _, text = uri.partition(";base64,")
    try:
        if head not in ("data:image/png", "data:image/jpeg"):
            raise ValueError(f"it begins with {head[:24]!r}")
        raw = BytesIO(base64.b64decode(text, validate=True))
        with Image.open(raw, formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > SIDES[0]:
                raise ValueError(f"it has {picture.size[0]} by {picture.size[1]} pixels")
            return np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    except (ValueError, OSError, binascii.Error) as error:
        raise DataError(
            f"a picture of a map cannot be read ({error}); draw the map again", code="picture"
        ) from error


def _uri(pixels: NDArray[np.uint8], side: int) -> str:
    grey = bool((pixels == pixels[..., :1]).all())
    picture = Image.fromarray(pixels[..., 0] if grey else pixels)
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = BytesIO()
    if grey:
        picture.save(out, "PNG", optimize=True)
    else:
        picture.save(out, "JPEG", quality=80)
    kind = "png" if grey else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"
