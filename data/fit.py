"""Images made to fit an encoder: side and channels, on request and on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import DataError
from .images import LabelledImages

AS_STORED = "as stored"
"""What is said of images that nothing was done to."""


def fit_images(
    data: LabelledImages, shape: tuple[int, int, int], *, resize: bool
) -> tuple[LabelledImages, str]:
    """The images in the shape an encoder takes, and how they got there in words.

    Grey from colour is the ITU-R 601 luma; colour from grey repeats the channel; the
    side changes by Pillow's antialiased bilinear filter.

    Args:
        data: The images.
        shape: `(C, H, W)` of the encoder.
        resize: Whether they may be changed at all.

    Raises:
        DataError: If the shapes differ and `resize` is false.
    """
    if data.shape == shape:
        return data, data.prepared or AS_STORED
    if not resize:
        raise DataError(
            f"{data.name!r} has images of shape {data.shape} and the encoder takes {shape}; "
            "allow it with --resize, which also turns colour to grey or back, or choose other data",
            code="image-shape",
        )
    steps = [data.prepared] if data.prepared else []
    images: NDArray[Any] = data.images
    if images.shape[1] != shape[0]:
        if images.shape[1] == 3 and shape[0] == 1:
            grey = np.tensordot(images, np.array([0.299, 0.587, 0.114]), axes=([1], [0]))
            images = (grey + 0.5 if images.dtype == np.uint8 else grey).astype(images.dtype)[
                :, None
            ]
            steps.append("luma")
        elif images.shape[1] == 1:
            images = np.repeat(images, shape[0], axis=1)
            steps.append("channel repeated")
        else:
            raise DataError(
                f"{data.name!r} has {images.shape[1]} channels and the encoder takes {shape[0]}; "
                "only 3 to 1 and 1 to any are defined",
                code="channels",
            )
    if images.shape[2:] != shape[1:]:
        images = np.stack([[_resized(plane, shape[1:]) for plane in image] for image in images])
        steps.append(f"bilinear {data.shape[1]}x{data.shape[2]} to {shape[1]}x{shape[2]}")
    return replace(data, images=images), ", ".join(steps)


def _resized(plane: NDArray[Any], side: tuple[int, int]) -> NDArray[Any]:
    picture = Image.fromarray(plane)
    return np.asarray(picture.resize((side[1], side[0]), Image.Resampling.BILINEAR), plane.dtype)
