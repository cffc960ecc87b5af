"""Episodes: pairs of tasks, as index arrays, the same on every machine.

An episode is a task T that the inner loop may adapt to, and a task T′ of
classes disjoint from T's that it never sees. Both hold support, query and a
fresh gallery: further images of the same classes that nothing was fitted on.

Episode `i` depends on the seed, on `i` and on the datasets' fingerprints, and
on nothing else: not on how many episodes are drawn, nor on the machine.
Letters: `E` episodes, `W` classes a task (way), `K` support images a class
(shot), `Q` query images a class.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .images import LabelledImages

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tasks:
    """One task of every episode, as indices into a dataset.

    Rows are class-major: within a task, the label of a row is the position of its class.

    Args:
        classes: ``(E, W)`` classes of the dataset.
        support: ``(E, W, K)`` rows that the inner loop fits.
        query: ``(E, W, Q)`` rows that are classified.
        gallery: ``(E, W, K)`` fresh rows of the same classes.
    """

    classes: Indices
    support: Indices
    query: Indices
    gallery: Indices

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, episodes: slice) -> Tasks:
        return Tasks(
            self.classes[episodes],
            self.support[episodes],
            self.query[episodes],
            self.gallery[episodes],
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Way, shot and query: `(W, K, Q)`."""
        return self.classes.shape[1], self.support.shape[2], self.query.shape[2]


@dataclass(frozen=True, eq=False)
class EpisodeList:
    """A list of episodes.

    Args:
        on: T of each episode: what adaptation sees.
        off: T′ of each episode: what it does not.
        seed: Seed they were drawn from.
        fingerprints: Fingerprints of the datasets of T and of T′.
    """

    on: Tasks
    off: Tasks
    seed: int
    fingerprints: tuple[str, str]

    def __len__(self) -> int:
        return len(self.on)

    def __getitem__(self, episodes: slice) -> EpisodeList:
        return EpisodeList(self.on[episodes], self.off[episodes], self.seed, self.fingerprints)

    @cached_property
    def sha256(self) -> str:
        """One hash over every index and both datasets."""
        digest = hashlib.sha256(b"metaprobe-episodes-v1")
        digest.update("\0".join(self.fingerprints).encode())
        for tasks in (self.on, self.off):
            for part in (tasks.classes, tasks.support, tasks.query, tasks.gallery):
                digest.update(repr(part.shape).encode())
                digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()


def draw_episodes(
    data: LabelledImages,
    episodes: int,
    *,
    way: int = 5,
    shot: int = 1,
    query: int = 15,
    seed: int = 0,
    off_data: LabelledImages | None = None,
    replacement: bool = True,
) -> EpisodeList:
    """Draw episodes.

    Args:
        data: Where T comes from, and T′ too unless `off_data` is given.
        episodes: How many, `E`.
        way: Classes a task, `W`.
        shot: Support (and gallery) images a class, `K`.
        query: Query images a class, `Q`.
        seed: The only source of randomness.
        off_data: Where T′ comes from: another group, split or dataset (far off-task).
        replacement: Whether an image may serve in several episodes. Without, every
            image serves once, as in an exam whose questions are never used again.

    Raises:
        DataError: If the data cannot give such episodes.

    >>> from metaprobe.data.synthetic import planted_images
    >>> drawn = draw_episodes(planted_images(classes=12), 3, way=5, query=5)
    >>> drawn.on.query.shape, len(drawn.sha256)
    ((3, 5, 5), 64)
    """
    for word, value, least in (
        ("episodes", episodes, 1), ("way", way, 2), ("shot", shot, 1), ("query", query, 1),
    ):  # fmt: skip
        if value < least:
            raise DataError(f"{word} is {value}; {least} or more is needed", code=f"{word}-small")
    sources = (data, off_data or data)
    if off_data is not None:
        _check_apart(data, off_data)
    needs = (2 * way,) if off_data is None else (way, way)
    usable = [_usable(d, n, shot, query) for d, n in zip(sources, needs, strict=False)]
    fingerprints = (sources[0].fingerprint, sources[1].fingerprint)
    draw = _with_replacement if replacement else _without_replacement
    entropy = int(hashlib.sha256("\0".join(fingerprints).encode()).hexdigest()[:32], 16)
    drawn = [
        draw(d, classes, episodes, n, 2 * shot + query, [entropy, seed, which])
        for which, (d, classes, n) in enumerate(zip(sources, usable, needs, strict=False))
    ]
    if off_data is None:
        classes, rows = drawn[0]
        halves = [(classes[:, :way], rows[:, :way]), (classes[:, way:], rows[:, way:])]
    else:
        halves = drawn
    on, off = (
        Tasks(c, r[..., :shot], r[..., shot : shot + query], r[..., shot + query :])
        for c, r in halves
    )
    return EpisodeList(on, off, seed, fingerprints)


def _check_apart(data: LabelledImages, off_data: LabelledImages) -> None:
    """T and T′ have classes apart; of two datasets, classes of one name may be different."""
    if off_data.fingerprint == data.fingerprint:
        raise DataError(
            "the off-task data is the on-task data itself and shares every class; leave it out to "
            "draw disjoint classes",
            code="same-data",
        )
    shared = sorted(set(off_data.classes) & set(data.classes))
    if off_data.name == data.name and shared:
        raise DataError(
            f"the off-task data {off_data.name!r} ({off_data.split}) shares {len(shared)} classes "
            f"with the on-task data (first {shared[0]!r}); T and T′ need classes apart: "
            "choose another split or dataset",
            code="classes-shared",
        )


def _usable(data: LabelledImages, classes: int, shot: int, query: int) -> Indices:
    """The classes with images enough for support, query and gallery."""
    need = 2 * shot + query
    sizes = np.array([len(rows) for rows in data.rows_by_class])
    usable = np.flatnonzero(sizes >= need)
    if len(usable) < classes:
        raise DataError(
            f"{data.name!r} ({data.split}) has {len(usable)} classes of at least {need} images "
            f"(shot {shot} twice, query {query}); these episodes need {classes}: "
            "lower --way, --shot or --query",
            code="too-few-classes",
        )
    return usable


def _with_replacement(
    data: LabelledImages, usable: Indices, episodes: int, way: int, images: int, entropy: list[int]
) -> tuple[Indices, Indices]:
    classes = np.empty((episodes, way), np.int64)
    rows = np.empty((episodes, way, images), np.int64)
    for i in range(episodes):
        rng = np.random.default_rng([*entropy, i])
        classes[i] = rng.choice(usable, way, replace=False)
        for w, c in enumerate(classes[i]):
            rows[i, w] = rng.choice(data.rows_by_class[c], images, replace=False)
    return classes, rows


def _without_replacement(
    data: LabelledImages, usable: Indices, episodes: int, way: int, images: int, entropy: list[int]
) -> tuple[Indices, Indices]:
    """Rounds: in each, every class that still has unused images takes part in one episode."""
    left = {
        int(c): np.random.default_rng([*entropy, 1, int(c)]).permutation(data.rows_by_class[c])
        for c in usable
    }
    classes: list[Indices] = []
    rows: list[Indices] = []
    for turn in range(len(data)):
        able = [c for c, r in left.items() if len(r) >= images]
        if len(able) < way or len(classes) >= episodes:
            break
        order = np.random.default_rng([*entropy, 2, turn]).permutation(able)
        for group in order[: len(order) // way * way].reshape(-1, way):
            classes.append(group)
            rows.append(np.stack([left[int(c)][:images] for c in group]))
            left.update({int(c): left[int(c)][images:] for c in group})
    if len(classes) < episodes:
        raise DataError(
            f"{data.name!r} ({data.split}) gives {len(classes)} episodes without replacement and "
            f"{episodes} were asked; ask for fewer, or allow replacement",
            code="too-many-episodes",
        )
    return np.stack(classes[:episodes]), np.stack(rows[:episodes])
