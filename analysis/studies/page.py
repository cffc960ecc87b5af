"""Studies as one self-contained HTML page: question, answer, figures, ledger, meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.files import write_whole
from ..pages import environment, style_sheet
from .section import TOLD, shown
from .study import Study
from .words import RULES, WORDS


def studies_html(studies: Sequence[Study]) -> str:
    """The page as text; nothing in it leads outside."""
    claims = [c for s in studies for c in s.claims]
    counts = ", ".join(
        f"{sum(c.verdict == v for c in claims)} {v.lower()}"
        for v in ("SUPPORTED", "REFUTED", "NOT SHOWN")
    )
    many = f"{len(studies)} papers" if len(studies) > 1 else "one paper"
    return (
        environment()
        .get_template("study.html")
        .render(
            title="Claims, re-run" if len(studies) > 1 else studies[0].title,
            lead=f"{len(claims)} claims of {many}: {counts}.",
            css=style_sheet("report", "study"),
            **TOLD,
            studies=[shown(study) for study in studies],
            words=WORDS,
            rules=RULES,
        )
    )


def write_page(studies: Sequence[Study], folder: Path) -> Path:
    """Write ``studies.html`` whole or not at all.

    Raises:
        MetaprobeError: If the folder cannot be written.
    """
    return write_whole(folder / "studies.html", studies_html(studies).encode())
