"""An audit in the terminal: one calm table, a sentence or two, and where the files are.

Rows are the phases, columns the checkpoints; when they do not fit side by side the intervals
move below the values, and then the checkpoints go into several tables. Every verdict is a
word and a sign as well as a colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from ..data.errors import printable
from .audit_parts import Effect, Gate, Interval, Rates
from .number_words import percent, plain_points, points, points_interval, share, share_interval
from .result import Audit, AuditSet, as_set
from .wording import (
    EFFECT_ROWS,
    FLOOR_ROWS,
    PHASE_ROWS,
    SIGNS,
    conclusion,
    conclusions,
    contrast_sentence,
    contrasts_summary,
    set_cautions,
)

__all__ = ["AuditView", "conclusion", "show"]

COLOURS = {
    "RAISED": "bold green",
    "LOWERED": "bold red",
    "TRACE+": "green",
    "TRACE−": "red",
    "NO MATERIAL CHANGE": "blue",
    "UNRESOLVED": "yellow",
}
# For consoles that cannot write beyond ASCII.
ASCII = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "\u00a0": " ",
        "▲": "^",
        "▼": "v",
        "△": "^",
        "▽": "v",
        "θ": "th",
        "′": "'",
        "±": "+/-",
        "…": "~",
    }
)
HEAD_ROWS = (("init", "Own head, meta-init"), ("adapted", "Own head, adapted"))
WIDEST = 120
GAP = 2
MOST_CONTRASTS = 4
WIDE_CELL, NARROW_CELL = 22, 14


@dataclass(frozen=True)
class AuditView:
    """One or several audits as a rich renderable.

    Args:
        result: What to show.
        files: Written files and folders to list at the end.
    """

    result: Audit | AuditSet
    files: Sequence[Path] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        audits = as_set(self.result)
        width = min(options.max_width, WIDEST)
        if options.ascii_only:
            yield from _ascii(Group(*self._parts(audits, width)), console, options)
        else:
            yield from self._parts(audits, width)

    def _parts(self, audits: AuditSet, width: int) -> Iterator[Table | Text]:
        yield _title(audits, width)
        stacked, columns, cell = _layout(audits, width)
        for start in range(0, len(audits.audits), columns):
            which = range(start, min(start + columns, len(audits.audits)))
            yield _table(audits, which, stacked, cell)
        yield from _sentences(audits, width)
        if audits.gates:
            yield Text("\nGates", style="bold")
            yield from (_gate(gate, len(audits.audits) > 1, width) for gate in audits.gates)
        if self.files:
            yield Text("\nFiles", style="bold")
            for path in self.files:
                yield Text(f"  {path}{'/' if path.is_dir() else ''}", overflow="fold")


def show(
    result: Audit | AuditSet, *, files: Sequence[Path] = (), console: Console | None = None
) -> None:
    """Prints the audit for a person (to standard output unless a console is given)."""
    (console or Console()).print(AuditView(result, files))


def _title(audits: AuditSet, width: int) -> Text:
    first = audits.audits[0]
    e, data = first.episodes, first.data
    text = Text("What adaptation did to the features", style="bold")
    other = first.other_data
    far = "" if other is None else f"; T′ from {other.name}/{other.split}"
    how = (
        f"{data.name}/{data.split}{far}, {e.n:,} paired episodes, {e.way}-way {e.shot}-shot,"
        f" {e.query} queries a class, {first.gallery} gallery; brackets are 95 % intervals"
    )
    return text.append("\n" + _fill(how, width), style="not bold dim")


def _layout(audits: AuditSet, width: int) -> tuple[bool, int, int]:
    """Are intervals below the values, how many checkpoints stand side by side, how wide each?"""
    n = len(audits.audits)
    if 34 + n * (WIDE_CELL + GAP + 1) <= width:
        return False, n, WIDE_CELL
    room = width - 24
    columns = max(1, min(n, room // (NARROW_CELL + GAP + 1)))
    longest = max(len(label) for label in audits.labels)
    cell = max(NARROW_CELL, min(longest, WIDE_CELL, room // columns - GAP - 1))
    return True, columns, cell


def _table(audits: AuditSet, which: range, stacked: bool, cell: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for i in which:
        table.add_column(Text(fill(audits.labels[i], cell)), width=cell)
    kept = [audits.audits[i] for i in which]

    def section(title: str, unit: str) -> None:
        table.add_row(Text.assemble((title, "bold"), (f"  {unit}", "dim")))

    section("Accuracy", "share")
    for key, label, formula in PHASE_ROWS:
        values = [_share(getattr(audit.cells, key), stacked) for audit in kept]
        table.add_row(_label(label, "" if stacked else formula), *values)
    table.add_section()
    section("Change", "points")
    for key, label, formula in EFFECT_ROWS:
        values = [_effect(getattr(audit.effects, key), stacked) for audit in kept]
        table.add_row(_label(label, "" if stacked else formula), *values)
    table.add_section()
    section("To compare", "share")
    for name, label in FLOOR_ROWS:
        floors = [getattr(audit.floors, name) for audit in kept]
        if any(floors):
            table.add_row(f"  {label}", *(_share(floor, stacked) for floor in floors))
    for name, label in HEAD_ROWS:
        heads = [getattr(audit.head_accuracy, name, None) for audit in kept]
        if any(heads):
            table.add_row(f"  {label}", *(_share(head, stacked) for head in heads))
    if any(audit.rates for audit in kept):
        table.add_section()
        section("Learned rates", "live")
        table.add_row("  Below zero", *(_below_zero(audit.rates) for audit in kept))
    return table


def _below_zero(rates: Rates | None) -> Text:
    if rates is None:
        return Text("–", style="dim")
    unused = f"\n{rates.overall.dead:,} dead" if rates.overall.dead else ""
    return Text.assemble(percent(rates.overall.share_negative), (unused, "dim"))


def _label(label: str, formula: str) -> Text:
    return Text.assemble(f"  {label}", (f"  {formula}", "dim"))


def _share(value: Interval | None, stacked: bool) -> Text:
    if value is None:
        return Text("–", style="dim")
    gap = "\n" if stacked else " "
    return Text.assemble(share(value.value), (gap + share_interval(value), "dim"))


def _effect(effect: Effect, stacked: bool) -> Text:
    gap = "\n" if stacked else " "
    return Text.assemble(
        points(effect.value),
        (gap + points_interval(effect), "dim"),
        "\n",
        (f"{SIGNS[effect.verdict]} {effect.verdict}", COLOURS[effect.verdict]),
    )


def _sentences(audits: AuditSet, width: int) -> Iterator[Text]:
    several = len(audits.audits) > 1
    for label, sentence in conclusions(audits):
        lead = f"{label}: " if several else ""
        yield _paragraph(lead, sentence, width, "bold", end="\n" if several else "")
    if len(audits.contrasts) <= MOST_CONTRASTS:
        for contrast in audits.contrasts:
            yield _paragraph("", contrast_sentence(contrast), width)
    else:
        yield _paragraph("", contrasts_summary(audits), width)
    sesoi = sorted({plain_points(audit.sesoi) for audit in audits.audits})
    units = (
        "Points are percentage points of nearest-neighbour accuracy; a change under"
        f" {' or '.join(sesoi)} counts as immaterial."
    )
    yield Text("\n" + _fill(units, width), style="dim")
    for note in set_cautions(audits):
        yield _paragraph("Note: ", note, width, "bold yellow")


def _gate(gate: Gate, several: bool, width: int) -> Text:
    """One line or more: what came of it as a word, and the values it rests on."""
    word = "  passed  " if gate.passed else "  FAILED  "
    whose = f"{gate.checkpoint}: " if several else ""
    told = _fill(printable(whose + gate.sentence), width - len(word))
    text = Text(word + told.replace("\n", "\n" + " " * len(word)))
    text.stylize("green" if gate.passed else "bold red", 0, len(word))
    return text


def _paragraph(lead: str, text: str, width: int, style: str = "", end: str = "") -> Text:
    lines = "\n".join(map(printable, (lead + text).split("\n")))
    paragraph = Text(_fill(lines, width) + end)
    paragraph.stylize(style, 0, len(lead))
    return paragraph


def _fill(text: str, width: int) -> str:
    """Wrapped without parting a number from its % or =, which rich would do."""
    return fill(re.sub(r" (?=[%=])|(?<==) ", "\u00a0", text), width)


def _ascii(group: Group, console: Console, options: ConsoleOptions) -> RenderResult:
    for segment in console.render(group, options):
        yield segment._replace(text=segment.text.translate(ASCII))
