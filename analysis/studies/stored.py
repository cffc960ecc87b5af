"""A study read back from its folder, which may be a stranger's.

Nothing in ``study.json`` is believed: its form and sizes are checked, its strings are escaped
where they are shown, and a figure is a PNG of this very folder or an error. ``section.html``
is not read at all.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...data.errors import MetaprobeError
from ..pages import ExtraSection
from .section import LARGEST, Shown, png_uri, section_markup, table_rows
from .study import Claim
from .writing import SCHEMA, figure_stem

MOST_PIXELS = 20_000_000
MOST_DECIMALS = 12

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w .()-]{0,79}$")]
Cell = str | float | int | bool | None


class _Stored(BaseModel):
    """``study.json``, as far as a section shows it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    schema_id: Annotated[Literal["metaprobe.study/1"], Field(alias="schema")]
    name: Name
    title: str
    citation: str
    question: str
    answer: str
    meaning: str
    claims: Annotated[tuple[Claim, ...], Field(min_length=1, max_length=500)]
    tables: dict[str, list[dict[str, Cell]]]
    captions: dict[Name, str]


def study_sections(folders: Sequence[Path]) -> tuple[ExtraSection, ...]:
    """A section for each folder that `metaprobe study NAME --out` wrote.

    Raises:
        MetaprobeError: If one holds no study, or a figure of it is not there or no picture, or
            together they are too large for a page.
    """
    made = []
    for i, folder in enumerate(folders, start=1):
        study = read_study(folder, anchor=f"study-{i}")
        made.append(ExtraSection(f"Study: {study.name}", study.anchor, section_markup(study)))
    size = sum(len(one.html.encode()) for one in made)
    if size > LARGEST:
        raise MetaprobeError(
            f"the studies would add {size / 1e6:.1f} MB to the report; {LARGEST / 1e6:.1f} are "
            "allowed, so include fewer",
            code="too-large",
        )
    return tuple(made)


def read_study(folder: Path, *, anchor: str) -> Shown:
    """A study as a section shows it, from its folder.

    Raises:
        MetaprobeError: If it holds no study, or a figure of it is not there or no picture.
    """
    stored = _read(folder)
    figures = tuple(
        {
            "caption": caption,
            "data": png_uri(_png(folder / f"{figure_stem(stored.name, name)}.png")),
        }
        for name, caption in stored.captions.items()
    )
    tables = tuple(
        (name, table_rows(rows[0] if rows else (), (row.values() for row in rows)))
        for name, rows in stored.tables.items()
    )
    return Shown(
        name=stored.name,
        anchor=anchor,
        title=stored.title,
        citation=stored.citation,
        question=stored.question,
        answer=stored.answer,
        meaning=stored.meaning,
        claims=stored.claims,
        figures=figures,
        tables=tables,
    )


def _read(folder: Path) -> _Stored:
    path = folder / "study.json"
    try:
        raw = _bytes(path)
    except OSError as error:
        below = sorted(p.parent.name for p in folder.glob("*/study.json"))[:5]
        hint = f"; name one of its folders ({', '.join(below)})" if below else ""
        raise MetaprobeError(
            f"{str(folder)!r} holds no study.json ({error.strerror}){hint}; "
            "`metaprobe study NAME --out DIR` writes one",
            code="no-study",
        ) from error
    try:
        stored = _Stored.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise MetaprobeError(
            f"{str(path)!r} is no study of schema {SCHEMA}: {'.'.join(map(str, first['loc']))}: "
            f"{first['msg'].lower()}",
            code="study-schema",
        ) from error
    if any(not 0 <= (c.decimals or 0) <= MOST_DECIMALS for c in stored.claims):
        raise MetaprobeError(
            f"{str(path)!r} asks for more decimals than {MOST_DECIMALS}", code="study-schema"
        )
    return stored


def _png(path: Path) -> bytes:
    """A picture of this folder, opened once to see that it is one."""
    try:
        raw = _bytes(path)
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise MetaprobeError(
                    f"{str(path)!r} has {picture.width} x {picture.height} pixels; "
                    f"{MOST_PIXELS:,} are allowed",
                    code="too-large",
                )
            picture.verify()
    except UnidentifiedImageError as error:
        raise MetaprobeError(f"{str(path)!r} is no PNG picture", code="not-a-picture") from error
    except (OSError, SyntaxError) as error:
        why = getattr(error, "strerror", None) or error
        raise MetaprobeError(
            f"figure {str(path)!r}, of which study.json speaks, cannot be read: {why}; keep what "
            "`metaprobe study --out` wrote together",
            code="missing-file",
        ) from error
    return raw


def _bytes(path: Path) -> bytes:
    """A file's bytes; a link, a device or more than a page holds is refused."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OSError(None, "it is no regular file")
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise OSError(None, f"it has more than {LARGEST:,} bytes")
    return raw
