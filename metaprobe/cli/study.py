"""`metaprobe study`: the claims of a paper, re-run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    SOURCE,
    Arch,
    Cache,
    ImageSize,
    Jobs,
    Json,
    MaxUnreadable,
    NoCache,
    Resize,
    Seed,
    open_store,
    processors,
    progress,
)

TAKES_OWN = "starshak2022"
"""The study that data and checkpoints of the user's own are for."""


def study(
    names: Annotated[list[str] | None, typer.Argument(help="Author and year of the paper.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All studies [default when none is named].")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats, wider intervals.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for study.json, page, section.html and figures.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Measure starshak2022 on these images: {SOURCE}")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split that tasks are drawn from [default: test].")
    ] = None,
    checkpoints: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure starshak2022 on these runs of MAML and Meta-SGD: a folder, a file "
            "(repeatable), or maml=FILE and meta-sgd=FILE where a file does not say what it is."
        ),
    ] = None,
    arch: Arch = None,
    way: Annotated[int | None, typer.Option(help="Classes a task [default: 5].")] = None,
    shot: Annotated[int | None, typer.Option(help="Support images a class [default: 1].")] = None,
    query: Annotated[int | None, typer.Option(help="Query images a class [default: 15].")] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Paired episodes [default: 600; quick: 60].")
    ] = None,
    resize: Resize = False,
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    jobs: Jobs = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Re-run the claims of a paper; each ends in a verdict.

    With --data and --checkpoints starshak2022 is measured on your own encoders; five runs of
    each learner or more make a verdict about a method.

    Example: metaprobe study starshak2022 --quick --out study
    """
    from ..analysis.studies import STUDIES, run_study
    from ..analysis.studies.page import write_page
    from ..analysis.studies.section import write_study
    from ..analysis.studies.study import Settings
    from ..analysis.studies.writing import ledger, study_json
    from ..data.errors import MetaprobeError
    from ..data.files import require_writable

    wanted = list(STUDIES if every else names or STUDIES)
    for name in wanted:
        if name not in STUDIES:
            raise MetaprobeError(
                f"study {name!r} is unknown; known are {', '.join(STUDIES)}", code="unknown-study"
            )
    own = _own(
        checkpoints=checkpoints,
        arch=arch,
        measured_on={
            "data": data,
            "split": split,
            "way": way,
            "shot": shot,
            "query": query,
            "episodes": episodes,
            "resize": resize or None,
            "image_size": image_size,
            "max_unreadable": max_unreadable or None,
        },
    )
    if own and wanted != [TAKES_OWN]:
        raise MetaprobeError(
            "data and checkpoints of your own are for one study alone; say "
            f"metaprobe study {TAKES_OWN} --data … --checkpoints …",
            code="not-taken",
        )
    if out is not None:
        require_writable(out)
    kept = open_store(cache, no_cache)
    done = []
    with progress("blocks") as told:
        for name in wanted:
            settings = Settings(quick=quick, seed=seed)
            found = run_study(
                name, settings, store=kept, jobs=jobs or processors(), progress=told, **own
            )
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


def _own(measured_on: dict[str, Any], **given: Any) -> dict[str, Any]:
    """What was given of data and checkpoints; nothing where nothing was."""
    said = {k: v for k, v in measured_on.items() if v is not None}
    return {k: v for k, v in {**given, "measured_on": said}.items() if v}
