"""`metaprobe data`: which datasets there are, and what they hold."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, NoDraw, say

app = typer.Typer(help="Datasets: list them, show one.", no_args_is_help=True)


@app.command("list")
def data_list(seed: NoDraw = 0, as_json: Json = False) -> None:
    """List the datasets that need no download.

    Example: metaprobe data list
    """
    from ..data.datasets import BUILT_IN

    say(BUILT_IN, "\n".join(f"{n:8} {', '.join(s)}" for n, s in BUILT_IN.items()), as_json)


@app.command("show")
def data_show(
    name: Annotated[
        str,
        typer.Argument(help="glyphs, digits, a folder, a .npz or .h5 file, or embeddings:FILE."),
    ],
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Show what a dataset holds.

    Example: metaprobe data show glyphs --split test
    """
    from ..data.datasets import open_dataset

    if name.startswith("embeddings:"):
        _show_embeddings(name.removeprefix("embeddings:"), as_json)
        return
    found = open_dataset(name, split)
    groups = {g: found.groups.count(g) for g in dict.fromkeys(found.groups)}
    facts = {
        "name": found.name,
        "split": found.split,
        "images": len(found),
        "shape": list(found.shape),
        "classes": len(found.classes),
        "groups": groups,
        "fingerprint": found.fingerprint,
    }
    text = "\n".join(f"{key:12} {value}" for key, value in facts.items())
    say(facts, text, as_json)


def _show_embeddings(path: str, as_json: bool) -> None:
    from pathlib import Path

    from ..data.foreign import read_embeddings

    rows, notes = read_embeddings(Path(path))
    facts = {
        "name": path,
        "rows": len(rows),
        "dim": rows.dim,
        "classes": len(set(rows.labels.tolist())),
        "notes": list(notes),
    }
    text = "\n".join(f"{key:12} {value}" for key, value in facts.items() if key != "notes")
    say(facts, "\n".join([text, *(f"note: {note}" for note in notes)]), as_json)
