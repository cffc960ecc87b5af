"""`metaprobe compare`: encoders side by side on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    Arch,
    Cache,
    ImageSize,
    Json,
    MaxUnreadable,
    NoCache,
    Resize,
    Seed,
    StateKey,
    TrustCode,
    load,
    open_store,
    say,
)


def compare(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Two or more checkpoints, or shipped ones' names.")
    ],
    data: Annotated[
        str, typer.Option(help="glyphs, digits, a folder, a .npz or .h5 file.")
    ] = "glyphs",
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    layer: Annotated[
        list[str] | None,
        typer.Option(help="LAYER or LAYER:POOL, repeatable [default: every block]."),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(help="cka, procrustes, mutual-knn …, repeatable [default: cka, mutual-knn]."),
    ] = None,
    most: Annotated[
        int, typer.Option(help="Images at most; of more, a stratified draw is compared.")
    ] = 500,
    k: Annotated[int, typer.Option("-k", "--neighbours", help="Neighbours of an image.")] = 10,
    repeats: Annotated[int, typer.Option(help="Permutations of each null.")] = 50,
    resize: Resize = False,
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for comparison.json, a table and figures.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    arch: Arch = None,
    state_key: StateKey = None,
    trust_code: TrustCode = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compare encoders layer by layer, beside permuted rows, and show where they disagree.

    Example: metaprobe compare maml-glyphs-s0 meta-sgd-glyphs-s0 --data glyphs --out compared
    """
    from ..analysis.comparison import compare as run
    from ..analysis.figure_files import in_formats
    from ..analysis.maps.export.cells import csv_text
    from ..data.files import require_writable, write_together

    if out is not None:
        require_writable(out)
    found = run(
        load(checkpoints, arch, state_key, False, trust_code),
        data,
        split=split,
        layers=layer or (),
        measures=measure or ("cka", "mutual-knn"),
        most=most,
        k=k,
        repeats=repeats,
        seed=seed,
        resize=resize,
        image_size=image_size,
        max_unreadable=max_unreadable,
        device=device,
        store=open_store(cache, no_cache),
    )
    lines = found.sentences()
    if out is not None:
        table = found.table()
        files = {
            "comparison.json": found.to_json().encode(),
            "comparison.csv": csv_text(
                list(map(str, table)), table.itertuples(index=False)
            ).encode(),
            **in_formats(found.plot("layers"), "layers"),
            **in_formats(found.plot("disagreements"), "disagreements"),
        }
        write_together({out / name: content for name, content in files.items()})
        lines.append(f"written to {out}/")
    say(found.facts(), "\n".join(lines), as_json)
