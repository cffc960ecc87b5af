"""`metaprobe audit`: the main job."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import (
    SOURCE,
    AllowPartial,
    Arch,
    Cache,
    ImageSize,
    Jobs,
    Json,
    MaxUnreadable,
    NoCache,
    Resize,
    Seed,
    StateKey,
    TrustCode,
    load,
    one_of,
    open_store,
    processors,
    progress,
)


def audit(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Checkpoint files or folders, or names of shipped ones.")
    ],
    data: Annotated[str, typer.Option(help=SOURCE)] = "glyphs",
    split: Annotated[str, typer.Option(help="Split that tasks are drawn from.")] = "test",
    off_data: Annotated[
        str | None,
        typer.Option(help="Draw T′ from other data, NAME or NAME/SPLIT (such as glyphs/far)."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes a task.")] = 5,
    shot: Annotated[int, typer.Option(help="Support images a class.")] = 1,
    query: Annotated[int, typer.Option(help="Query images a class.")] = 15,
    episodes: Annotated[int, typer.Option(help="Paired episodes.")] = 600,
    steps: Annotated[
        int | None, typer.Option(help="Inner steps [default: those of training].")
    ] = None,
    gallery: Annotated[str, typer.Option(help="support, fresh or both.")] = "both",
    norm: Annotated[
        str | None, typer.Option(help="batch, running or support [default: that of training].")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="stored, class-means or zeros [default: stored if it fits, else zeros]."),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(help="Another inner loop, such as sgd:lr=0.01 [default: the checkpoint's]."),
    ] = None,
    adapts: Annotated[
        str | None,
        typer.Option(
            help="What moves: all, head, body, or a regular expression over names of parameters."
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Read a further layer too, NAME or NAME:POOL (avg, flatten, cls, none)."),
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(
            help="Add a section: layers, steps, map, distance, interventions, parts, directions, "
            "wandering or reliability."
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Add every section.")] = False,
    arch: Arch = None,
    state_key: StateKey = None,
    allow_partial: AllowPartial = False,
    trust_code: TrustCode = False,
    probe: Annotated[str, typer.Option(help="knn, class-mean or nil.")] = "knn",
    k: Annotated[int, typer.Option("-k", "--neighbours", help="Neighbours that vote.")] = 1,
    metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    sesoi: Annotated[float, typer.Option(help="Smallest effect of interest, a share.")] = 0.0025,
    resize: Resize = False,
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for audit.json, report and figures.")
    ] = None,
    study: Annotated[
        list[Path] | None,
        typer.Option(
            help="Include the study that metaprobe study NAME --out DIR wrote, DIR; repeatable."
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Exit with 1 where this holds, such as 'load.coverage < 1'; repeatable."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="An earlier audit.json of the same episodes, to be no worse than."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    jobs: Jobs = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure what adaptation does to the features of checkpoints.

    Example: metaprobe audit maml-glyphs-s0 meta-sgd-glyphs-s0 --episodes 300 --out report
    """
    from ..analysis.audit import AuditSettings, save_audit
    from ..analysis.audit import audit as run
    from ..analysis.gates import read_gates
    from ..analysis.sections.context import SECTIONS
    from ..analysis.studies.stored import study_sections
    from ..data.errors import MetaprobeError, printable
    from ..data.files import require_writable
    from ..probes.cells import ProbeSettings

    settings = AuditSettings(
        data=data,
        split=split,
        off_data=off_data,
        way=way,
        shot=shot,
        query=query,
        episodes=episodes,
        seed=seed,
        steps=steps,
        gallery=one_of(gallery, "gallery", "support", "fresh", "both"),
        norm=one_of(norm, "norm", "batch", "running", "support"),
        head=one_of(head, "head", "stored", "class-means", "zeros"),
        probe=ProbeSettings(
            one_of(probe, "probe", "knn", "class-mean", "nil"),
            k,
            one_of(metric, "metric", "cosine", "euclidean"),
        ),
        sesoi=sesoi,
        device=device,
        resize=resize,
        image_size=image_size,
        max_unreadable=max_unreadable,
        rule=rule,
        adapts=adapts,
        layers=tuple(layer or ()),
        sections=tuple(SECTIONS if full else section or ()),
    )
    gates = read_gates(fail_if or [], baseline)
    gates.check(settings)
    if study and out is None:
        raise MetaprobeError(
            "--study is a section of the report; say with --out where to write it", code="no-out"
        )
    extra = study_sections(study or [])
    if out is not None:
        require_writable(out)
    sources = load(checkpoints, arch, state_key, allow_partial, trust_code)
    with progress("blocks") as told:
        result = run(
            sources[0] if len(sources) == 1 else sources,
            settings,
            store=open_store(cache, no_cache),
            jobs=jobs or processors(),
            progress=told,
            command=shlex.join(["metaprobe", *sys.argv[1:]]),
            check=gates.planned,
        )
    undecided = None
    try:
        result = gates.applied(result)
    except MetaprobeError as error:  # what was measured is kept all the same
        undecided = error
    files = save_audit(result, out, extra) if out is not None else []
    if as_json:
        sys.stdout.write(result.to_json())
    else:
        from ..analysis.terminal import show

        show(result, files=_listed(files, out))
    if undecided is not None:
        raise undecided
    failed = [gate for gate in result.gates if not gate.passed]
    for gate in failed:
        typer.echo(printable(f"gate failed: {gate.checkpoint}: {gate.sentence}"), err=True)
    if failed:
        raise typer.Exit(1)


def _listed(files: list[Path], out: Path | None) -> list[Path]:
    """What to name in the end: each file, and one folder for those further down; the page first."""
    tops = dict.fromkeys(f if out is None or f.parent == out else f.parent for f in files)
    return sorted(tops, key=lambda path: path.suffix != ".html")
