"""TensorBoard's embedding projector: plain files, no event log.

    tensorboard --logdir map/projector

``vectors.tsv`` holds the features, ``metadata.tsv`` a line for each with a header,
``sprite.png`` the pictures in rows, and ``projector_config.pbtxt`` ties them together.
https://github.com/tensorflow/tensorboard/tree/master/tensorboard/plugins/projector
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image

from ....data.files import write_whole
from ..result import Map
from .cells import picture, tsv_text

LARGEST = 8192
"""Pixels a side that the projector's sprite may have."""

_CONFIG = """embeddings {{
  tensor_name: "features"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
}}
"""


def write(drawn: Map, folder: Path) -> list[Path]:
    """Write the four files."""
    rows = drawn.rows
    vectors = io.StringIO()
    np.savetxt(vectors, rows.features, fmt="%.9g", delimiter="\t")
    table = drawn.table()
    sprite, (width, height) = _sprite(drawn)
    files = {
        "vectors.tsv": vectors.getvalue().encode(),
        "metadata.tsv": tsv_text(
            list(map(str, table.columns)), table.itertuples(index=False)
        ).encode(),
        "sprite.png": sprite,
        "projector_config.pbtxt": _CONFIG.format(width=width, height=height).encode(),
    }
    return [write_whole(folder / name, content) for name, content in files.items()]


def _sprite(drawn: Map) -> tuple[bytes, tuple[int, int]]:
    """All pictures in one, as many to a row as there are rows; shrunk where they must be."""
    images = drawn.rows.images
    side = math.ceil(math.sqrt(len(images)))
    height, width = images.shape[2:]
    shrink = min(1.0, LARGEST / (side * max(height, width)))
    width, height = (max(1, math.floor(shrink * n)) for n in (width, height))
    colour = len(images[0]) in (3, 4)
    sheet = Image.new("RGB" if colour else "L", (side * width, side * height))
    for i, image in enumerate(images):
        one = picture(image)
        if one.size != (width, height):
            one = one.resize((width, height), Image.Resampling.BILINEAR)
        sheet.paste(one, (i % side * width, i // side * height))
    out = io.BytesIO()
    sheet.save(out, format="PNG")
    return out.getvalue(), (width, height)
