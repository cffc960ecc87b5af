"""Which family of networks convolutions belong to, by their shapes alone, and its names for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .structure import Layer, Structure

DEPTHS: Mapping[tuple[int, ...], str] = {
    (1, 1, 1, 1): "resnet10",
    (2, 2, 2, 2): "resnet18",
    (3, 4, 6, 3): "resnet34",
}


@dataclass(frozen=True, eq=False)
class Fit:
    """A file's layers in the places of a family's network.

    Args:
        family: The family.
        shapes: Shapes of all the network's convolutions.
        convolutions: The file's, a place each; None where it has none.
        norms: The same of norms; none at all where the network has none with values.
    """

    family: str
    shapes: tuple[tuple[int, ...], ...]
    convolutions: tuple[Layer | None, ...]
    norms: tuple[Layer | None, ...]


def whole(layers: Structure) -> Fit | None:
    """Every layer in its place, where the file lacks none."""
    family = family_of(layers)
    if family is None:
        return None
    shapes = tuple(c.shape for c in layers.convolutions)
    return Fit(family, shapes, layers.convolutions, layers.norms)


def family_of(layers: Structure) -> str | None:
    """The family whose convolutions these are, by their shapes alone."""
    shapes = [c.shape for c in layers.convolutions]
    if len(layers.norms) not in (0, len(shapes)) or not shapes:
        return None
    if (
        len(shapes) == 4
        and all(s[2:] == (3, 3) and s[0] == shapes[0][0] for s in shapes)
        and all(s[1] == shapes[0][0] for s in shapes[1:])
    ):
        return "conv4"
    if len(layers.norms) == 0:
        return None
    if len(shapes) == 16 and all(_residual_block(shapes[i : i + 4]) for i in range(0, 16, 4)):
        return "resnet12"
    if shapes[0][2:] in ((7, 7), (3, 3)):
        depths = _depths(shapes)
        return DEPTHS.get(depths) if depths else None
    return None


def _residual_block(shapes: list[tuple[int, ...]]) -> bool:
    a, b, c, shortcut = shapes
    return (
        a[2:] == b[2:] == c[2:] == (3, 3)
        and shortcut == (a[0], a[1], 1, 1)
        and b[:2] == c[:2] == (a[0], a[0])
    )


def _depths(shapes: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Blocks of each stage, where these are a stem and stages of basic blocks."""
    stages: list[int] = []
    width, i = shapes[0][0], 1
    while i < len(shapes):
        pair = shapes[i : i + 2]
        if len(pair) < 2 or pair[0][2:] != (3, 3) or pair[1] != (pair[0][0],) * 2 + (3, 3):
            return None
        if pair[0][1] != width:
            return None
        i += 2
        changes = pair[0][0] != width
        if changes:
            if i >= len(shapes) or shapes[i] != (pair[0][0], width, 1, 1):
                return None
            i += 1
        if changes or not stages:
            stages.append(0)
        stages[-1] += 1
        width = pair[0][0]
    return tuple(stages)


def stage_widths(shapes: list[tuple[int, ...]]) -> list[int]:
    """Channels of each stage, from the convolutions' shapes in order.

    >>> stage_widths([(64, 3, 7, 7), (64, 64, 3, 3), (128, 64, 3, 3)])
    [64, 128]
    """
    widths = [shapes[0][0]]
    for shape in shapes[1:]:
        if shape[0] != widths[-1]:
            widths.append(shape[0])
    return widths


def places(family: str, architecture: Mapping[str, Any]) -> dict[str, list[str]]:
    """Our names of convolutions and norms, in the order files have them."""
    if family == "conv4":
        blocks = [f"block{i}" for i in range(1, 5)]
        return {kind: [f"{b}.{kind}" for b in blocks] for kind in ("conv", "norm")}
    if family == "resnet12":
        out: dict[str, list[str]] = {"conv": [], "norm": []}
        for i in range(1, 5):
            for kind, names in out.items():
                names += [f"block{i}.path.{kind}{j}" for j in (1, 2, 3)]
                names.append(f"block{i}.shortcut.{kind}")
        return out
    depths = next(d for d, name in DEPTHS.items() if name == family)
    out = {"conv": ["stem.conv"], "norm": ["stem.norm"]}
    widths = architecture["widths"]
    for s, depth in enumerate(depths):
        for b in range(depth):
            block = f"stage{s + 1}.block{b + 1}"
            for kind, names in out.items():
                names += [f"{block}.{kind}1", f"{block}.{kind}2"]
                if b == 0 and s > 0 and widths[s] != widths[s - 1]:
                    names.append(f"{block}.shortcut.{kind}")
    return out
