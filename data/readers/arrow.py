"""Columns of Arrow and Parquet files, by `pyarrow`, which is an optional extra.

Only plain columns are taken: text, numbers, bytes, and structures of them. A file's
own extension types and schema metadata decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import DataError


def parquet_columns(path: Path, wanted: Callable[[str], bool]) -> dict[str, list[Any]]:
    """Columns of a Parquet file as lists, those whose name is wanted.

    Raises:
        DataError: If pyarrow is missing, or the file is damaged.
    """
    pyarrow = _library()
    parquet = import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                raise DataError(f"{str(path)!r} has two columns of one name", code="duplicate")
            columns = [name for name in names if wanted(name)]
            table = file.read(columns=columns, use_threads=False)
            return {name: table.column(name).to_pylist() for name in columns}
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{str(path)!r} is no Parquet file: {error}", code="unreadable") from error


def arrow_rows(path: Path, columns: list[str]) -> Iterator[list[Any]]:
    """Values of the columns named, row by row, of an Arrow stream or Arrow file.

    Raises:
        DataError: If pyarrow is missing, the file is damaged, or a column is not there.
    """
    pyarrow = _library()
    ipc = pyarrow.ipc
    try:
        with pyarrow.OSFile(str(path), "rb") as source:
            whole = source.read(6) == b"ARROW1"
            source.seek(0)
            reader = ipc.open_file(source) if whole else ipc.open_stream(source)
            names = reader.schema.names
            missing = [name for name in columns if names.count(name) != 1]
            if missing:
                raise DataError(
                    f"{str(path)!r} has columns {', '.join(map(repr, names))}, not one "
                    f"{missing[0]!r}",
                    code="missing-column",
                )
            batches = (
                (reader.get_batch(i) for i in range(reader.num_record_batches))
                if whole
                else iter(reader)
            )
            for batch in batches:
                batch.validate(full=True)
                yield from map(
                    list, zip(*(batch.column(c).to_pylist() for c in columns), strict=True)
                )
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{str(path)!r} is no Arrow file: {error}", code="unreadable") from error


def _library() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise DataError(
            "this data is in Arrow or Parquet files, which need pyarrow; "
            "pip install 'metaprobe[arrow]'",
            code="missing-extra",
        ) from error
    return pyarrow
