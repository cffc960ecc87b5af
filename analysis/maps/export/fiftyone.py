"""FiftyOne and Spotlight: a table of pictures that lie beside it as PNGs.

    fo.Dataset.from_dir("map/fiftyone", dataset_type=fo.types.CSVDataset)
    spotlight.show(pd.read_parquet("map/fiftyone/samples.parquet"),
                   dtype={"image": spotlight.Image, "features": spotlight.Embedding})

``labels.csv`` names each picture by ``filepath``, relative to ``data/``, as FiftyOne reads it;
each row has a picture of its own, for FiftyOne knows samples by their file. Where pyarrow is
installed ``samples.parquet`` holds the same rows with the features, for Spotlight, whose paths
are relative to the folder one starts it in.
"""

from __future__ import annotations

import io
from pathlib import Path

from ....data.errors import MetaprobeError
from ....data.files import write_whole
from ..result import Map
from .cells import csv_text, png


def write(drawn: Map, folder: Path) -> list[Path]:
    """Write ``data/*.png``, then ``labels.csv`` and, where it can be, ``samples.parquet``."""
    data = folder / "data"
    names = [f"{row:06d}.png" for row in range(len(drawn.rows))]
    try:
        data.mkdir(parents=True, exist_ok=True)
        for name, image in zip(names, drawn.rows.images, strict=True):
            (data / name).write_bytes(png(image))
    except OSError as error:
        raise MetaprobeError(
            f"{str(data)!r} cannot be written: {error.strerror or error}; "
            "choose another place or free space",
            code="cannot-write",
        ) from error
    table = drawn.table().rename(columns={"id": "sample"})  # FiftyOne has an id of its own
    table.insert(0, "filepath", names)
    text = csv_text(list(map(str, table.columns)), table.itertuples(index=False))
    written = [data, write_whole(folder / "labels.csv", text.encode())]
    parquet = _parquet(drawn, names)
    if parquet is not None:
        written.append(write_whole(folder / "samples.parquet", parquet))
    return written


def _parquet(drawn: Map, names: list[str]) -> bytes | None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from .atlas import columns
    except ImportError:
        return None
    rows = drawn.rows
    table = pa.Table.from_pydict(
        {
            "image": [f"data/{name}" for name in names],
            **columns(drawn),
            "features": pa.array(
                list(rows.features), pa.list_(pa.float32(), rows.features.shape[1])
            ),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()
