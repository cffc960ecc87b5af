"""What looking at a checkpoint comes to: an architecture, and tensors under its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..norms import NormMode

IMAGENET: Mapping[str, list[float]] = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""Colour statistics that networks trained on ImageNet expect to be taken off."""


@dataclass(frozen=True, eq=False)
class Found:
    """An architecture for a file's tensors.

    Args:
        architecture: As for `build_body`.
        body: The body's tensors under the architecture's names.
        head: ``weight`` ``(outputs, D)`` and ``bias``; empty where the file has none.
        names: The file's names of all these, by what they became.
        unexpected: Names in the file that belong to neither, nor to rates.
        shape: `(C, H, W)` of an image.
        evidence: What speaks for the architecture, sentence by sentence.
        assumed: What no tensor shows, and what was taken instead.
        norm: Whose statistics its norms use; None for those it stores, where it does.
        head_name: The head's layer in the file.
    """

    architecture: Mapping[str, Any]
    body: Mapping[str, Tensor]
    head: Mapping[str, Tensor]
    names: Mapping[str, str]
    unexpected: tuple[str, ...]
    shape: tuple[int, int, int]
    evidence: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    norm: NormMode | None = None
    head_name: str = ""
