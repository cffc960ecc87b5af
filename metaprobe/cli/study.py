"""`metaprobe study`: the claims of a paper, re-run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Cache, Jobs, Json, NoCache, Seed, open_store, processors, progress


def study(
    names: Annotated[list[str] | None, typer.Argument(help="Author and year of the paper.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All studies [default when none is named].")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats, wider intervals.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for study.json, page and figures.")
    ] = None,
    jobs: Jobs = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Re-run the claims of a paper; each ends in a verdict.

    Example: metaprobe study starshak2022 --quick --out study
    """
    from ..analysis.studies import STUDIES, run_study
    from ..analysis.studies.page import write_page
    from ..analysis.studies.study import Settings
    from ..analysis.studies.writing import ledger, study_json, write_study
    from ..data.errors import MetaprobeError
    from ..data.files import require_writable

    wanted = list(STUDIES if every else names or STUDIES)
    for name in wanted:
        if name not in STUDIES:
            raise MetaprobeError(
                f"study {name!r} is unknown; known are {', '.join(STUDIES)}", code="unknown-study"
            )
    if out is not None:
        require_writable(out)
    kept = open_store(cache, no_cache)
    done = []
    with progress("blocks") as told:
        for name in wanted:
            settings = Settings(quick=quick, seed=seed)
            found = run_study(name, settings, store=kept, jobs=jobs or processors(), progress=told)
            done.append(found)
            if out is not None:
                write_study(found, out / name if len(wanted) > 1 else out)
    if out is not None:
        write_page(done, out)
    if as_json:
        plain = [study_json(found) for found in done]
        typer.echo(json.dumps(plain[0] if len(plain) == 1 else {"studies": plain}, allow_nan=False))
        return
    from rich.console import Console

    for found in done:
        Console().print(ledger(found))
