"""Embedding Atlas: one Parquet table with the layout, the neighbours and the pictures.

    embedding-atlas map/atlas/map.parquet --x umap_x --y umap_y --neighbors neighbors --image image

| column | holds |
|---|---|
| ``id`` `label` `class` `group` | which image of which class |
| ``task`` ``role`` ``moment`` ``episode`` ``twin`` | in a map of phases: what the row is, and the row of the same image at the other moment |
| ``pca_x`` ``pca_y`` ``umap_x`` ``umap_y`` | where it lies |
| ``vector`` | the features, float32 |
| ``neighbors`` | ``{ids, distances}``: row numbers of its exact nearest neighbours in the features |
| ``image`` | ``{bytes, path}``: a PNG |

https://apple.github.io/embedding-atlas/tool.html
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ....data.errors import MetaprobeError
from ....data.files import write_whole
from ....probes.neighbours import nearest_neighbours
from ..result import Map
from .cells import png, safe_text

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MetaprobeError(
        "an export to Parquet needs pyarrow; install metaprobe[export]", code="extra"
    ) from error

NEIGHBOURS = 15


def write(drawn: Map, folder: Path) -> list[Path]:
    """Write ``map.parquet``."""
    rows = drawn.rows
    metric = next(iter(drawn.layouts.values())).settings.metric
    numbers = np.arange(len(rows))
    near = nearest_neighbours(
        rows.features,
        rows.features,
        min(NEIGHBOURS, len(rows) - 1),
        metric=metric,
        gallery_ids=numbers,
        query_ids=numbers,
        zeros="orthogonal",
    )
    table = pa.Table.from_pydict(
        {
            **columns(drawn),
            "vector": pa.array(list(rows.features), pa.list_(pa.float32(), rows.features.shape[1])),
            "neighbors": [
                {"ids": ids.tolist(), "distances": far.tolist()}
                for ids, far in zip(near.indices, near.distances, strict=True)
            ],
            "image": [{"bytes": png(image), "path": None} for image in rows.images],
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return [write_whole(folder / "map.parquet", out.getvalue())]


def columns(drawn: Map) -> dict[str, object]:
    """The map's table, its words made safe."""
    table = drawn.table()
    return {
        str(name): table[name].to_numpy()
        if table[name].dtype.kind in "iuf"
        else [safe_text(str(word)) for word in table[name]]
        for name in table.columns
    }
