"""`metaprobe embed` and `metaprobe probe`: a whole dataset, without episodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    SOURCE,
    Arch,
    Cache,
    ImageSize,
    Json,
    MaxUnreadable,
    NoCache,
    NoDraw,
    Resize,
    StateKey,
    TrustCode,
    load,
    open_store,
    progress,
    say,
)

if TYPE_CHECKING:
    from ..data.embeddings import Embeddings
    from ..data.images import LabelledImages
    from ..models.encoder import Encoder


def embed(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint, or a shipped one's name.")],
    data: Annotated[str, typer.Option(help=SOURCE)],
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    layer: Annotated[
        str | None,
        typer.Option(help="LAYER or LAYER:POOL, such as block2:avg [default: the embedding]."),
    ] = None,
    resize: Resize = False,
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Also write the embeddings to this .npz.")
    ] = None,
    arch: Arch = None,
    state_key: StateKey = None,
    trust_code: TrustCode = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Embed a dataset into the store, one image at a time (running statistics).

    Example: metaprobe embed maml-glyphs-s0 --data glyphs --split test
    """
    import io

    import numpy as np

    from ..data.files import require_writable, write_whole

    if out is not None:
        require_writable(out.parent)
    sizes = (image_size, max_unreadable)
    [encoder] = load([checkpoint], arch, state_key, False, trust_code)
    rows, images = _embedded(encoder, data, split, sizes, resize, device, cache, no_cache, layer)
    if out is not None:
        buffer = io.BytesIO()
        np.savez(buffer, features=rows.features, ids=rows.ids, labels=rows.labels)
        write_whole(out, buffer.getvalue())
    facts = {
        "checkpoint": checkpoint,
        "data": images.name,
        "split": images.split,
        "layer": layer or "embedding",
        "rows": len(rows),
        "dim": rows.dim,
        "out": None if out is None else str(out),
    }
    say(
        facts,
        f"{len(rows):,} images of {images.name}/{images.split}, {rows.dim} features each",
        as_json,
    )


def probe(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint, or a shipped one's name.")],
    data: Annotated[str, typer.Option(help=SOURCE)],
    reference: Annotated[str, typer.Option(help="Split that is searched.")] = "train",
    target: Annotated[
        str | None, typer.Option(help="Split that is classified [default: leave one out].")
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", "--neighbours", help="Neighbours, repeatable.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of the softmax vote.")] = 0.07,
    resize: Resize = False,
    image_size: ImageSize = None,
    max_unreadable: MaxUnreadable = 0.0,
    arch: Arch = None,
    state_key: StateKey = None,
    trust_code: TrustCode = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: NoDraw = 0,
    as_json: Json = False,
) -> None:
    """Weighted kNN over a whole dataset (cosine, softmax of 0.07); with two splits also the
    nearest class mean and a linear probe.

    Example: metaprobe probe maml-glyphs-s0 --data digits --reference train --target test
    """
    from ..probes.accuracies import class_mean_accuracy, logistic_accuracy
    from ..probes.votes import knn_accuracies

    sizes = (image_size, max_unreadable)
    [encoder] = load([checkpoint], arch, state_key, False, trust_code)
    known, images = _embedded(encoder, data, reference, sizes, resize, device, cache, no_cache)
    asked = known
    if target is not None and target != reference:
        asked, other = _embedded(encoder, data, target, sizes, resize, device, cache, no_cache)
        _same_classes(images, other)
    found = knn_accuracies(
        known.features,
        known.labels,
        asked.features,
        asked.labels,
        ks=k or None,
        temperature=temperature,
        gallery_ids=known.ids,
        query_ids=asked.ids,
        zeros="orthogonal",
    )
    facts: dict[str, Any] = {
        "checkpoint": checkpoint,
        "data": images.name,
        "reference": reference,
        "target": target or reference,
        "accuracy": {str(n): share for n, share in found.items()},
        "class_mean": None,
        "linear": None,
    }
    lines = [f"{f'k = {n}':<12} {share:.4f}" for n, share in found.items()]
    if asked is not known:
        rows = (known.features, known.labels, asked.features, asked.labels)
        for name, accuracy in (("class_mean", class_mean_accuracy), ("linear", logistic_accuracy)):
            facts[name] = share = accuracy(*rows)
            lines.append(f"{name.replace('_', ' '):<12} {share:.4f}")
    say(facts, "\n".join(lines), as_json)


def _embedded(
    encoder: Encoder,
    source: str,
    split: str,
    sizes: tuple[int | None, float],
    resize: bool,
    device: str,
    cache: Path | None,
    no_cache: bool,
    layer: str | None = None,
) -> tuple[Embeddings, LabelledImages]:
    from ..analysis.audit import pick_device
    from ..data.datasets import open_dataset
    from ..data.fit import fit_images
    from ..data.readers.options import ReadOptions
    from ..models.layers import parse_tap
    from ..probes.embed import embed as run
    from ..probes.embed_layers import embed_layers

    with progress("shards") as told:
        options = ReadOptions(*sizes, progress=told)
        found = open_dataset(source, split, options=options)
        images, _ = fit_images(found, encoder.shape, resize=resize)
        store, where = open_store(cache, no_cache), pick_device(device)
        if layer is None:
            return run(encoder, images, store, device=where, progress=told), images
        tap = parse_tap(layer)
        [rows] = embed_layers(encoder, images, [tap], store, device=where)[0].values()
    return rows, images


def _same_classes(one: LabelledImages, other: LabelledImages) -> None:
    from ..data.errors import DataError

    if one.fingerprint == other.fingerprint:
        raise DataError(
            f"{one.name!r} has no splits {one.split!r} and {other.split!r} apart; leave --target out",
            code="same-data",
        )
    if one.classes != other.classes:
        raise DataError(
            f"splits {one.split!r} and {other.split!r} of {one.name!r} have different classes; "
            "leave --target out to classify a split by itself",
            code="classes-differ",
        )
