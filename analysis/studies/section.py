"""One study as a section of a page: its own page's, the audit's report's, or anybody's.

The fragment carries its style and its figures with it, leads nowhere outside, runs nothing,
and holds ASCII alone, so that it reads the same in a page of any encoding.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...data.files import write_whole
from ..pages import environment, style_sheet
from .study import Claim, Study
from .words import RULES
from .writing import (
    claim_interval,
    claim_measured,
    claim_published,
    number,
    study_json,
    study_markdown,
    write_figures,
)

LARGEST = 2_000_000
"""Bytes that studies may add to a report, which shall stay below 5 MB."""

TOLD = {"interval": claim_interval, "published": claim_published, "measured": claim_measured}
"""How a template says what a claim holds."""


@dataclass(frozen=True)
class Shown:
    """A study as a section shows it: every value a string, every picture a data URI."""

    name: str
    anchor: str
    title: str
    citation: str
    question: str
    answer: str
    meaning: str
    claims: tuple[Claim, ...]
    figures: tuple[Mapping[str, str], ...]
    tables: tuple[tuple[str, Mapping[str, Any]], ...]


def shown(study: Study) -> Shown:
    """A study that was just run."""
    return Shown(
        **{w: getattr(study, w) for w in ("name", "title", "citation", "question", "answer")},
        anchor=study.name,
        meaning=study.meaning,
        claims=study.claims,
        figures=tuple(
            {"caption": study.captions.get(name, name), "data": png_uri(_png(figure))}
            for name, figure in study.figures.items()
        ),
        tables=tuple(
            (name, table_rows(map(str, table.columns), table.itertuples(index=False)))
            for name, table in study.tables.items()
        ),
    )


def section_html(study: Study) -> str:
    """A study as a fragment that any page can include, in ASCII."""
    made = environment().get_template("study_fragment.html")
    page = made.render(css=style_sheet("fragment", "study"), **context(shown(study)))
    return page.encode("ascii", "xmlcharrefreplace").decode()


def section_markup(study: Shown) -> Markup:
    """A study as a section of the audit's report, whose style knows it."""
    made = environment().get_template("study_section.html")
    return Markup(made.render(**{**context(study), "apart": True}))


def write_study(study: Study, folder: Path) -> list[Path]:
    """Write ``study.json``, a page, ``section.html`` and the figures of a study into a folder.

    Raises:
        MetaprobeError: If the folder cannot be written.
    """
    text = json.dumps(study_json(study), indent=2, ensure_ascii=False, allow_nan=False)
    written = [write_whole(folder / "study.json", text.encode() + b"\n")]
    written.append(write_whole(folder / f"{study.name}.md", study_markdown(study).encode()))
    written.append(write_whole(folder / "section.html", section_html(study).encode()))
    return [*written, *write_figures(study, folder)]


def context(study: Shown, *, rules: str = RULES) -> dict[str, Any]:
    """What the template of a section is given."""
    return {**TOLD, "study": study, "rules": rules, "apart": False}


def table_rows(columns: Any, rows: Any) -> dict[str, Any]:
    """A table as a template has it: names of columns, and rows of strings."""
    return {"columns": list(columns), "rows": [[number(v) for v in row] for row in rows]}


def png_uri(png: bytes) -> str:
    """A picture that needs no file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
