"""Tables of paths and labels: CSV, TSV or Parquet, columns ``path,label[,split,group]``.

Column names vary (``filename``, ``image``, ``class``, …) and are matched by what
people use. Paths are relative to the table's folder and may not leave it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ..errors import DataError
from ..images import LabelledImages
from .arrow import MOST_ROWS, parquet_columns
from .options import DEFAULT, ReadOptions
from .paths import SPLIT_NAMES, canonical, choose_split, inside, read_text, spellings
from .pictures import Listing, Picture, read_pictures
from .shared import refuse_shared, shared_note

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "filename", "file_name", "file", "filepath", "image", "image_path"),
    "label": ("label", "class", "class_name", "label_name", "category", "target"),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "superclass", "alphabet", "domain"),
}
"""Our name of a column, and what people call it; the first that is there counts."""

LARGEST_TABLE = 512 * 2**20
LONGEST_CELL = 4096
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Args:
        path: As written.
        label: Name of the class.
        split: Empty where the table has no such column.
        group: The same.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""


def read_table(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """Images listed in a table.

    Args:
        path: A ``.csv``, ``.tsv`` or ``.parquet`` file.
        split: Rows of this split; all rows for ``"all"`` and where there is no such column.
        options: How images are read.

    Raises:
        DataError: If the file is no such table, has no such split, or names files outside its
            folder.
    """
    if not path.is_file():
        raise DataError(f"table {str(path)!r} does not exist", code="missing-file")
    rows = whole = table_rows(path)
    words = sorted({row.split for row in rows} - {""})
    if not words:
        split = "all"
    elif split != "all":
        if not {canonical(w) for w in words} & set(map(canonical, spellings(split))):
            raise DataError(
                f"{str(path)!r} has no split {split!r}; it has {', '.join(words)}",
                code="unknown-split",
            )
        rows = [row for row in rows if canonical(row.split) == canonical(split)]
    others = _other_splits(whole, rows)
    root = path.parent.resolve()
    groups: dict[str, str] = {}
    wrong: dict[str, str] = {}
    pictures = []
    places = {text: inside(root, text) for text in {row.path for row in rows}}
    for row in rows:
        place = places[row.path]
        id_ = place.relative_to(root).as_posix()
        pictures.append(Picture(id_, row.label, place))
        if not row.label:
            wrong[id_] = "no label"
        elif row.group and groups.setdefault(row.label, row.group) != row.group:
            wrong[id_] = f"class {row.label!r} in groups {groups[row.label]!r} and {row.group!r}"
    found = read_pictures(Listing(path.stem, split, str(path), pictures, groups, wrong), options)
    return replace(found, notes=(*found.notes, *shared_note(found.classes, others)))


def _other_splits(whole: Sequence[Row], rows: Sequence[Row]) -> dict[str, set[str]]:
    """Classes of the splits that were not asked for."""
    asked = {row.split for row in rows}
    found: dict[str, set[str]] = {}
    for row in whole:
        if row.split and row.split not in asked:
            found.setdefault(row.split, set()).add(row.label)
    return found


def table_rows(path: Path) -> list[Row]:
    """The rows of a table, columns matched by name.

    Raises:
        DataError: If it is no table, or has no path or label column.
    """
    if path.suffix.lower() == ".parquet":
        return list(_matched(*_parquet(path), where=str(path)))
    return csv_rows(read_text(path, most=LARGEST_TABLE), where=str(path))


def csv_rows(text: str, *, where: str) -> list[Row]:
    """The rows of a table in text, separated by commas, semicolons or tabs.

    Raises:
        DataError: If a line has more or fewer cells than the header, a cell is absurdly long, or
            there is no path or label column.

    >>> csv_rows("filename,label\\na.png,cat\\n", where="it")
    [Row(path='a.png', label='cat', split='', group='')]
    """
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    ends = (found[0] for found in LINE.finditer(text))
    lines = csv.reader(ends, delimiter=mark, strict=True)
    try:
        filled = ([cell.strip() for cell in line] for line in lines if any(map(str.strip, line)))
        table = list(islice(filled, MOST_ROWS + 2))
    except csv.Error as error:
        raise DataError(
            f"{where!r} is no table: line {lines.line_num}, {error}", code="unreadable"
        ) from error
    if not table:
        raise DataError(f"{where!r} is an empty table", code="no-classes")
    header, *rows = table
    if len(rows) > MOST_ROWS:
        raise DataError(
            f"{where!r} has more than {MOST_ROWS:,} rows; give a table of the images to be read",
            code="too-large",
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(
                f"{where!r} has {len(row)} cells in row {number} and {len(header)} columns",
                code="shape",
            )
        if max(map(len, row)) > LONGEST_CELL:
            raise DataError(
                f"{where!r} has a cell of more than {LONGEST_CELL} characters in row {number}",
                code="too-large",
            )
    return list(_matched(header, rows, where=where))


def _matched(header: Sequence[str], rows: Sequence[Sequence[str]], *, where: str) -> Iterator[Row]:
    """Rows with their columns found by name."""
    plain = [name.strip().lower() for name in header]
    at: dict[str, int] = {}
    for ours, words in COLUMNS.items():
        found = next((word for word in words if word in plain), None)
        if found is None:
            continue
        if plain.count(found) > 1:
            raise DataError(f"{where!r} has column {found!r} twice", code="duplicate")
        at[ours] = plain.index(found)
    for needed in ("path", "label"):
        if needed not in at:
            raise DataError(
                f"{where!r} has columns {', '.join(map(repr, header))} and none is a {needed}; "
                f"call it one of {', '.join(COLUMNS[needed])}",
                code="missing-column",
            )
    for row in rows:
        yield Row(**{ours: row[i] for ours, i in at.items()})


def _parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a Parquet file, as text."""
    wanted = frozenset(word for words in COLUMNS.values() for word in words)
    columns = parquet_columns(path, wanted)
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def read_split_tables(
    name: str,
    root: Path,
    tables: Mapping[str, Path],
    split: str,
    options: ReadOptions,
    *,
    check: Callable[[Row], str | None] = lambda row: None,
) -> LabelledImages:
    """Images listed in one table a split, files in ``images/`` or beside it.

    Args:
        name: Name of the dataset.
        root: Its folder, resolved.
        tables: The table of each split.
        split: One of them, or ``"all"``.
        options: How images are read.
        check: What a row contradicts itself about, in words.

    Raises:
        DataError: If there is no such split, two splits share a class, or a table names files
            outside the folder.
    """
    words = list(tables) if split == "all" else [choose_split(split, tables, str(root))]
    by_split = {word: table_rows(path) for word, path in tables.items()}
    refuse_shared({w: {row.label for row in its} for w, its in by_split.items()}, str(root))
    rows = [row for word in words for row in by_split[word]]
    pictures = []
    wrong = {}
    for row in rows:
        path = _found(root, row)
        id_ = path.relative_to(root).as_posix()
        pictures.append(Picture(id_, row.label, path))
        problem = "no label" if not row.label else check(row)
        if problem is not None:
            wrong[id_] = problem
    return read_pictures(Listing(name, split, str(root), pictures, wrong=wrong), options)


def split_tables(root: Path) -> dict[str, Path]:
    """The tables ``train.csv``, ``val.csv``, … of a folder, or of its ``split`` folder."""
    for place in (root, root / "split", root / "splits"):
        found = {
            word: place / f"{word}.csv"
            for words in SPLIT_NAMES.values()
            for word in words
            if (place / f"{word}.csv").is_file()
        }
        if found:
            return found
    return {}


def _found(root: Path, row: Row) -> Path:
    """Where a row's file lies: flat, by class, or as written; the first place when nowhere."""
    texts = (f"images/{row.path}", f"images/{row.label}/{row.path}", row.path)
    places = [inside(root, text) for text in texts]
    return next((place for place in places if place.is_file()), places[0])
