"""Labelled images: what an episode is drawn from.

`N` images of `C` channels, each with a class, an id that names it for ever,
and a class group (a script, a family, a superclass) that says what is near
and what is far.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A split of a dataset, held in memory.

    Args:
        name: Name of the dataset, such as ``"glyphs"``.
        split: Name of the split, such as ``"test"``.
        images: ``(N, C, H, W)``, uint8 in 0…255 or float32 in [0, 1].
        labels: ``(N,)`` int64, positions in `classes`.
        ids: ``(N,)`` strings, unique.
        classes: Name of each class.
        groups: Group of each class; as long as `classes`.
        prepared: What reading did to the pixels, in words; None when they are as stored.
        notes: What else a reader of results must know: images left out, labels in doubt.

    Raises:
        DataError: If shapes disagree, ids repeat, a label has no class, or pixels are not finite.
    """

    name: str
    split: str
    images: Pixels
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    prepared: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"dataset {self.name!r} ({self.split})"
        if self.images.ndim != 4 or 0 in self.images.shape:
            raise DataError(
                f"{where} has images of shape {self.images.shape}; (N, C, H, W) with no empty side "
                "is needed",
                code="shape",
            )
        if self.images.dtype not in (np.uint8, np.float32):
            raise DataError(
                f"{where} has {self.images.dtype} images; uint8 in 0…255 or float32 in [0, 1] "
                "are allowed",
                code="dtype",
            )
        if not len(self.images) == len(self.labels) == len(self.ids):
            raise DataError(
                f"{where} has {len(self.images)} images, {len(self.labels)} labels and "
                f"{len(self.ids)} ids; each image needs one of each",
                code="length",
            )
        if len(self.classes) != len(self.groups):
            raise DataError(
                f"{where} names {len(self.classes)} classes and {len(self.groups)} groups; "
                "each class needs one",
                code="length",
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise DataError(
                f"{where} has labels {self.labels.min()}…{self.labels.max()} but "
                f"{len(self.classes)} classes",
                code="label",
            )
        for words in (self.ids, self.classes, self.groups):
            _require_text(words, where)
        if len(np.unique(self.ids)) != len(self.ids):
            raise DataError(f"{where} repeats a sample id; ids must be unique", code="duplicate-id")
        if self.images.dtype == np.float32:
            low, high = float(self.images.min()), float(self.images.max())
            if not (low >= 0.0 and high <= 1.0):  # also false for NaN
                raise DataError(
                    f"{where} has float pixels in [{low:g}, {high:g}]; finite values in [0, 1] "
                    "are allowed (use uint8 for 0…255)",
                    code="pixel-range",
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of one image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @cached_property
    def rows_by_class(self) -> tuple[NDArray[np.int64], ...]:
        """For each class, the rows that hold it, in order."""
        order = np.argsort(self.labels, kind="stable")
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return tuple(np.split(order, np.cumsum(counts)[:-1]))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, ids, class names and groups (not the dataset's name)."""
        digest = hashlib.sha256(b"metaprobe-images-v1")
        digest.update(repr((self.images.shape, str(self.images.dtype))).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        digest.update(self.labels.astype("<i8").tobytes())
        for words in (self.ids, self.classes, self.groups):
            digest.update("\0".join(map(str, words)).encode() + b"\1")
        return digest.hexdigest()

    def subset(self, classes: Sequence[int], *, split: str | None = None) -> LabelledImages:
        """Only these classes, renumbered in the order given.

        Raises:
            DataError: If a class does not exist.
        """
        for c in classes:
            if not 0 <= c < len(self.classes):
                raise DataError(f"class {c} of {len(self.classes)} does not exist", code="label")
        rows = np.concatenate([self.rows_by_class[c] for c in classes])
        sizes = [len(self.rows_by_class[c]) for c in classes]
        return LabelledImages(
            name=self.name,
            split=self.split if split is None else split,
            images=self.images[rows],
            labels=np.repeat(np.arange(len(classes)), sizes),
            ids=self.ids[rows],
            classes=tuple(self.classes[c] for c in classes),
            groups=tuple(self.groups[c] for c in classes),
            prepared=self.prepared,
            notes=self.notes,
        )

    def only_groups(self, groups: Sequence[str]) -> LabelledImages:
        """The classes of these groups.

        Raises:
            DataError: If a group does not exist.
        """
        missing = sorted(set(groups) - set(self.groups))
        if missing:
            raise DataError(
                f"group {missing[0]!r} is not in {self.name!r} ({self.split}); "
                f"it has {', '.join(sorted(set(self.groups)))}",
                code="unknown-group",
            )
        return self.subset([c for c, g in enumerate(self.groups) if g in set(groups)])


def _require_text(words: Sequence[str] | NDArray[np.str_], where: str) -> None:
    """Refuse names that no file can hold as text: those of files on disk may be any bytes."""
    try:
        "".join(map(str, words)).encode()
    except UnicodeEncodeError as error:
        bad = next(word for word in map(str, words) if not _is_text(word))
        raise DataError(
            f"{where} has the name {bad!r}, which is not UTF-8; rename it", code="not-text"
        ) from error


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
