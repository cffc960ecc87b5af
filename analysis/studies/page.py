"""Studies as one self-contained HTML page: question, answer, figures, ledger, meaning."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...data.files import write_whole
from ..pages import environment, style_sheet
from .study import Study
from .words import RULES, WORDS
from .writing import claim_interval, claim_published, number


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
            css=style_sheet(),
            interval=claim_interval,
            published=claim_published,
            studies=[_plain(study) for study in studies],
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


def _plain(study: Study) -> dict[str, Any]:
    figures = [
        {"caption": study.captions.get(name, name), "data": _picture(figure)}
        for name, figure in study.figures.items()
    ]
    tables = [
        (
            name,
            {
                "columns": list(map(str, table.columns)),
                "rows": [[number(v) for v in row] for row in table.itertuples(index=False)],
            },
        )
        for name, table in study.tables.items()
    ]
    words = ("name", "title", "citation", "question", "answer", "meaning", "claims")
    return {**{w: getattr(study, w) for w in words}, "figures": figures, "tables": tables}


def _picture(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
