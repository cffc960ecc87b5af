"""What the report is made of: tables of cells, figures fit for a page, figures in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .audit_parts import Effect, Interval
from .number_words import percent, points, points_interval, share, share_interval
from .result import Audit, AuditSet
from .wording import EFFECT_ROWS, PHASE_ROWS

HEAD_ROWS = (("init", "Own head, meta-init"), ("adapted", "Own head, adapted"))
SIDE_BY_SIDE = 3  # more checkpoints than this become rows
CAPTIONS = {
    "phases": "Accuracy before (hollow) and after (filled) adaptation, on the task adapted to and"
    " on other tasks. Left: the whole range, with the floors. Right: close up; thin bars"
    " are 95 % intervals of each accuracy by itself, thick ones those of the paired change, set"
    " where the change would end.",
    "effects": "Paired changes over the same episodes, with 95 % (thin) and 90 % (thick)"
    " intervals. Within the grey band a change is too small to matter. A hollow mark is"
    " unresolved.",
    "episodes": "How each single episode changed: on-task counted upwards, off-task downwards."
    " One episode can only change by whole queries, so bars stand at exact steps.",
    "rates": "Learned inner-loop rates, tensor by tensor, each scaled to its own height;"
    " small tensors are drawn in wider bins. The number at the right is the share below zero.",
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


def turned_for(table: Table, audits: AuditSet) -> Table:
    return table.turned() if len(audits.audits) > SIDE_BY_SIDE else table


def table(caption: str, audits: AuditSet, rows: Sequence[tuple[str, ...]], group: str) -> Table:
    """Quantities as rows, checkpoints as columns; rows nobody measured are left out."""
    readings = [getattr(audit, group) for audit in audits.audits]
    return table_of(caption, audits.labels, rows, readings)


def table_of(
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


def other_readings(audits: AuditSet) -> Iterator[tuple[str, Table, Table | None]]:
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
                table_of("Accuracy", list(named), PHASE_ROWS, cells),
                table_of("Change", list(named), EFFECT_ROWS, effects),
            )
        if audit.probes:
            rows = (("meta_init", "Meta-init"), ("on_task", "On-task"), ("off_task", "Off-task"))
            table = table_of("Accuracy", list(audit.probes), rows, list(audit.probes.values()))
            yield f"{label}: other probes", table, None


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
