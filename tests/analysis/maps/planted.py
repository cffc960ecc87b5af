"""Maps of planted rows, without a network."""

from __future__ import annotations

import numpy as np

from metaprobe.analysis.maps.make import MapSettings, map_of
from metaprobe.analysis.maps.points import Points
from metaprobe.analysis.maps.result import Map
from metaprobe.data.store import Store


def rows(
    classes: int = 4,
    each: int = 12,
    *,
    dim: int = 16,
    phases: bool = False,
    moved: tuple[str, ...] = ("T",),
    names: tuple[str, ...] | None = None,
    channels: int = 1,
    seed: int = 0,
) -> Points:
    """Tight classes in `dim` dimensions.

    With `phases` there are as many rows again, after adaptation: the tasks in `moved` have
    turned by a random rotation, the others are the same but for rounding.
    """
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = random.normal(size=(classes, dim))
    features = centres[labels] + 0.15 * random.normal(size=(len(labels), dim))
    task = np.where(labels < classes / 2, "T", "T′")
    n = len(labels)
    images = random.integers(0, 256, size=(n, channels, 6, 6)).astype(np.uint8)
    ids = np.array([f"image/{i:03d}" for i in range(n)])
    role = np.where(np.arange(n) % each == 0, "support", "query")
    blank = np.full(n, "")
    copies, pairs = 1, np.empty((0, 2), np.int64)
    moment, episode = blank, np.full(n, -1)
    if phases:
        turn = np.linalg.qr(random.normal(size=(dim, dim)))[0]
        after = np.where(np.isin(task, moved)[:, None], features @ turn, features * (1 + 1e-6))
        features, copies = np.concatenate([features, after]), 2
        moment = np.repeat(["init", "adapted"], n)
        pairs = np.column_stack([np.arange(n), np.arange(n) + n])
        episode = np.zeros(2 * n, np.int64)
    return Points(
        features=features.astype(np.float32),
        ids=np.tile(ids, copies),
        labels=np.tile(labels, copies),
        classes=names or tuple(f"class {c}" for c in range(classes)),
        groups=tuple(f"group {c % 3}" for c in range(classes)),
        images=np.tile(images, (copies, 1, 1, 1)),
        moment=moment,
        task=np.tile(task, copies) if phases else blank,
        role=np.tile(role, copies) if phases else blank,
        episode=episode,
        pairs=pairs,
        whole=n,
    )


def planted_map(points: Points, *layouts: str, store: Store | None = None) -> Map:
    """Those rows laid out, by PCA unless told otherwise."""
    settings = MapSettings(layouts=layouts or ("pca",))  # type: ignore[arg-type]
    return map_of(points, settings, store=store, checkpoint="planted", norm="batch")
