"""The audit as one HTML file that needs nothing else: no script, no font, no network.

The page reads top-down: the answer in a sentence, the numbers, the figures, learned rates,
floors, how it was measured, provenance, how to repeat. Figures are inline SVG whose colours
are CSS variables, so they follow light and dark. Every string of a checkpoint is escaped.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from .audit_parts import Effect, Interval, RuleUsed
from .result import Audit, AuditSet, as_set
from .wording import (
    EFFECT_ROWS,
    FLOOR_ROWS,
    MEANINGS,
    PHASE_ROWS,
    SIGNS,
    conclusions,
    join,
    percent,
    plain_points,
    points,
    points_interval,
    quantity_name,
    set_cautions,
    share,
    share_interval,
)

__all__ = ["notebook_html", "report_html", "write_report"]

HEAD_ROWS = (("init", "Own head, meta-init"), ("adapted", "Own head, adapted"))
SIDE_BY_SIDE = 3  # more checkpoints than this become rows
CAPTIONS = {
    "phases": "Accuracy before (hollow) and after (filled) adaptation, on the task adapted to and"
    " on other tasks. Left: the whole range, with the floors. Right: close up, bars are 95 %"
    " intervals of each accuracy by itself. Pairing makes the changes far more certain than these"
    " bars suggest: see the next figure.",
    "effects": "Paired changes over the same episodes, with 95 % (thin) and 90 % (thick)"
    " intervals. Within the grey band a change is too small to matter. A hollow mark is"
    " unresolved.",
    "episodes": "How each single episode changed: on-task counted upwards, off-task downwards."
    " One episode can only change by whole queries, so bars stand at exact steps.",
    "rates": "Learned inner-loop rates, tensor by tensor, each scaled to its own height. The"
    " number at the right is the share below zero.",
}


@dataclass(frozen=True)
class Cell:
    """One number of a table, with its interval and verdict as text."""

    value: str = "–"
    interval: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Table:
    """A table of cells: ``rows`` and ``columns`` are (heading, note) pairs."""

    caption: str
    corner: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, str], ...]
    cells: tuple[tuple[Cell, ...], ...]

    def turned(self) -> Table:
        """Rows as columns."""
        flipped = tuple(zip(*self.cells, strict=True))
        return replace(self, columns=self.rows, rows=self.columns, cells=flipped)


def write_report(audits: Audit | AuditSet, out_dir: Path | str) -> Path:
    """Writes ``report.html`` into ``out_dir``, whole or not at all; returns its path."""
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    partial = folder / f".report.{secrets.token_hex(4)}.tmp"
    text = report_html(audits)
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def report_html(audits: Audit | AuditSet) -> str:
    """The whole page as text."""
    from .figures import FIGURES, drawable, svg_text

    together = as_set(audits)
    figures = [
        {
            "name": name,
            "svg": inline_svg(svg_text(FIGURES[name](together)), name),
            "alt": figure_text(name, together),
            "caption": CAPTIONS[name],
        }
        for name in drawable(together)
    ]
    labels = together.labels
    subject = labels[0] if len(labels) == 1 else f"{len(labels)} checkpoints"
    return (
        _environment()
        .get_template("report.html")
        .render(
            **_shared(together),
            css=Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),
            subject=subject,
            cautions=set_cautions(together),
            floors=_turn(_table("Floors", together, FLOOR_ROWS, "floors"), together),
            others=list(_others(together)),
            figures=figures,
            labelled=list(zip(labels, together.audits, strict=True)),
            contrasts=together.contrasts,
            effect_rows=EFFECT_ROWS,
            rules=_rules(together),
            alike=_alike(together),
            commands=_commands(together),
        )
    )


def notebook_html(audits: Audit | AuditSet) -> str:
    """The answer and the numbers as an HTML fragment, for notebooks."""
    return _environment().get_template("notebook.html").render(**_shared(as_set(audits)))


def inline_svg(svg: str, name: str) -> Markup:
    """Matplotlib's SVG made fit for a page: own ids, themed colours, no prolog, no metadata."""
    from .figure_parts import BAND, BOTH, INK, OFF, ON, QUIET

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    colours = {INK: "ink", QUIET: "quiet", BAND: "band", ON: "on", OFF: "off", BOTH: "both"}
    for colour, variable in {**colours, "#ffffff": "card"}.items():
        body = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{variable})", body)
    attributes = f'aria-hidden="true" focusable="false" id="{name}-svg"'
    return Markup(re.sub(r"<svg ", f"<svg {attributes} ", body, count=1))


def figure_text(name: str, audits: AuditSet) -> str:
    """What a figure shows, in words, for those who do not see it."""
    parts = []
    for label, audit in zip(audits.labels, audits.audits, strict=True):
        c, e = audit.cells, audit.effects
        if name == "phases":
            parts.append(
                f"{label}: on-task from {share(c.init_on.value)} to {share(c.adapted_on.value)},"
                f" off-task from {share(c.init_off.value)} to {share(c.adapted_off.value)}"
            )
        elif name == "effects":
            told = ", ".join(
                f"{key} {points(getattr(e, key).value)} {points_interval(getattr(e, key))}"
                f" {getattr(e, key).verdict}"
                for key, _, _ in EFFECT_ROWS
            )
            parts.append(f"{label}: {told}")
        elif name == "episodes":
            told = ", ".join(
                f"{key} rose in {percent(up)} of episodes and fell in {percent(down)}"
                for key, up, down in (_rose_and_fell(key, audit) for key in ("on", "off"))
            )
            parts.append(f"{label}: {told}")
        elif audit.rates is not None:
            told = ", ".join(
                f"{layer.name} {percent(layer.share_negative)}"
                for layer in audit.rates.layers
                if layer.histogram
            )
            parts.append(f"{label}: shares below zero {told}")
    return "; ".join(parts) + "."


def _rose_and_fell(key: str, audit: Audit) -> tuple[str, float, float]:
    differences: Sequence[float] = getattr(audit.per_episode, key)
    n = max(len(differences), 1)
    return key, sum(d > 0 for d in differences) / n, sum(d < 0 for d in differences) / n


def _shared(audits: AuditSet) -> dict[str, Any]:
    """What the page and the notebook fragment both show."""
    head = _table("Accuracy", audits, HEAD_ROWS, "head_accuracy")
    cells = _table("Accuracy", audits, PHASE_ROWS, "cells")
    accuracy = replace(cells, rows=cells.rows + head.rows, cells=cells.cells + head.cells)
    change = _table("Change", audits, EFFECT_ROWS, "effects")
    return {
        "audits": audits,
        "first": audits.audits[0],
        "conclusions": conclusions(audits),
        "accuracy": _turn(accuracy, audits),
        "change": _turn(change, audits),
        "signs": SIGNS,
        "meanings": MEANINGS,
    }


def _turn(table: Table, audits: AuditSet) -> Table:
    return table.turned() if len(audits.audits) > SIDE_BY_SIDE else table


def _table(caption: str, audits: AuditSet, rows: Sequence[tuple[str, ...]], group: str) -> Table:
    """Quantities as rows, checkpoints as columns; rows nobody measured are left out."""
    readings = [getattr(audit, group) for audit in audits.audits]
    return _table_of(caption, audits.labels, rows, readings)


def _table_of(
    caption: str, labels: Sequence[str], rows: Sequence[tuple[str, ...]], readings: Sequence[Any]
) -> Table:
    kept, cells = [], []
    for key, label, *note in rows:
        parts = [getattr(reading, key, None) for reading in readings]
        if any(parts):
            kept.append((label, note[0] if note else ""))
            cells.append(tuple(_cell(part) for part in parts))
    columns = tuple((label, "") for label in labels)
    return Table(caption, "", columns, tuple(kept), tuple(cells))


def _cell(part: Interval | Effect | None) -> Cell:
    if part is None:
        return Cell()
    if isinstance(part, Effect):
        return Cell(points(part.value), points_interval(part), part.verdict)
    return Cell(share(part.value), share_interval(part))


def _others(audits: AuditSet) -> Iterator[tuple[str, Table, Table | None]]:
    """Further readings, each as (title, accuracies, changes): other gallery, layers, probes."""
    for label, audit in zip(audits.labels, audits.audits, strict=True):
        named = {f"layer {name}": reading for name, reading in audit.layers.items()}
        if audit.other_gallery is not None:
            name = "support" if audit.gallery == "fresh" else "fresh"
            named = {f"{name} gallery": audit.other_gallery, **named}
        if named:
            cells = [reading.cells for reading in named.values()]
            effects = [reading.effects for reading in named.values()]
            yield (
                f"{label}: other readings",
                _table_of("Accuracy", list(named), PHASE_ROWS, cells),
                _table_of("Change", list(named), EFFECT_ROWS, effects),
            )
        if audit.probes:
            rows = (("meta_init", "Meta-init"), ("on_task", "On-task"), ("off_task", "Off-task"))
            table = _table_of("Accuracy", list(audit.probes), rows, list(audit.probes.values()))
            yield f"{label}: other probes", table, None


def _rules(audits: AuditSet) -> list[tuple[str, RuleUsed]]:
    """Each inner-loop rule once, with the checkpoints it served."""
    used: dict[RuleUsed, list[str]] = {}
    for label, audit in zip(audits.labels, audits.audits, strict=True):
        used.setdefault(audit.rule, []).append(label)
    return [(join(labels), rule) for rule, labels in used.items()]


def _alike(audits: AuditSet) -> bool:
    """Were all checkpoints measured on the same data and episodes, by the same software?"""
    return len({(a.data, a.episodes, a.environment, a.version) for a in audits.audits}) == 1


def _commands(audits: AuditSet) -> list[str]:
    """The commands as run, or as the settings would have it where none was recorded."""
    commands: dict[str, None] = {}
    for audit in audits.audits:
        commands[audit.run.command or _command(audit)] = None
    return list(commands)


def _command(audit: Audit) -> str:
    e, data, rule = audit.episodes, audit.data, audit.rule
    gallery = audit.gallery if audit.other_gallery is None else "both"
    words: list[object] = [
        "metaprobe",
        "audit",
        audit.checkpoint.path,
        "--data",
        data.name,
        "--split",
    ]
    words += [data.split, "--way", e.way, "--shot", e.shot, "--query", e.query, "--episodes", e.n]
    words += ["--steps", rule.steps, "--gallery", gallery, "--norm", rule.norm, "--seed", e.seed]
    return shlex.join(str(word) for word in words)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        formula=_formula,
        tidy=_tidy,
        share=share,
        points=points,
        plain_points=plain_points,
        percent=percent,
        p_value=lambda p: "–" if p is None else f"{p:.2g}" if p >= 1e-4 else "< 0.0001",
        number=_number,
        quantity_name=quantity_name,
        pretty=lambda x: json.dumps(x, indent=2, ensure_ascii=False),
    )
    return environment


def _number(x: float | None, digits: int = 4) -> str:
    if x is None:
        return "–"
    small = x != 0 and abs(x) < 10 ** (1 - digits)
    return (f"{x:.1e}" if small else f"{x:.{digits}f}").replace("-", "−")


def _formula(text: str) -> Markup:
    """θ_T with its index set low."""
    return Markup(str(escape(text)).replace("θ_T", "θ<sub>T</sub>"))


def _tidy(text: str) -> str:
    """No line break inside ``95 %``, ``0.98 to 1.43`` or ``5-way``."""
    text = re.sub(r" (?=%)|(?<=\d) (?=to [−+\d])|(?<=\d to) (?=[−+\d])", "\u00a0", text)
    return re.sub(r"(?<=\d)-(?=way|shot)", "\u2011", text)
