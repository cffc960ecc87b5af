"""What the verbs share: options, the store, progress, and how results are printed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..data.store import Store
    from ..models.encoder import Encoder

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, typer.Option(min=0, help="The only source of randomness.")]
NoDraw = Annotated[
    int, typer.Option("--seed", min=0, help="Taken by every verb; nothing is drawn at random here.")
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="The store's folder [default: the user's cache].")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep embeddings.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Blocks side by side [default: the processors].")
]

Resize = Annotated[
    bool,
    typer.Option("--resize", help="Let images be made to fit: their side, colour to grey or back."),
]

Arch = Annotated[
    str | None,
    typer.Option(
        help="Architecture, if it cannot be guessed: conv4:strided=true, resnet12, timm/NAME, "
        "torchvision/NAME, package.module:factory."
    ),
]
StateKey = Annotated[
    str | None,
    typer.Option("--state-key", help="Which dictionary of a file holds the weights, dotted."),
]
AllowPartial = Annotated[
    bool,
    typer.Option("--allow-partial", help="Let tensors that the file lacks stay random, marked."),
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the code that --arch package.module:… names.")
]


def load(
    sources: list[str],
    arch: str | None,
    state_key: str | None,
    allow_partial: bool,
    trust_code: bool,
) -> list[Encoder]:
    """Encoders from what was named; says aloud when code of the user's runs."""
    from ..models.encoder import load_encoder

    if trust_code and arch is not None:
        typer.echo(f"running your code: {arch}", err=True)
    return [
        load_encoder(
            source,
            arch=arch,
            state_key=state_key,
            allow_partial=allow_partial,
            trust_code=trust_code,
        )
        for source in sources
    ]


SOURCE = "glyphs, digits, a folder, a file, or FORMAT:PATH (see data list)."
"""What ``--data`` takes."""

ImageSize = Annotated[
    int | None,
    typer.Option("--image-size", help="Bring image files to this side: shorter side, centre crop."),
]
MaxUnreadable = Annotated[
    float,
    typer.Option(
        "--max-unreadable", help="Share of image files that may be left out as unreadable."
    ),
]


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_store(cache: Path | None, no_cache: bool) -> Store | None:
    """The store, or one sentence why it cannot be used."""
    from ..data.errors import StoreError
    from ..data.store import Store, default_cache_dir

    if no_cache:
        return None
    store = Store(cache or default_cache_dir())
    problem = store.unwritable()
    if problem is not None:
        what = str(problem).partition("; ")[0]
        raise StoreError(f"{what}; choose another --cache, or --no-cache", code=problem.code)
    return store


def one_of(value: Any, what: str, *allowed: str) -> Any:
    from ..data.errors import MetaprobeError

    if value is not None and value not in allowed:
        raise MetaprobeError(
            f"--{what} {value!r} is unknown; choose {', '.join(allowed)}", code=f"unknown-{what}"
        )
    return value


def say(facts: Any, text: str, as_json: bool) -> None:
    """Print the facts as JSON, which spells out control signs, or the text, whose lines stay lines."""
    from ..data.errors import printable

    shown = "\n".join(map(printable, text.split("\n")))
    typer.echo(json.dumps(facts, allow_nan=False) if as_json else shown)


@contextmanager
def progress(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, one line for each named piece of work."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bars: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    quiet = not console.is_terminal  # a log would only get the empty line at the end
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:

        def tell(name: str, done: int, whole: int) -> None:
            key = name.partition(",")[0]
            if key not in bars:
                what = "images" if name.startswith("reading ") else unit
                bars[key] = progress.add_task(name, total=whole, unit=what)
            progress.update(bars[key], completed=done, description=name)

        yield tell
