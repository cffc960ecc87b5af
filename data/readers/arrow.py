"""Columns of Arrow and Parquet files, read in a child by `pyarrow`, which is an optional extra.

Like HDF5 these are formats of a large library that does what a file tells it to, and a file of
kilobytes can announce gigabytes. What comes back is text, numbers and bytes; a file's own extension
types and schema metadata decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from ..confined import Answer, Read, ask_child, exactly
from ..errors import DataError
from ..private import private_copy

MOST_ROWS = 2_000_000
"""Rows of a table; images of so many, small as they be, fit no memory."""

MOST_GROWTH = 4
"""How many times its own size a file's images may take; they are compressed once, in themselves."""


def parquet_columns(path: Path, wanted: frozenset[str]) -> dict[str, list[Any]]:
    """Columns of a Parquet file as lists, those whose name in lower case is wanted.

    Raises:
        DataError: If pyarrow is missing, or the file is damaged or claims too much.
    """

    def receive(answer: Answer, stream: IO[bytes]) -> dict[str, list[Any]]:
        return {str(name): list(values) for name, values in answer["columns"].items()}

    return _asked(path, {"form": "parquet", "columns": sorted(wanted)}, receive)


def arrow_rows(path: Path, columns: list[str]) -> Iterator[list[Any]]:
    """Values of the columns named, row by row, of an Arrow stream or Arrow file.

    Bytes come as bytes, a structure as a dictionary of its ``bytes`` and ``path``.

    Raises:
        DataError: If pyarrow is missing, the file is damaged or claims too much, or a column is not
            there.
    """

    def receive(answer: Answer, stream: IO[bytes]) -> list[list[Any]]:
        left = int(answer["most"])

        def whole(cell: Any) -> Any:
            nonlocal left
            if not isinstance(cell, dict):
                return cell
            size = cell.get("size")
            if size is None:
                return cell
            left -= size
            if type(size) is not int or size < 0 or left < 0:
                raise ValueError("more bytes than the file can hold")
            raw = bytes(exactly(stream, size))
            return {"bytes": raw, "path": None} if cell.get("structure") else raw

        return [[whole(cell) for cell in row] for row in answer["rows"]]

    yield from _asked(path, {"form": "arrow", "columns": columns}, receive)


def _asked(path: Path, job: dict[str, Any], receive: Callable[[Answer, IO[bytes]], Read]) -> Read:
    """What the child found in a file."""
    if find_spec("pyarrow") is None:
        raise DataError(
            "this data is in Arrow or Parquet files, which need pyarrow; "
            "pip install 'metaprobe[arrow]'",
            code="missing-extra",
        )
    with private_copy(path, refusal=DataError) as file:
        if not file.size:
            raise DataError(
                f"{str(path)!r} is no {job['form'].capitalize()} file: it is empty",
                code="unreadable",
            )
        most = 2**26 + MOST_GROWTH * file.size
        job = {**job, "most_rows": MOST_ROWS, "most": most}
        return ask_child(
            __name__ + "_child",
            job,
            file,
            lambda answer, stream: receive({**answer, "most": most}, stream),
            refusal=DataError,
        )
