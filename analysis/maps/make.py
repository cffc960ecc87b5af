"""From an encoder to a map: rows, layouts, and what is kept between runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from ...data.datasets import open_dataset
from ...data.embeddings import Embeddings
from ...data.errors import MetaprobeError
from ...data.fit import fit_images
from ...data.readers.options import ReadOptions
from ...data.store import Store
from ...models.encoder import Encoder, load_encoder
from ...probes.measurement import BLOCK
from ...probes.neighbours import Metric, nearest_neighbours
from ...probes.rows import Floats
from ..planning import AuditSettings, draw, pick_device, plan
from .distortion import Distortion, distortion
from .layout import LAYOUTS, LayoutName, LayoutSettings, compared, lay_out, principal
from .points import Points, dataset_points, phase_points
from .result import Layout, Map, Moved

CODE = 1
"""Raised whenever the same key would give other points."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class MapSettings:
    """What to draw.

    Args:
        layouts: Which layouts.
        metric: What is near.
        neighbours: Neighbours that UMAP tries to keep.
        seed: Seed of UMAP and of the draw of images.
        most: Images of a dataset at most; a stratified draw of so many where there are more.
        phases: Whether to draw episodes before and after adaptation, instead of a dataset.
        episodes: Which, by number.
        audit: Data, split and, for phases, what an audit would measure.
    """

    layouts: tuple[LayoutName, ...] = LAYOUTS
    metric: Metric = "cosine"
    neighbours: int = 15
    seed: int = 0
    most: int = 4000
    phases: bool = False
    episodes: tuple[int, ...] = (0,)
    audit: AuditSettings = field(default_factory=AuditSettings)


def map_features(
    checkpoint: str | Path | Encoder,
    settings: MapSettings | None = None,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
    **changes: object,
) -> Map:
    """Lay out the features of one checkpoint in two dimensions.

    Args:
        checkpoint: A file, the name of a shipped checkpoint, or an encoder.
        settings: What to draw.
        store: Where embeddings and layouts are kept; nothing is kept when None.
        progress: Told of every shard embedded.
        **changes: Single settings of `MapSettings`, or of `AuditSettings`, such as
            ``phases=True, data="digits"``.

    Raises:
        MetaprobeError: If the checkpoint, the data or a setting cannot be used.
    """
    asked = _changed(settings or MapSettings(), changes)
    if not asked.layouts or set(asked.layouts) - set(LAYOUTS):
        raise MetaprobeError(
            f"layouts {list(asked.layouts)}; choose one or more of {', '.join(LAYOUTS)}",
            code="layout",
        )
    if asked.neighbours < 2 or asked.most < 5:
        raise MetaprobeError(
            f"{asked.neighbours} neighbours and at most {asked.most} images; a map needs 2 "
            "neighbours and 5 images or more",
            code="map-small",
        )
    encoder = checkpoint if isinstance(checkpoint, Encoder) else load_encoder(checkpoint)
    if asked.phases:
        points, norm = _phases(encoder, asked, store)
    else:
        points, norm = _dataset(encoder, asked, store, progress), "running"
    return map_of(points, asked, store=store, checkpoint=encoder.name, norm=norm)


def map_of(
    points: Points,
    asked: MapSettings,
    *,
    store: Store | None = None,
    checkpoint: str = "",
    norm: str = "",
) -> Map:
    """Rows, laid out as asked."""
    layouts, new = {}, 0
    for name in asked.layouts:
        how = LayoutSettings(name, asked.metric, asked.neighbours, asked.seed)
        layouts[name], fresh = _layout(points, how, store, checkpoint)
        new += fresh
    return Map(
        checkpoint=checkpoint,
        data=asked.audit.data,
        split=asked.audit.split,
        norm=norm,
        rows=points,
        layouts=layouts,
        moved=moved(points, asked.metric),
        computed=points.computed + new,
    )


def moved(points: Points, metric: Metric = "cosine", k: int = 10) -> dict[str, Moved]:
    """How far each task's features moved, from the features themselves and not from a map.

    Neighbours are looked for among the images of the same task and episode.
    """
    found = {}
    before, after = points.pairs.T
    for task in dict.fromkeys(points.task[before].tolist()):
        cosines, kept, chance, most = [], [], [], k
        for e in np.unique(points.episode):
            here = (points.task[before] == task) & (points.episode[before] == e)
            x, y = points.features[before[here]], points.features[after[here]]
            u, v = compared(x, "cosine"), compared(y, "cosine")
            cosines.append((u * v).sum(axis=1))
            most = min(k, len(x) - 1)
            ids = np.arange(len(x))
            near = [
                nearest_neighbours(
                    z, z, most, metric=metric, gallery_ids=ids, query_ids=ids, zeros="orthogonal"
                ).indices
                for z in (x, y)
            ]
            both = [
                len(set(a) & set(b)) for a, b in zip(*map(np.ndarray.tolist, near), strict=True)
            ]
            kept.append(np.asarray(both) / most)
            chance.append(most / (len(x) - 1))
        every = np.concatenate(cosines)
        found[task] = Moved(
            len(every),
            float(np.median(every)),
            float(np.concatenate(kept).mean()),
            float(np.mean(chance)),
            most,
        )
    return found


def _dataset(
    encoder: Encoder, asked: MapSettings, store: Store | None, progress: Progress | None
) -> Points:
    audit = asked.audit
    data = open_dataset(
        audit.data, audit.split, options=ReadOptions(audit.image_size, audit.max_unreadable)
    )
    images, _ = fit_images(data, encoder.shape, resize=audit.resize)
    return dataset_points(
        encoder,
        images,
        store,
        most=asked.most,
        seed=asked.seed,
        device=pick_device(audit.device),
        progress=progress,
    )


def _phases(encoder: Encoder, asked: MapSettings, store: Store | None) -> tuple[Points, str]:
    wanted = max(asked.episodes, default=-1)
    if wanted < 0 or min(asked.episodes) < 0 or len(set(asked.episodes)) != len(asked.episodes):
        raise MetaprobeError(
            f"episodes {list(asked.episodes)}; give one or more numbers from 0 on, each once",
            code="episode",
        )
    whole = (wanted // BLOCK + 1) * BLOCK
    audit = AuditSettings(**{**vars(asked.audit), "episodes": whole})
    measurement = plan(encoder, audit, draw(audit, encoder.shape))
    return phase_points(measurement, asked.episodes, store), measurement.norm


def _layout(
    points: Points, how: LayoutSettings, store: Store | None, encoder: str
) -> tuple[Layout, int]:
    """A layout from the store, or made and then kept; and whether it was made."""
    key = {"what": "map layout", "code": CODE, "rows": points.sha256, "layout": how.key()}
    kept = store.get(key) if store else None
    if kept is not None:
        found, numbers = kept.features.astype(np.float64), kept.extras["numbers"].astype(float)
        trust, continuity, near, chance = map(float, numbers[:4])
        spread = Distortion(trust, continuity, near, chance, int(numbers[4]))
    else:
        # float32 as the store has it, so that a repeat draws the same picture
        found = lay_out(points.features, how).astype(np.float32).astype(np.float64)
        spread = distortion(points.features, found, metric=how.metric)
        if store:
            numbers = np.array(
                [spread.trustworthiness, spread.continuity, spread.kept, spread.chance, spread.k]
            )
            rows = Embeddings(
                found.astype(np.float32), points.ids, points.labels, {"numbers": numbers}
            )
            store.put(key, rows, provenance={"encoder": encoder})
    explained = principal(points.features, how.metric)[1] if how.name == "pca" else None
    made = Layout(how, found, spread, explained, _arrows(points, found, how.metric))
    return made, int(kept is None)


def _arrows(points: Points, found: Floats, metric: Metric) -> float | None:
    before, after = points.pairs.T
    rows = compared(points.features, metric)
    true = np.linalg.norm(rows[after] - rows[before], axis=1)
    drawn = np.linalg.norm(found[after] - found[before], axis=1)
    if len(true) < 3 or np.ptp(true) == 0 or np.ptp(drawn) == 0:
        return None
    return float(spearmanr(true, drawn).statistic)


def _changed(settings: MapSettings, changes: dict[str, object]) -> MapSettings:
    mine = {n: v for n, v in changes.items() if n in settings.__dataclass_fields__}
    rest = {n: v for n, v in changes.items() if n not in mine}
    mine.setdefault("audit", AuditSettings(**{**vars(settings.audit), **rest}))
    return MapSettings(**{**vars(settings), **mine})
