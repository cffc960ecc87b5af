"""What the names of well-known learners' code say beyond the shapes.

Stride or pooling, the slope of a ReLU and whose statistics a norm uses leave no
trace in a state dict. Where the names are those of a code base whose source
fixes such a thing, it is known; where its source leaves it to an option, it is
not, and the guess has to ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..norms import NormMode


@dataclass(frozen=True)
class Codebase:
    """One code base and what its source fixes.

    Args:
        name: As in its documentation, with the class.
        pattern: What at least one name of a convolution looks like.
        family: The built-in architecture it writes, without its number of layers.
        known: Settings its source fixes.
        norm: Whose statistics it trains and tests with; None for those it stores.
        also: What at least one other name looks like; None for no such condition.
        running: Whether its norms store running statistics; None for either.
    """

    name: str
    pattern: str
    family: str
    known: Mapping[str, Any] = field(default_factory=dict)
    norm: NormMode | None = None
    also: str | None = None
    running: bool | None = None


POOLS: Mapping[str, Any] = {"strided": False, "slope": 0.0}

CODEBASES: tuple[Codebase, ...] = (
    Codebase("metaprobe", r"block\d\.conv\.weight", "conv4"),
    Codebase(
        "learn2learn OmniglotCNN", r"(features\.1|base)\.\d\.conv\.weight", "conv4",
        {"strided": True, "pooled": True, "slope": 0.0}, "batch", r"\.\d\.normalize\.weight",
    ),
    Codebase(
        "learn2learn CNN4", r"features\.\d\.conv\.weight", "conv4", POOLS, "batch",
        r"features\.\d\.normalize\.weight",
    ),
    Codebase(
        "learn2learn CNN4Backbone", r"\d\.conv\.weight", "conv4", {"slope": 0.0}, "batch",
        r"\d\.normalize\.weight",
    ),
    Codebase(
        "torchmeta", r"features\.layer\d\.conv\.weight", "conv4", {**POOLS, "pooled": False},
        None, r"features\.layer\d\.norm\.weight", False,
    ),
    Codebase(
        "pytorch-maml MetaVGGNetwork", r"features\.conv\d\.conv\.weight", "conv4",
        {"strided": False, "pooled": False, "slope": 0.01}, None, r"features\.conv\d\.norm\.weight", False,
    ),
    Codebase(
        "MAML++", r"layer_dict\.conv\d\.conv\.weight", "conv4", {"slope": 0.01}, "batch",
        r"layer_dict\.conv\d\.norm_layer\.weight",
    ),
    Codebase(
        "BOIL ConvNet", r"(features\.\d|conv\d)\.0\.weight", "conv4", {**POOLS, "pooled": False},
        None, r"classifier\.weight", False,
    ),
    Codebase(
        "few-shot of O. Knagg", r"conv\d\.0\.weight", "conv4", {**POOLS, "pooled": False}, "batch",
        r"logits\.weight",
    ),
    Codebase(
        "LibFewShot Conv32F or Conv64F", r"(emb_func\.)?layer\d\.0\.weight", "conv4",
        {**POOLS, "pooled": False},
    ),
    Codebase(
        "CloserLookFewShot Conv4", r"(feature\.)?trunk\.\d\.C\.weight", "conv4",
        {**POOLS, "pooled": False}, None, r"trunk\.\d\.BN\.weight",
    ),
    Codebase(
        "cbfinn/maml", r"cbfinn\.conv\d\.weight", "conv4", {"slope": 0.0}, "batch",
    ),
)  # fmt: skip
"""In this order; the first that fits is believed."""


def recognise(names: Iterable[str], family: str, running: bool) -> Codebase | None:
    """The code base whose names these are; None where none is known.

    Args:
        names: Every name in the file.
        family: The built-in architecture its shapes fit.
        running: Whether running statistics are among them.

    >>> recognise(["features.0.conv.weight", "features.0.normalize.weight"], "conv4", True).norm
    'batch'
    """
    listed = list(names)
    for one in CODEBASES:
        looks = re.compile(rf"(classifier\.)?{one.pattern}")
        if (
            one.family == family
            and one.running in (None, running)
            and any(looks.fullmatch(name) for name in listed)
            and (one.also is None or any(re.search(one.also, name) for name in listed))
        ):
            return one
    return None


def plain_names(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """Names like cbfinn/maml's (``conv1``, ``b1``, …, ``w5``, ``b5``) as layers with tensors.

    Its convolutions lie as ``(3, 3, in, out)`` and its last weight as ``(H * W * C, ways)``;
    both are turned to PyTorch's. Other names come back as they are.
    """
    if not {f"conv{i}" for i in range(1, 5)} <= set(tensors) or "w5" not in tensors:
        return tensors
    out: dict[str, Any] = {}
    channels = 0
    for i in range(1, 5):
        weight = tensors[f"conv{i}"]
        if tuple(weight.shape[:2]) == (3, 3) and weight.shape[-1] != 3:
            weight = weight.permute(3, 2, 0, 1).contiguous()
        channels = weight.shape[0]
        out[f"cbfinn.conv{i}.weight"] = weight
        if f"b{i}" in tensors:
            out[f"cbfinn.conv{i}.bias"] = tensors[f"b{i}"]
        for leaf, old in (("weight", "gamma"), ("bias", "beta")):
            if f"{i - 1}/{old}" in tensors:
                out[f"cbfinn.norm{i}.{leaf}"] = tensors[f"{i - 1}/{old}"]
    last = tensors["w5"]
    side = round((last.shape[0] / channels) ** 0.5)
    if side * side * channels == last.shape[0]:
        last = last.reshape(side, side, channels, -1).permute(3, 2, 0, 1).flatten(1).contiguous()
    out["cbfinn.last.weight"] = last
    if "b5" in tensors:
        out["cbfinn.last.bias"] = tensors["b5"]
    taken = {f"conv{i}" for i in range(1, 5)} | {f"b{i}" for i in range(1, 6)} | {"w5"}
    taken |= {f"{i}/{leaf}" for i in range(4) for leaf in ("gamma", "beta")}
    return out | {n: t for n, t in tensors.items() if n not in taken}
