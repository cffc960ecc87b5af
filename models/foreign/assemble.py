"""A chosen network's tensors under our names, and what was seen and assumed on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .ask import Ask
from .codebases import Codebase
from .family import Fit, places
from .found import Found
from .images import statistics
from .structure import Layer, Structure, described


@dataclass(frozen=True)
class Candidate:
    """One network that the shapes allow."""

    architecture: Mapping[str, Any]
    side: int
    said: str


def assemble(
    chosen: Candidate,
    fit: Fit,
    layers: Structure,
    head: Layer | None,
    codebase: Codebase | None,
    ask: Ask,
) -> Found:
    """Tensors under our names, and what was seen and assumed on the way."""
    architecture = dict(chosen.architecture)
    named = places(fit.family, architecture)
    body: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    assumed = _assumed(architecture, codebase, head, ask)
    rows = zip(fit.convolutions, named["conv"], strict=True)
    for layer, place in [*rows, *zip(fit.norms, named["norm"], strict=False)]:
        if layer is None:
            continue
        for leaf, tensor in layer.tensors.items():
            if tensor.ndim == 2:  # a row for each inner step
                tensor = tensor[-1].clone()
            body[f"{place}.{leaf}"] = tensor
            names[f"{place}.{leaf}"] = layer.full(leaf)
    if layers.by_numbers:
        assumed.append(
            "layers stand in the file in another order than their numbers; the numbers are followed"
        )
    if any(t.ndim == 2 for n in layers.norms for t in n.tensors.values()):
        assumed.append(
            "norms hold a row for each inner step; the last step's is used throughout, as when "
            "the adapted network is tested"
        )
    stored: dict[str, Tensor] = {}
    if head is not None:
        leaf = "weight" if "weight" in head.tensors else "weights"
        stored["weight"] = head.tensors[leaf]
        stored["bias"] = head.tensors.get("bias", stored["weight"].new_zeros(head.shape[0]))
        names["head.weight"] = head.full(leaf)
        if "bias" in head.tensors:
            names["head.bias"] = head.full("bias")
    known = set(names.values()) | set(layers.twins)
    twins = set(layers.twins)
    unexpected = tuple(
        layer.full(leaf)
        for layer in (*layers.linears, *layers.rest)
        for leaf in layer.tensors
        if layer is not head and layer.name not in twins and layer.full(leaf) not in known
    )
    side = ask.image or (chosen.side, chosen.side)
    if ask.image is None and (head is None or architecture["pooled"]):
        assumed.append(
            f"the image side leaves no trace; {side[0]}, usual in the literature, is taken (another: "
            "image=N with --arch)"
        )
    channels = architecture["channels"]
    colour = channels == 3 and bool(architecture.get("wide_stem"))
    normalisation = statistics(None, ask, channels, assumed, colour=colour)
    return Found(
        architecture={**architecture, **normalisation},
        body=body,
        head=stored,
        names=names,
        unexpected=unexpected,
        shape=(channels, *side),
        evidence=tuple(_evidence(fit, layers, head, codebase, architecture)),
        assumed=tuple(assumed),
        norm=codebase.norm if codebase else None,
        head_name=head.name if head else "",
    )


def _assumed(
    architecture: Mapping[str, Any], codebase: Codebase | None, head: Layer | None, ask: Ask
) -> list[str]:
    fixed = {**(codebase.known if codebase else {}), **ask.settings}
    out = []
    if architecture["name"] == "conv4" and "slope" not in fixed:
        out.append(
            "the activation and the pooling leave no trace; ReLU after the norm"
            + ("" if architecture["strided"] else " and the largest of 2 x 2")
            + " is assumed"
        )
    if head is None and "pooled" not in fixed:
        how = "averaged over space" if architecture["pooled"] else "flattened"
        out.append(f"the file has no head, so the last map is {how}, as is usual")
    return out


def _evidence(
    fit: Fit,
    layers: Structure,
    head: Layer | None,
    codebase: Codebase | None,
    architecture: Mapping[str, Any],
) -> Iterator[str]:
    lost = [len(kind) - sum(map(bool, kind)) for kind in (fit.convolutions, fit.norms)]
    short = f", with {lost[0]} convolutions and {lost[1]} norms missing" if any(lost) else ""
    yield f"{described(layers)}: {fit.family}{short}"
    first = fit.convolutions[0]
    if first is not None and len(first.shape) == 4:
        yield f"{first.full('weight')} is {first.shape}: {first.shape[1]} channels"
    if codebase is not None:
        yield f"names are those of {codebase.name}"
    if head is not None:
        last = architecture.get("filters") or architecture["widths"][-1]
        side = round((head.shape[1] / last) ** 0.5)
        how = f"{last} pooled" if architecture["pooled"] else f"{last} x {side} x {side}"
        yield f"head {head.name!r} takes {head.shape[1]} values: {how}"
    if layers.twins:
        yield f"{len(layers.twins)} layers are saved under two names, first {layers.twins[0]!r}"
