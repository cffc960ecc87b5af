"""A study on paper: a ledger for people, JSON for programs, figures in files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...data.errors import printable
from ...data.files import write_whole
from .study import Claim, Study

SCHEMA = "metaprobe.study/1"

HYPHEN = r"(?<![\w.)-])-(?=\d)"
"""A hyphen that stands for a minus: before a number, after none."""

LONG = 20
"""Rows from which a table on a page is folded."""


def study_json(study: Study) -> dict[str, Any]:
    """Everything but the figures' pixels, as plain values."""
    plain = {
        k: getattr(study, k) for k in ("name", "title", "citation", "question", "answer", "meaning")
    }
    return {
        "schema": SCHEMA,
        **plain,
        "claims": [asdict(claim) for claim in study.claims],
        "tables": {n: json.loads(t.to_json(orient="records")) for n, t in study.tables.items()},
        "captions": dict(study.captions),
    }


def study_markdown(study: Study, *, figures: str = "") -> str:
    """The study as a page: question, answer, figure, ledger, tables, meaning.

    Args:
        study: The study.
        figures: Folder of the figures, relative to the page, with a closing slash.
    """
    parts = [f"## {study.title}", f"*{study.citation}*", f"**Question.** {study.question}"]
    parts += [f"**Found here.** {study.answer}"]
    for name in study.figures:
        parts.append(
            f"![{study.captions.get(name, name)}]({figures}{figure_stem(study.name, name)}.svg)"
        )
    head = "| claim | published | measured here | 95 % interval | verdict |\n|---|---|---|---|---|"
    parts.append("\n".join([head, *map(_row, study.claims)]))
    parts.append(
        "\n".join(
            f"- **{c.id}** ({c.source}). Rule: {c.rule}.{' ' + c.note if c.note else ''}"
            for c in study.claims
        )
    )
    parts.append(f"**What it means for an audit.** {study.meaning}")
    parts += [_folded(name, table) for name, table in study.tables.items()]
    return "\n\n".join(parts) + "\n"


def _folded(name: str, table: pd.DataFrame) -> str:
    """A table in full; a long one folded."""
    text = markdown_table(table)
    if len(table) <= LONG:
        return f"### {name}\n\n{text}"
    return f"### {name}\n\n<details><summary>{len(table)} rows</summary>\n\n{text}\n\n</details>"


def markdown_table(table: pd.DataFrame) -> str:
    """A data frame as a Markdown table, numbers to four digits."""
    rows = [[number(v) for v in row] for row in table.itertuples(index=False)]
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_figures(study: Study, folder: Path) -> list[Path]:
    """Write each figure of a study as PNG and SVG."""
    named = {figure_stem(study.name, name): figure for name, figure in study.figures.items()}
    return save_figures(named, folder, salt=study.name)


def save_figures(figures: Mapping[str, Figure], folder: Path, *, salt: str) -> list[Path]:
    """Write figures by the stem of their files as PNG and SVG, the same bytes every time."""
    written = []
    unstamped = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    for stem, figure in figures.items():
        for form, metadata in unstamped.items():
            buffer = io.BytesIO()
            with rc_context({"svg.hashsalt": salt}):
                figure.savefig(buffer, format=form, dpi=160, metadata=metadata)
            written.append(write_whole(folder / f"{stem}.{form}", buffer.getvalue()))
    return written


def figure_stem(study: str, figure: str) -> str:
    """A figure's file, without its ending, as a link can name it."""
    return f"{study}-{figure.replace(' ', '-')}"


def _row(claim: Claim) -> str:
    cells = (
        f"**{claim.id}** {claim.statement}",
        claim_published(claim),
        claim_measured(claim),
        claim_interval(claim),
        f"**{claim.verdict}**",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def claim_published(claim: Claim) -> str:
    """The published value and how it is known, in words."""
    if claim.published is not None:
        return f"{claim.published} ({claim.published_status})"
    return "none: derived here" if claim.published_status == "derived" else "not obtainable"


def claim_measured(claim: Claim) -> str:
    """The measured value, with minus signs before its numbers.

    >>> re.sub(HYPHEN, "−", "slope -0.97 [-1.01, -0.93], error 5e-16, 2020-21, C-B1")
    'slope −0.97 [−1.01, −0.93], error 5e-16, 2020-21, C-B1'
    """
    return re.sub(HYPHEN, "−", claim.measured)


def claim_interval(claim: Claim) -> str:
    """The interval in words; a dash where there is none."""
    if claim.interval is None:
        return "–"
    if claim.decimals is None:
        low, high = (_minus(f"{end:+.4g}") for end in claim.interval)
    else:
        low, high = (signed(end, claim.decimals) for end in claim.interval)
    return f"{low} to {high} {claim.unit}".rstrip()


def signed(value: float, decimals: int = 2) -> str:
    """A number with its sign and fixed decimals.

    >>> signed(-0.094)
    '−0.09'
    """
    return f"{value:+.{decimals}f}".replace("-", "−")


def number(value: Any) -> str:
    """A table's entry, numbers to four digits.

    >>> number(-0.25)
    '−0.25'
    """
    return _minus(f"{value:.4g}") if isinstance(value, float) else str(value)


def _minus(text: str) -> str:
    """A number with a minus sign for the hyphen before it; that of an exponent stays."""
    return f"−{text[1:]}" if text.startswith("-") else text


def ledger(study: Study) -> Group:
    """The ledger for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column, ratio in (("", 1), ("claim", 6), ("published", 4), ("measured", 5)):
        table.add_column(column, ratio=ratio, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for claim in study.claims:
        colour = {"SUPPORTED": "green", "REFUTED": "red"}.get(claim.verdict, "yellow")
        words = (claim.id, claim.statement, claim_published(claim), claim_measured(claim))
        table.add_row(*(Text(printable(w)) for w in words), Text(claim.verdict, style=colour))
    head = Text(f"{study.title}\n", style="bold").append(f"{study.question}\n", style="not bold")
    return Group(head, table, Text(f"\n{printable(study.answer)}"))
