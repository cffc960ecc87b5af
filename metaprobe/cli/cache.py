"""`metaprobe cache`: look after the store of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Cache, Json, NoDraw, Seed, say

if TYPE_CHECKING:
    from ..data.store import Store

app = typer.Typer(help="The store of embeddings.", no_args_is_help=True)


def _open(cache: Path | None) -> Store:
    from ..data.store import Store, default_cache_dir

    return Store(cache or default_cache_dir())


@app.command("list")
def cache_list(cache: Cache = None, seed: NoDraw = 0, as_json: Json = False) -> None:
    """List what the store holds, least recently used first.

    Example: metaprobe cache list
    """
    from ..data.store_verify import list_entries

    found = list_entries(_open(cache))
    facts = [{"hash": e.hash, "state": e.state, "bytes": e.bytes, "used": e.used} for e in found]
    lines = [f"{e.hash[:12]}  {e.state:11}  {e.bytes:>12,} bytes" for e in found]
    total = f"{len(found)} entries, {sum(e.bytes for e in found):,} bytes in {_open(cache).root}"
    say({"entries": facts}, "\n".join([*lines, total]), as_json)


@app.command("verify")
def cache_verify(
    sample: Annotated[
        float | None, typer.Option(help="Share of the entries to read [default: all].")
    ] = None,
    cache: Cache = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Read entries down to the last byte; exit status 1 when one is damaged.

    Example: metaprobe cache verify
    """
    from ..data.store_verify import verify

    found = verify(_open(cache), sample, seed)
    facts = {
        "checked": found.checked,
        "damaged": dict(found.damaged),
        "unfinished": found.unfinished,
        "quarantined": found.quarantined,
    }
    lines = [f"{name[:12]}: {why}" for name, why in found.damaged.items()]
    say(
        facts,
        "\n".join([*lines, f"{found.checked} checked, {len(found.damaged)} damaged"]),
        as_json,
    )
    if found.damaged:
        raise typer.Exit(1)


@app.command("explain")
def cache_explain(
    prefix: Annotated[str, typer.Argument(help="First digits of an entry's hash.")],
    cache: Cache = None,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Show what an entry's key is made of: why it hits, and what would miss.

    Example: metaprobe cache explain 3f2a
    """
    import json

    from ..data.store_verify import explain

    found = explain(_open(cache), prefix)
    say(found, json.dumps(found, indent=2, ensure_ascii=False), as_json)


@app.command("prune")
def cache_prune(
    max_bytes: Annotated[int | None, typer.Option(help="Keep at most this many bytes.")] = None,
    older_than: Annotated[
        float | None, typer.Option(help="Remove what was not used for so many days.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what.")] = False,
    cache: Cache = None,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Remove entries, least recently used first.

    Example: metaprobe cache prune --older-than 30 --yes
    """
    from ..data.store_prune import prune

    seconds = None if older_than is None else older_than * 86_400
    done = prune(_open(cache), max_bytes=max_bytes, older_than=seconds, dry_run=not yes)
    facts = {"entries": len(done.entries), "bytes": done.bytes, "removed": not done.dry_run}
    word = "would be removed; add --yes" if done.dry_run else "removed"
    say(facts, f"{len(done.entries)} entries, {done.bytes:,} bytes {word}", as_json)
