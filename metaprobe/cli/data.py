"""`metaprobe data`: which datasets there are, and what they hold."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import SOURCE, ImageSize, Json, MaxUnreadable, NoDraw, progress, say

app = typer.Typer(help="Datasets: list them, show one.", no_args_is_help=True)


@app.command("list")
def data_list(seed: NoDraw = 0, as_json: Json = False) -> None:
    """List the datasets that need no file, and the formats of files and folders.

    Example: metaprobe data list
    """
    from ..data.datasets import BUILT_IN
    from ..data.readers.formats import FORMATS

    lines = [f"{n:17} {', '.join(s)}" for n, s in BUILT_IN.items()]
    lines += ["", "FORMAT:PATH, where FORMAT is"]
    lines += [f"{name:17} {form.holds}" for name, form in FORMATS.items()]
    facts = {**BUILT_IN, "formats": {name: form.holds for name, form in FORMATS.items()}}
    say(facts, "\n".join(lines), as_json)


@app.command("show")
def data_show(
    name: Annotated[
        str,
        typer.Argument(help=f"{SOURCE} Also embeddings:FILE."),
    ],
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    sha256: Annotated[
        str | None, typer.Option(help="What the file must hash to: .npz, .h5, .pkl or embeddings.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="What this showed before: pixels, labels and names.")
    ] = None,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Show what a dataset holds.

    Example: metaprobe data show glyphs --split test
    """
    from ..data.datasets import open_dataset
    from ..data.errors import DataError
    from ..data.fit import AS_STORED
    from ..data.readers.options import ReadOptions

    if name.startswith("embeddings:"):
        if fingerprint is not None:
            raise DataError("embeddings have no fingerprint; use --sha256", code="fingerprint")
        _show_embeddings(name.removeprefix("embeddings:"), sha256, as_json)
        return
    with progress("images") as told:
        options = ReadOptions(image_size, max_unreadable, progress=told, expect_sha256=sha256)
        found = open_dataset(name, split, options=options)
    if fingerprint is not None and found.fingerprint != fingerprint.lower():
        raise DataError(
            f"{name!r} ({split}) has fingerprint {found.fingerprint}, not the expected "
            f"{fingerprint[:64]}; its pixels, labels or names are others, or were read another way",
            code="fingerprint",
        )
    groups = {g: found.groups.count(g) for g in dict.fromkeys(found.groups)}
    facts = {
        "name": found.name,
        "split": found.split,
        "images": len(found),
        "shape": list(found.shape),
        "classes": len(found.classes),
        "groups": groups,
        "prepared": found.prepared or AS_STORED,
        "fingerprint": found.fingerprint,
        "notes": list(found.notes),
    }
    text = "\n".join(f"{key:12} {value}" for key, value in facts.items() if key != "notes")
    say(facts, "\n".join([text, *(f"note: {note}" for note in found.notes)]), as_json)


def _show_embeddings(path: str, sha256: str | None, as_json: bool) -> None:
    from pathlib import Path

    from ..data.foreign import read_embeddings

    rows, notes = read_embeddings(Path(path), expect_sha256=sha256)
    facts = {
        "name": path,
        "rows": len(rows),
        "dim": rows.dim,
        "classes": len(set(rows.labels.tolist())),
        "notes": list(notes),
    }
    text = "\n".join(f"{key:12} {value}" for key, value in facts.items() if key != "notes")
    say(facts, "\n".join([text, *(f"note: {note}" for note in notes)]), as_json)
