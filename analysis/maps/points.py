"""The rows of a map: features that know their image, and what became of it.

A map of a dataset has one row an image. A map of phases has two: each image of an episode
before and after adaptation, side by side in the same coordinates. Adaptation moves the
encoder's parameters and not the axes of its features, so both lie in one space, and one
layout of both together is the only one in which an arrow is a displacement: see docs/maps.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...data.episodes import EpisodeList, Tasks
from ...data.errors import DataError
from ...data.images import LabelledImages
from ...data.store import Store
from ...models.encoder import Encoder
from ...probes.embed import embed, embedding_key
from ...probes.extract import extract
from ...probes.measurement import BLOCK, Measurement

TaskName = Literal["", "T", "T′"]

_TASKS: tuple[tuple[Literal["on", "off"], TaskName], ...] = (("on", "T"), ("off", "T′"))
_ROLES = ("support", "gallery", "query")


@dataclass(frozen=True, eq=False)
class Points:
    """Rows of a map before it is laid out.

    Args:
        features: ``(N, D)`` float32.
        ids: ``(N,)`` the image of each row.
        labels: ``(N,)`` positions in `classes`.
        classes: Names.
        groups: The group of each class.
        images: ``(N, C, H, W)`` pixels of each row.
        moment: ``(N,)`` ``"init"`` or ``"adapted"``; ``""`` in a map of a dataset.
        task: ``(N,)`` ``"T"``, ``"T′"`` or ``""``.
        role: ``(N,)`` ``"support"``, ``"gallery"``, ``"query"`` or ``""``.
        episode: ``(N,)`` number of the episode; -1 where there is none.
        pairs: ``(P, 2)`` rows of one image before and after.
        whole: Images there were before some were drawn.
        computed: Store entries that had to be computed.
    """

    features: NDArray[np.float32]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    images: NDArray[np.uint8] | NDArray[np.float32]
    moment: NDArray[np.str_]
    task: NDArray[np.str_]
    role: NDArray[np.str_]
    episode: NDArray[np.int64]
    pairs: NDArray[np.int64]
    whole: int
    computed: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sha256(self) -> str:
        """Hash of the features, in order: what a layout depends on."""
        digest = hashlib.sha256(repr(self.features.shape).encode())
        digest.update(self.features.astype("<f4").tobytes())
        return digest.hexdigest()


def dataset_points(
    encoder: Encoder,
    data: LabelledImages,
    store: Store | None,
    *,
    most: int,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> Points:
    """One row for each image of a split, or for a stratified draw of `most` of them.

    All images are embedded, one at a time (norm mode ``running``), and kept in the store.

    Raises:
        MetaprobeError: As `embed`.
    """
    key_known = store is not None and store.contains(embedding_key(encoder, data, device))
    rows = embed(encoder, data, store, device=device, progress=progress)
    kept = stratified(data.labels, most, seed)
    blank = np.full(len(kept), "")
    return Points(
        features=rows.features[kept],
        ids=rows.ids[kept],
        labels=rows.labels[kept],
        classes=data.classes,
        groups=data.groups,
        images=data.images[kept],
        moment=blank,
        task=blank,
        role=blank,
        episode=np.full(len(kept), -1),
        pairs=np.empty((0, 2), dtype=np.int64),
        whole=len(data),
        computed=0 if key_known else 1,
    )


def stratified(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` rows, each class in proportion (by largest remainder), in order.

    >>> stratified(np.repeat([0, 1], [90, 10]), 20, seed=0).searchsorted(90)
    np.int64(18)
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (most / len(labels))
    take = np.floor(exact).astype(np.int64)
    short = most - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[:short]] += 1
    random = np.random.default_rng(seed)
    drawn = [
        random.choice(np.flatnonzero(labels == c), n, replace=False)
        for c, n in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def phase_points(measurement: Measurement, episodes: Sequence[int], store: Store | None) -> Points:
    """Every image of these episodes before and after adaptation.

    Whole blocks of episodes are measured, as an audit does, so that either finds in the store
    what the other left.

    Raises:
        DataError: ``episode``.
    """
    for e in episodes:
        if not 0 <= e < len(measurement.episodes):
            raise DataError(
                f"episode {e} of {len(measurement.episodes)} does not exist; "
                f"choose 0 to {len(measurement.episodes) - 1}",
                code="episode",
            )
    parts, computed = [], 0
    for number in sorted({e // BLOCK for e in episodes}):
        block = measurement.blocks[number]
        found, missing = extract(measurement, block, store, ("init", "adapted"))
        computed += missing
        for e in episodes:
            if e // BLOCK == number:
                at = e % BLOCK
                both = (found["init"].features[at], found["adapted"].features[at])
                parts.append(_episode(measurement, block[at : at + 1], e, both))
    return _joined(measurement, parts, computed)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of one episode: all of T and T′ before adaptation, then after."""

    features: NDArray[np.float32]
    where: tuple[NDArray[np.int64], NDArray[np.int64]]
    role: NDArray[np.str_]
    episode: int


def _episode(
    measurement: Measurement,
    one: EpisodeList,
    number: int,
    both: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> _Rows:
    roles = [np.repeat(_ROLES, [getattr(one.on, r).size for r in _ROLES])]
    roles.append(np.repeat(_ROLES, [getattr(one.off, r).size for r in _ROLES]))
    width = both[0].shape[-1]
    return _Rows(
        np.concatenate([features.reshape(-1, width) for features in both]),
        (_flat(one.on), _flat(one.off)),
        np.concatenate(roles),
        number,
    )


def _flat(tasks: Tasks) -> NDArray[np.int64]:
    return np.concatenate([getattr(tasks, role).ravel() for role in _ROLES])


def _joined(measurement: Measurement, parts: Sequence[_Rows], computed: int) -> Points:
    data = (measurement.data, measurement.off_data)
    same = data[0].fingerprint == data[1].fingerprint
    shift = 0 if same else len(data[0].classes)
    columns: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("ids", "labels", "images", "moment", "task", "role", "episode")
    }
    pairs, first = [], 0
    for part in parts:
        many = len(part.role)
        for moment in ("init", "adapted"):
            for d, rows, offset, (_, task) in zip(
                data, part.where, (0, shift), _TASKS, strict=True
            ):
                columns["ids"].append(d.ids[rows])
                columns["labels"].append(d.labels[rows] + offset)
                columns["images"].append(d.images[rows])
                columns["task"].append(np.full(len(rows), task))
                columns["moment"].append(np.full(len(rows), moment))
            columns["role"].append(part.role)
            columns["episode"].append(np.full(many, part.episode))
        pairs.append(np.column_stack([np.arange(many), np.arange(many) + many]) + first)
        first += 2 * many
    joined = {name: np.concatenate(column) for name, column in columns.items()}
    return Points(
        features=np.concatenate([part.features for part in parts]),
        classes=data[0].classes if same else (*data[0].classes, *data[1].classes),
        groups=data[0].groups if same else (*data[0].groups, *data[1].groups),
        pairs=np.concatenate(pairs),
        whole=first // 2,
        computed=computed,
        **joined,
    )
