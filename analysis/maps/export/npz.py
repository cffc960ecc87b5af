"""A NumPy archive: `numpy.load` reads it without pickles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ....data.files import write_whole
from ..result import Map


def write(drawn: Map, folder: Path) -> list[Path]:
    """Write ``map.npz``: features, pixels, and every column of the table."""
    table = drawn.table()
    columns: dict[str, Any] = {
        "features": drawn.rows.features,
        "images": drawn.rows.images,
        "pairs": drawn.rows.pairs,
    }
    columns |= {
        str(name): table[name].to_numpy(dtype=str)
        if table[name].dtype.kind not in "iuf"
        else table[name].to_numpy()
        for name in table.columns
    }
    out = io.BytesIO()
    np.savez_compressed(out, **columns)
    return [write_whole(folder / "map.npz", out.getvalue())]
