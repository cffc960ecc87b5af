"""What runs in the child for an Arrow or Parquet file: counted first, then turned into plain values."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..confined import Answer, Blob, serve
from ..errors import DataError


def main() -> None:
    """Read standard input as the job says."""
    serve(read)


def read(content: mmap.mmap | bytes, job: Mapping[str, Any]) -> tuple[Answer, Sequence[Blob]]:
    """The columns asked for.

    Args:
        content: The file.
        job: ``form`` (``parquet`` or ``arrow``), ``columns``, ``most_rows``, ``most`` bytes of
            images, ``where`` for errors.

    Raises:
        DataError: If the file is damaged or holds more than is allowed.
    """
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others reserve more than they use
    import pyarrow

    parquet = job["form"] == "parquet"
    try:
        return _parquet(content, job) if parquet else _arrow(content, job)
    except MemoryError:
        raise
    except (OSError, pyarrow.ArrowException) as error:
        what = "Parquet" if parquet else "Arrow"
        raise DataError(
            f"{job['where']!r} is no {what} file: {str(error)[:200]}", code="unreadable"
        ) from error


def _parquet(content: Any, job: Mapping[str, Any]) -> tuple[Answer, Sequence[Blob]]:
    import pyarrow
    import pyarrow.parquet

    where = job["where"]
    with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(pyarrow.py_buffer(content))) as file:
        _count(file.metadata.num_rows, job)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise DataError(f"{where!r} has two columns of one name", code="duplicate")
        wanted = [name for name in names if name.strip().lower() in job["columns"]]
        table = file.read(columns=wanted, use_threads=False)
        return {"columns": {n: list(map(_word, table.column(n).to_pylist())) for n in wanted}}, ()


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _arrow(content: Any, job: Mapping[str, Any]) -> tuple[Answer, Sequence[Blob]]:
    import pyarrow
    import pyarrow.ipc

    where = job["where"]
    source = pyarrow.BufferReader(pyarrow.py_buffer(content))
    whole = content[:6] == b"ARROW1"
    reader = pyarrow.ipc.open_file(source) if whole else pyarrow.ipc.open_stream(source)
    names = reader.schema.names
    missing = [name for name in job["columns"] if names.count(name) != 1]
    if missing:
        raise DataError(
            f"{where!r} has columns {', '.join(map(repr, names))}, not one {missing[0]!r}",
            code="missing-column",
        )
    rows: list[list[Any]] = []
    blobs: list[bytes] = []
    for batch in _batches(reader, whole):
        _count(len(rows) + batch.num_rows, job)
        batch.validate(full=True)
        columns = (batch.column(name).to_pylist() for name in job["columns"])
        rows += [[_told(cell, blobs) for cell in row] for row in zip(*columns, strict=True)]
        if sum(map(len, blobs)) > job["most"]:
            raise DataError(
                f"{where!r} unpacks to far more than its size; that is refused", code="too-large"
            )
    return {"rows": rows}, blobs


def _batches(reader: Any, whole: bool) -> Iterator[Any]:
    if not whole:
        yield from reader
        return
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _told(cell: Any, blobs: list[bytes]) -> Any:
    """A cell as JSON; bytes are sent behind it."""
    raw = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(raw, bytes):
        blobs.append(raw)
        return {"size": len(raw), "structure": isinstance(cell, dict)}
    if isinstance(cell, dict):
        path = cell.get("path")
        return {"bytes": None, "path": path if isinstance(path, str) else None}
    if cell is None or isinstance(cell, str | int):
        return cell
    return str(cell) if isinstance(cell, float) else {}


def _count(rows: int, job: Mapping[str, Any]) -> None:
    if rows > job["most_rows"]:
        raise DataError(
            f"{job['where']!r} has more than {job['most_rows']:,} rows; give a table of the images "
            "to be read",
            code="too-large",
        )
