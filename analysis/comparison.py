"""Two encoders or more on the same images: where alike, layer by layer, and where they disagree.

Each pair of encoders gets a table of layer against layer, every value beside what permuted rows
give, and for each image the share of its nearest neighbours, by the embeddings, that both agree
on. Encoders may differ in width and in the images they take: rows are told by their ids.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.datasets import open_dataset
from ..data.embeddings import Embeddings
from ..data.errors import MetaprobeError
from ..data.fit import fit_images
from ..data.images import LabelledImages
from ..data.readers.options import ReadOptions
from ..data.store import Store
from ..models.encoder import Encoder, load_encoder
from ..models.layers import EMBEDDING, Tap, parse_tap
from ..probes.embed_layers import embed_layers, taps_of
from ..probes.neighbours import nearest_neighbours
from .maps.points import stratified
from .planning import pick_device
from .similarity import named, same_rows, similarity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SCHEMA = "metaprobe.comparison/1"


@dataclass(frozen=True)
class Cell:
    """One layer of one encoder against one layer of another."""

    a: str
    b: str
    measure: str
    layer_a: str
    layer_b: str
    value: float
    null_mean: float
    null_sd: float
    p: float


@dataclass(frozen=True, eq=False)
class Agreement:
    """Neighbours that two encoders agree on, by their embeddings.

    Args:
        a: One encoder.
        b: The other.
        kept: ``(N,)`` share of each image's `k` nearest that both name.
        near: ``(2, N, k)`` those neighbours, nearest first.
        chance: What unrelated encoders agree on.
    """

    a: str
    b: str
    kept: NDArray[np.float64]
    near: NDArray[np.int64]
    chance: float

    def worst(self, many: int = 6) -> NDArray[np.int64]:
        """The images whose neighbours differ most, in order."""
        return np.argsort(self.kept, kind="stable")[:many]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    Args:
        names: The encoders, told apart.
        images: The images compared on.
        layers: Names of each encoder's layers, first to last.
        cells: Every pair of layers of every pair of encoders, by every measure.
        agreements: Of every pair of encoders.
        k: Neighbours of an image.
        computed: Layers that had to be computed; 0 for a repeat.
    """

    names: tuple[str, ...]
    images: LabelledImages
    layers: tuple[tuple[str, ...], ...]
    cells: tuple[Cell, ...]
    agreements: tuple[Agreement, ...]
    k: int
    computed: int

    def table(self) -> pd.DataFrame:
        """One row for each pair of layers and measure."""
        import pandas as pd

        return pd.DataFrame([asdict(cell) for cell in self.cells])

    def facts(self) -> dict[str, Any]:
        """Everything, as plain values."""
        ids = self.images.ids
        return {
            "schema": SCHEMA,
            "checkpoints": list(self.names),
            "data": self.images.name,
            "split": self.images.split,
            "images": len(self.images),
            "layers": [list(layers) for layers in self.layers],
            "cells": [asdict(cell) for cell in self.cells],
            "neighbours": [
                {
                    "a": one.a,
                    "b": one.b,
                    "k": self.k,
                    "kept": float(one.kept.mean()),
                    "chance": one.chance,
                    "least": [
                        {
                            "id": str(ids[i]),
                            "kept": float(one.kept[i]),
                            "a": ids[one.near[0, i]].tolist(),
                            "b": ids[one.near[1, i]].tolist(),
                        }
                        for i in one.worst()
                    ],
                }
                for one in self.agreements
            ],
            "computed": self.computed,
        }

    def to_json(self) -> str:
        """The facts as JSON text."""
        return json.dumps(self.facts(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def sentences(self) -> list[str]:
        """What to read first."""
        said = []
        for one in self.agreements:
            said.append(
                f"{one.a} and {one.b} agree on {100 * one.kept.mean():.0f} % of an image's {self.k} "
                f"nearest neighbours (chance {100 * one.chance:.2g} %)"
            )
            for cell in self.cells:
                if (cell.a, cell.b) == (one.a, one.b) and (cell.layer_a, cell.layer_b) == (
                    self.layers[self.names.index(one.a)][-1],
                    self.layers[self.names.index(one.b)][-1],
                ):
                    said.append(
                        f"{_title(cell.measure, self.k)} of their last layers: {_plain(cell.value)} "
                        f"(permuted rows {_plain(cell.null_mean)} ± {cell.null_sd:.2f})"
                    )
        return said

    def plot(self, kind: Literal["layers", "disagreements"] = "layers") -> Figure:
        """Heat maps of layer against layer, or the images whose neighbours differ most."""
        from .comparison_figures import disagreements, heat_maps

        return heat_maps(self) if kind == "layers" else disagreements(self)

    def _repr_html_(self) -> str:
        from .fragments import fragment

        return fragment(f"{' and '.join(self.names)} compared", self.sentences(), self.plot())


def compare(
    checkpoints: Sequence[str | Path | Encoder],
    data: str = "glyphs",
    *,
    split: str = "test",
    layers: Sequence[str] = (),
    measures: Sequence[str] = ("cka", "mutual-knn"),
    most: int = 500,
    k: int = 10,
    repeats: int = 50,
    seed: int = 0,
    resize: bool = False,
    image_size: int | None = None,
    max_unreadable: float = 0.0,
    device: str = "auto",
    store: Store | None = None,
) -> Comparison:
    """Compare encoders on the same images.

    Args:
        checkpoints: Two or more files, names of shipped checkpoints, or encoders.
        data: A dataset, as for `open_dataset`.
        split: Its split.
        layers: ``LAYER`` or ``LAYER:POOL``; every block and the embedding when empty.
        measures: Names of `similarity.MEASURES`.
        most: Images at most; of more, a stratified draw.
        k: Neighbours of an image.
        repeats: Permutations of each null.
        seed: Of the draw and of the permutations.
        resize: Whether images may be made to fit each encoder.
        image_size: Side that image files are brought to before; as they are when None.
        max_unreadable: Share of image files that may be left out as unreadable.
        device: ``"auto"``, ``"cpu"`` or a torch device.
        store: Where features are kept; nothing is kept when None.

    Raises:
        MetaprobeError: If a checkpoint, a layer or the data cannot be used.
    """
    if len(checkpoints) < 2:
        raise MetaprobeError("one checkpoint was given; compare two or more", code="one-checkpoint")
    if repeats < 2 or most < k + 2:
        raise MetaprobeError(
            f"{repeats} permutations and at most {most} images; 2 permutations and {k + 2} images "
            f"or more are needed for {k} neighbours",
            code="compare-small",
        )
    wanted = [named(measure) for measure in measures]
    encoders = [c if isinstance(c, Encoder) else load_encoder(c) for c in checkpoints]
    whole = open_dataset(data, split, options=ReadOptions(image_size, max_unreadable))
    kept = stratified(whole.labels, most, seed)
    images = replace(
        whole, images=whole.images[kept], labels=whole.labels[kept], ids=whole.ids[kept]
    )
    rows, computed = [], 0
    for encoder in encoders:
        fitted, _ = fit_images(images, encoder.shape, resize=resize)
        taps: list[Tap] = [parse_tap(layer) for layer in layers]
        where = pick_device(device)
        found, new = embed_layers(encoder, fitted, taps_of(encoder, taps), store, device=where)
        rows.append(found)
        computed += new
    names = _told_apart([encoder.name for encoder in encoders])
    cells = tuple(
        _cell((names[i], names[j]), (one, other), (rows[i][one], rows[j][other]), measure.name,
              k, repeats, seed)
        for i, j in itertools.combinations(range(len(names)), 2)
        for measure in wanted
        for one in rows[i]
        for other in rows[j]
    )  # fmt: skip
    agreements = tuple(
        agreement((names[i], names[j]), (_last(rows[i]), _last(rows[j])), k)
        for i, j in itertools.combinations(range(len(names)), 2)
    )
    return Comparison(
        names, images, tuple(tuple(found) for found in rows), cells, agreements, k, computed
    )


def agreement(
    names: tuple[str, str], sides: tuple[Embeddings, Embeddings], k: int = 10
) -> Agreement:
    """Which neighbours two encoders agree on.

    Raises:
        ProbeError: ``ids`` where the rows are not the same images in the same order; or as
            `nearest_neighbours`.
    """
    same_rows(*sides)
    near = np.stack(
        [
            nearest_neighbours(
                s.features, s.features, k, gallery_ids=s.ids, query_ids=s.ids, zeros="orthogonal"
            ).indices
            for s in sides
        ]
    )
    both = (near[0][:, :, None] == near[1][:, None, :]).any(axis=2).mean(axis=1)
    return Agreement(*names, both, near, k / (len(sides[0]) - 1))


def _cell(
    names: tuple[str, str],
    layers: tuple[str, str],
    sides: tuple[Embeddings, Embeddings],
    measure: str,
    k: int,
    repeats: int,
    seed: int,
) -> Cell:
    settings: dict[str, Any] = {"k": k, "zeros": "orthogonal"} if measure == "mutual-knn" else {}
    found = similarity(*sides, measure, repeats=repeats, seed=seed, **settings)
    null = found.null
    assert null is not None  # repeats were asked for
    return Cell(*names, measure, *layers, found.value, null.mean, null.sd, null.p)


def _title(measure: str, k: int) -> str:
    """A measure's title, with the neighbours that were asked for."""
    return re.sub(r"k = \d+", f"k = {k}", named(measure).title)


def _plain(value: float) -> str:
    """Two digits, with a minus sign, and none before zero."""
    return f"{value:z.2f}".replace("-", "−")


def _last(layers: dict[str, Embeddings]) -> Embeddings:
    return layers.get(EMBEDDING) or list(layers.values())[-1]


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    )
