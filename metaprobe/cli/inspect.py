"""`metaprobe inspect`: what a checkpoint holds, without running it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Arch, Json, NoDraw, StateKey, TrustCode

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from ..models.inspect import Inspection


def inspect(
    checkpoint: Annotated[
        str, typer.Argument(help="A checkpoint file or folder, or a shipped one's name.")
    ],
    arch: Arch = None,
    state_key: StateKey = None,
    trust_code: TrustCode = False,
    tensors: Annotated[
        int, typer.Option("--layers", min=0, help="How many layers of each table are shown.")
    ] = 40,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Say what a checkpoint holds: architecture, head, rates, coverage, health, flags.

    Example: metaprobe inspect maml-glyphs-s0
    """
    from ..models.inspect import inspect as run

    found = run(checkpoint, arch=arch, state_key=state_key, trust_code=trust_code)
    if as_json:
        sys.stdout.write(found.to_json() + "\n")
        return
    from rich.console import Console

    Console(highlight=False).print(*_screen(found, tensors), sep="\n")


def _text(words: str, style: str = "") -> Text:
    """Words for the screen; what a stranger called a tensor gives the terminal no orders."""
    from rich.text import Text

    from ..data.errors import printable

    return Text(printable(words), style=style)


def _screen(found: Inspection, most: int) -> list[RenderableType]:
    """A calm page: facts, then the table, then what is wrong."""
    from rich.padding import Padding

    out: list[RenderableType] = [_text(found.path, style="bold"), _facts(found)]
    out.append(_table(found, most))
    if found.layers:
        out.append(_readable(found, most))
    notes = [("Refused", found.refusal, "red")] if found.refusal else []
    notes += [("Flag", sentence, "yellow") for sentence in found.flags]
    for word, sentence, colour in notes:
        line = _text(f"{word}: ", style=f"bold {colour}").append(
            _text(sentence, "default not bold")
        )
        out.append(Padding(line, (0, 0)))
    if not found.unhealthy:
        out.append(_text("No tensor is NaN, infinite, dead, still or repeated.", style="dim"))
    return out


def _facts(found: Inspection) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")

    def say(word: str, *sentences: str) -> None:
        for i, sentence in enumerate(sentences):
            grid.add_row(word if i == 0 else "", _text(sentence))

    values = sum(row.values for row in found.tensors)
    size = sum(row.bytes for row in found.tensors)
    say("File", f"{found.format}, {len(found.tensors)} tensors, {values:,} values, {_size(size)}")
    say("SHA-256", found.sha256)
    say("State", found.chosen + (f"; prefix {found.prefix!r} taken off" if found.prefix else ""))
    say("Network", found.architecture or "unknown")
    if found.image:
        image = " x ".join(map(str, found.image))
        say("Images", f"{image} to {found.embedding_dim} features, norm mode {found.norm}")
    if found.coverage is not None:
        lost = found.missing
        share = 100 * found.coverage if not lost else min(100 * found.coverage, 99.9999)
        say("Coverage", f"{share:.6g} % of the body's values are in the file")
        if lost:
            more = f" and {len(lost) - 8} more" if lost[8:] else ""
            say("Missing", f"{len(lost)}: {', '.join(lost[:8])}{more}")
    say("Evidence", *found.evidence)
    say("Assumed", *found.assumed)
    say("Head", found.head or "none in the file")
    say("Rates", found.rates or "none")
    if found.still:
        say("Stays", f"{len(found.still)} parameters, first {found.still[0]!r}")
    return grid


def _table(found: Inspection, most: int) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ..models.tensor_table import by_layer

    layers = by_layer(found.tensors)
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("In the file", overflow="fold")
    table.add_column("Tensors", overflow="fold")
    table.add_column("Values", justify="right", no_wrap=True)
    table.add_column("Part", no_wrap=True)
    wrong = any(layer["notes"] for layer in layers)
    if wrong:
        table.add_column("Health", overflow="fold")
    for layer in layers[:most]:
        row = [
            _text(layer["layer"]),
            _text(layer["tensors"]),
            _text(f"{layer['values']:,}"),
            _text(layer["part"] or "?", style="" if layer["part"] else "dim"),
        ]
        table.add_row(*row, *([_text(layer["notes"], style="yellow")] if wrong else []))
    if len(layers) > most:
        table.add_row(
            _text(f"… {len(layers) - most} more layers; --layers shows them", style="dim")
        )
    return table


def _readable(found: Inspection, most: int) -> RenderableType:
    """What ``--layer`` takes; of very many layers those of the first two levels."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = list(found.layers)
    if len(rows) > most:
        rows = sorted(rows, key=lambda one: one.name.count("."))[:most]
        kept = {one.name for one in rows}
        rows = [one for one in found.layers if one.name in kept]
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("--layer", overflow="fold")
    table.add_column("Gives", no_wrap=True)
    table.add_column("Pooling", no_wrap=True)
    named = any(one.name in found.layer_names for one in rows)
    if named:
        table.add_column("In the file", overflow="fold")
    for one in rows:
        gives = " x ".join(map(str, one.shape))
        row = [_text(one.name), _text(gives), _text(", ".join(one.pools), style="dim")]
        theirs = found.layer_names.get(one.name, "")
        table.add_row(*row, *([_text(theirs, style="dim")] if named else []))
    if len(found.layers) > len(rows):
        rest = len(found.layers) - len(rows)
        table.add_row(_text(f"… {rest} more layers; --layers shows them", style="dim"))
    return table


def _size(count: int) -> str:
    """Bytes in the unit that reads best."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
