"""`metaprobe convert`: any checkpoint that can be read, as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Json, NoDraw, say

StateKey = Annotated[
    str | None,
    typer.Option(help="Which dictionary holds the weights, as a.b; '.' for every tensor."),
]
Expected = Annotated[
    str | None, typer.Option("--sha256", help="Refuse the file unless its bytes hash to this.")
]


def convert(
    source: Annotated[Path, typer.Argument(help="A checkpoint or a model folder.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    like: Annotated[
        Path | None,
        typer.Option(help="A checkpoint of the same network: missing tensors are a refusal."),
    ] = None,
    state_key: StateKey = None,
    expect_sha256: Expected = None,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Write the tensors of a checkpoint as safetensors; nothing in it is executed.

    Example: metaprobe convert epoch-90.ckpt weights.safetensors
    """
    from ..data.errors import CheckpointError
    from ..models.reading.convert import convert_file

    if out.suffix != ".safetensors":
        raise CheckpointError(
            f"{str(out)!r} is to be a safetensors file; give it the ending .safetensors",
            code="ending",
        )
    found = convert_file(source, out, like=like, state_key=state_key, expect_sha256=expect_sha256)
    facts = {
        "source": str(source),
        "format": found.format,
        "sha256": found.sha256,
        "out": str(out),
        "tensors": len(found.tensors),
        "bytes": out.stat().st_size,
        "state_dict": found.chosen,
        "prefix": found.repair.prefix,
        "flags": [{"code": flag.code, "sentence": flag.sentence} for flag in found.flags],
    }
    where = f"state dict {found.chosen!r}" if found.chosen else "the top"
    lines = [
        f"{out}: {len(found.tensors):,} tensors, {facts['bytes']:,} bytes",
        f"from {found.format}, {where} ({found.why})",
        *(f"note: {flag.sentence}" for flag in found.flags),
    ]
    say(facts, "\n".join(lines), as_json)
