"""`metaprobe map`: an encoder's features in two dimensions."""

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
    one_of,
    open_store,
    progress,
    say,
)


def map_(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint, or a shipped one's name.")],
    data: Annotated[
        str, typer.Option(help="glyphs, digits, a folder, a .npz or .h5 file.")
    ] = "glyphs",
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    phases: Annotated[
        bool, typer.Option("--phases", help="Draw episodes before and after adaptation.")
    ] = False,
    episode: Annotated[
        list[int] | None,
        typer.Option(help="With --phases: which episode, repeatable [default: 0]."),
    ] = None,
    off_data: Annotated[
        str | None,
        typer.Option(help="With --phases: draw T′ from other data, NAME or NAME/SPLIT."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes a task.")] = 5,
    shot: Annotated[int, typer.Option(help="Support images a class.")] = 1,
    query: Annotated[int, typer.Option(help="Query images a class.")] = 15,
    steps: Annotated[
        int | None, typer.Option(help="Inner steps [default: those of training].")
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="batch, running or support [default: that of training].")
    ] = None,
    layout: Annotated[
        list[str] | None, typer.Option(help="pca or umap, repeatable [default: both].")
    ] = None,
    metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    neighbours: Annotated[int, typer.Option(help="Neighbours that UMAP tries to keep.")] = 15,
    most: Annotated[
        int, typer.Option(help="Images at most; of more, a stratified draw is shown.")
    ] = 4000,
    export: Annotated[
        list[str] | None,
        typer.Option(help="Also write projector, atlas, fiftyone or npz, repeatable."),
    ] = None,
    resize: Resize = False,
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, map.json and exports.")] = Path(
        "map"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    arch: Arch = None,
    state_key: StateKey = None,
    trust_code: TrustCode = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw an encoder's features by PCA and UMAP, and say how far to believe the picture.

    Example: metaprobe map meta-sgd-glyphs-s0 --phases --out map
    """
    from ..analysis.maps.export import EXPORTS
    from ..analysis.maps.files import save_map
    from ..analysis.maps.interactive import MISSING, can_be_live
    from ..analysis.maps.make import MapSettings, map_features
    from ..analysis.planning import AuditSettings
    from ..data.files import require_writable

    layouts = [one_of(name, "layout", "pca", "umap") for name in layout or ("pca", "umap")]
    exports = [one_of(name, "export", *EXPORTS) for name in export or ()]
    require_writable(out)
    settings = MapSettings(
        layouts=tuple(dict.fromkeys(layouts)),
        metric=one_of(metric, "metric", "cosine", "euclidean"),
        neighbours=neighbours,
        seed=seed,
        most=most,
        phases=phases,
        episodes=tuple(episode or (0,)),
        audit=AuditSettings(
            data=data,
            split=split,
            off_data=off_data,
            way=way,
            shot=shot,
            query=query,
            seed=seed,
            steps=steps,
            norm=one_of(norm, "norm", "batch", "running", "support"),
            device=device,
            resize=resize,
            image_size=image_size,
            max_unreadable=max_unreadable,
        ),
    )
    [encoder] = load([checkpoint], arch, state_key, False, trust_code)
    with progress("shards") as told:
        found = map_features(encoder, settings, store=open_store(cache, no_cache), progress=told)
    files = save_map(found, out, exports)
    facts = {**found.facts(), "files": [str(path) for path in files]}
    lines = [*found.sentences(), f"written to {out}/", *([] if can_be_live() else [MISSING])]
    say(facts, "\n".join(lines), as_json)
