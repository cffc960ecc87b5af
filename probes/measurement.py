"""What is measured on which episodes, the key it is kept under, and what comes out.

The key holds everything that the embeddings of a block depend on, and nothing else: an entry
of the store is found again exactly where the same numbers would be computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..data.fit import AS_STORED
from ..data.images import LabelledImages
from ..models.encoder import Encoder
from ..models.forward import CHUNK
from ..models.heads import HeadStart
from ..models.norms import NormMode
from ..models.rules import Rule
from .controls import Control
from .other_tasks import other_tasks

BLOCK = 20
"""Episodes an entry of the store."""

CODE = 2
"""Raised whenever the same key would give other numbers."""

Moment = Literal["init", "adapted"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What to measure on which episodes.

    Args:
        encoder: The encoder.
        data: Images of T.
        off_data: Images of T′; the same object as `data` unless T′ lies elsewhere.
        episodes: The episodes.
        rule: The inner loop.
        norm: The norm mode.
        head: Where the inner loop's head starts.
        device: A torch device.
        preprocessing: How the images came into the encoder's shape, in words.
        control: An adaptation that has the form of the real one and none of its content.
        beyond: With a random direction: the encoder whose adaptation it starts from and is
            measured from. None: from meta-init.
    """

    encoder: Encoder
    data: LabelledImages
    off_data: LabelledImages
    episodes: EpisodeList
    rule: Rule
    norm: NormMode
    head: HeadStart
    device: str = "cpu"
    preprocessing: str = AS_STORED
    control: Control | None = None
    beyond: Encoder | None = None

    @property
    def blocks(self) -> list[EpisodeList]:
        """The episodes, in blocks of `BLOCK`."""
        return [self.episodes[i : i + BLOCK] for i in range(0, len(self.episodes), BLOCK)]

    @cached_property
    def moved(self) -> tuple[str, ...]:
        """Names of the parameters that move, in order."""
        names = [*self.encoder.params, "head.weight", "head.bias"]
        return tuple(n for n in names if self.rule.moves(n))

    def fitted(self, block: EpisodeList) -> NDArray[np.int64]:
        """The support `(E, W, K)` that the inner loop sees."""
        if self.control == "third task":
            third = other_tasks(block, self.episodes, 1)[:, 0]
            return self.episodes.on.support[third]
        return block.on.support

    def key(self, block: EpisodeList, moment: Moment) -> dict[str, object]:
        """Everything the embeddings of a block depend on."""
        adaptation: dict[str, object] | None = None
        if moment == "adapted":
            adaptation = {
                "rule": self.rule.to_json(),
                "head": self.head,
                "learned": self.encoder.rule_digest,
            }
            if self.control is not None:
                adaptation["control"] = self.control
            if self.control == "third task":
                # the only one that depends on more than the block's own episodes
                adaptation["fitted"] = hashlib.sha256(self.fitted(block).tobytes()).hexdigest()
            if self.beyond is not None:
                adaptation["beyond"] = self.beyond.rule_digest
        return {
            "what": "episode embeddings",
            "code": CODE,
            "weights": self.encoder.weights_digest,
            "architecture": dict(self.encoder.architecture),
            "layer": "embedding",
            "norm": self.norm,
            "preprocessing": self.preprocessing,
            "episodes": block.sha256,
            "compute": {
                "device": torch.device(self.device).type,
                "dtype": "float32",
                "chunk": CHUNK,
            },
            "adaptation": adaptation,
        }


@dataclass(frozen=True, eq=False)
class BlockFeatures:
    """One block of episodes at one moment.

    Args:
        features: ``(E, 2, R, D)``: task T then T′; rows support, gallery, query, each class-major.
        extras: Arrays that lead with `E`: see `compute`.
    """

    features: NDArray[np.float32]
    extras: Mapping[str, NDArray[Any]]

    def part(
        self, task: Literal["on", "off"], role: Literal["support", "gallery", "query"], support: int
    ) -> NDArray[np.float32]:
        """Features `(E, B, D)` of one role, given the number of support rows."""
        rows = {
            "support": slice(0, support),
            "gallery": slice(support, 2 * support),
            "query": slice(2 * support, None),
        }[role]
        return self.features[:, 0 if task == "on" else 1, rows]
