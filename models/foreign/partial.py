"""Which layers of a built-in network a file has, where it lacks some of them.

The layers that are there stand in the network's order, have its shapes, and bear names whose
numbers run with the places they take. Where these leave one way to place them, what is missing
is known by name; where they leave several, that is an error, for a layer in another's place
would be a wrong network in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Any

import torch

from ...data.errors import CheckpointError
from ..backbones import BACKBONES, build_backbone
from .ask import Ask
from .family import DEPTHS, Fit, places
from .names import belong_together, regular
from .structure import Layer, Structure, described, natural
from .unknowns import Unknown, architecture_of

MOST_WAYS, MOST_LOOSE = 20_000, 4
"""Ways of placing layers that are looked at, and layers without a weight that are placed."""

Spots = tuple[tuple[int, ...], ...]


def partly(layers: Structure, ask: Ask, where: str) -> Fit | None:
    """The one way to place these layers in a built-in network that has more; None for none.

    Args:
        layers: The file's.
        ask: What the caller says. Where that is nothing, only networks are thought of of which
            the file has a part of every block.
        where: What to call the file in an error.

    Raises:
        CheckpointError: If there are several ways, or a size left no trace.
    """
    if not layers.convolutions:
        return None
    found: list[Fit] = []
    gone: list[str] = []
    for family in [ask.name] if ask.name else list(BACKBONES):
        try:
            ways = _ways(family, layers, ask)
        except Unknown as unknown:
            if ask.name:
                raise CheckpointError(
                    f"{where!r} lacks layers of {family}, and with them {unknown}",
                    code="ambiguous-architecture",
                ) from None
            continue
        if layers.by_numbers and any(fit.convolutions[0] is None for fit in ways):
            raise CheckpointError(
                f"{where!r} lacks the first convolution of {family}, and its order contradicts the "
                "numbers in its names, so nothing says at which end it begins; save it again in "
                "the order of its layers",
                code="ambiguous-architecture",
            )
        if not ask.name and any(map(_lost_blocks, ways)):
            gone.append(family)
            ways = [fit for fit in ways if not _lost_blocks(fit)]
        if len(ways) > 1:
            raise CheckpointError(
                f"{where!r} lacks layers of {family}, and its names do not say which: "
                f"{_differing(ways)} could be missing; save it again with the names its code gives",
                code="ambiguous-architecture",
            )
        found += ways
    if len(found) > 1:
        listed = " or ".join(f"--arch {fit.family}" for fit in found)
        raise CheckpointError(
            f"{where!r} lacks layers of more than one network; choose {listed}",
            code="ambiguous-architecture",
        )
    if gone and not found:
        listed = " or ".join(f"--arch {family}" for family in gone)
        raise CheckpointError(
            f"{where!r} fits no built-in architecture ({described(layers)}); if it is one that "
            f"lacks whole blocks say which: {listed}",
            code="unknown-architecture",
        )
    return found[0] if found else None


def _ways(family: str, layers: Structure, ask: Ask) -> list[Fit]:
    """Every way to place the layers in this network, those that place the most alone."""
    architecture = architecture_of(family, layers, ask)
    named = places(family, architecture)
    with torch.device("meta"):
        state = build_backbone(architecture).state_dict()
    shapes = [tuple(state[f"{place}.weight"].shape) for place in named["conv"]]
    spots = coordinates(named["conv"])
    best: list[Fit] = []
    most = -1
    for convolutions, norms in _kinds(layers):
        placed = len(convolutions) + len(norms)
        if placed < most:
            break
        for c, n in _placed(convolutions, norms, shapes, spots):
            most = placed
            best.append(
                Fit(
                    family,
                    tuple(shapes),
                    _at(convolutions, c, len(shapes)),
                    _at(norms, n, len(shapes)),
                )
            )
    return best


def _kinds(layers: Structure) -> Iterator[tuple[list[Layer], list[Layer]]]:
    """Convolutions and norms; layers whose weight is lost as either, or as neither at last."""
    loose = [one for one in layers.rest if _vectors(one)]
    both = (layers.convolutions, layers.norms)
    if len(loose) > MOST_LOOSE or any(list(k) != _sorted(k) for k in both):
        loose = []
    options = sorted(product((0, 1, 2), repeat=len(loose)), key=lambda o: o.count(2))
    for option in options:
        convolutions, norms = (
            _sorted([*kind, *(one for one, at in zip(loose, option, strict=True) if at == i)])
            if loose
            else list(kind)
            for i, kind in enumerate(both)
        )
        yield convolutions, norms


def _sorted(layers: Sequence[Layer]) -> list[Layer]:
    return sorted(layers, key=lambda layer: natural(layer.name))


def _vectors(layer: Layer) -> bool:
    """Whether this is what is left of a layer that lost its weight, or its bias."""
    return set(layer.tensors) <= {"weight", "bias"} and all(
        t.ndim == 1 for t in layer.tensors.values()
    )


def _placed(
    convolutions: list[Layer],
    norms: list[Layer],
    shapes: list[tuple[int, ...]],
    spots: list[tuple[Spots, ...]],
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    def conv_fits(layer: Layer, slot: int) -> bool:
        if layer.shape[1:]:
            return layer.shape == shapes[slot]
        return layer.tensors["bias"].shape[0] == shapes[slot][0] if layer.tensors else False

    def norm_fits(layer: Layer, slot: int) -> bool:
        sized = [t.shape[-1] for t in layer.tensors.values() if t.ndim]
        return all(size == shapes[slot][0] for size in sized)

    ways = [
        [
            way
            for way in _in_order(layers, len(shapes), fits)
            if any(regular(layers, [s[at] for at in way]) for s in zip(*spots, strict=True))
        ]
        for layers, fits in ((convolutions, conv_fits), (norms, norm_fits))
    ]
    blocks = [spot[0][:-1] or spot[0] for spot in spots]
    for c, n in product(*ways):
        if belong_together(convolutions, c, norms, n, blocks):
            yield c, n


def _in_order(
    layers: Sequence[Layer], slots: int, fits: Callable[[Layer, int], bool]
) -> list[tuple[int, ...]]:
    """Ways to give each layer a place of its own, later layers later places."""

    def further(done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        k = len(done)
        if k == len(layers):
            yield done
            return
        for slot in range(done[-1] + 1 if done else 0, slots - (len(layers) - k) + 1):
            if fits(layers[k], slot):
                yield from further((*done, slot))

    ways = list(islice(further(()), MOST_WAYS + 1))
    return ways if len(ways) <= MOST_WAYS else []


def coordinates(named: Sequence[str]) -> list[tuple[Any, ...]]:
    """Where each convolution stands, in two ways: by stage, block and place, and by a running
    number of the block and place.

    >>> coordinates(["block1.conv", "block2.conv"])
    [((1,), (1,)), ((2,), (2,))]
    >>> coordinates(["stem.conv", "stage1.block1.conv1", "stage2.block1.shortcut.conv"])
    [((0, 0, 0), (0, 0)), ((1, 1, 1), (1, 1)), ((2, 1, 3), (2, 3))]
    """
    out: list[tuple[Any, ...]] = []
    blocks: list[str] = []
    for name in named:
        block = re.sub(r"\.(path\.)?(shortcut\.)?conv\d?$", "", name)
        if block not in blocks:
            blocks.append(block)
        numbers = tuple(int(n) for n in re.findall(r"(?:stage|block)(\d+)", name))
        at = re.search(r"conv(\d)$", name)
        if name.endswith("shortcut.conv"):
            place: tuple[int, ...] = (4,) if len(numbers) == 1 else (3,)
        else:
            place = (int(at[1]),) if at else ()
        if block == "stem":
            out.append(((0, 0, 0), (0, 0)))
            continue
        running = blocks.index(block) + (0 if "stem" in blocks else 1)
        out.append(((*numbers, *place), (running, *place)))
    return out


def _at(layers: Sequence[Layer], slots: tuple[int, ...], count: int) -> tuple[Layer | None, ...]:
    at = dict(zip(slots, layers, strict=True))
    return tuple(at.get(i) for i in range(count))


def _lost_blocks(fit: Fit) -> bool:
    """Whether there is a block of which nothing is left."""
    convs = _conv_places(fit)
    blocks: dict[tuple[int, ...], bool] = {}
    rows = zip(coordinates(convs), fit.convolutions, fit.norms, strict=True)
    for spot, conv, norm in rows:
        block = spot[0][:-1] or spot[0]
        blocks[block] = blocks.get(block, False) or conv is not None or norm is not None
    return not all(blocks.values())


def _conv_places(fit: Fit) -> list[str]:
    widths: list[int] = []
    if fit.family in DEPTHS.values():
        widths = [fit.shapes[0][0]]
        widths += [s[0] for s in fit.shapes[1:] if s[0] != s[1]]
        widths = list(dict.fromkeys(widths))
    return places(fit.family, {"widths": widths})["conv"]


def _differing(ways: list[Fit]) -> str:
    """Places that are empty in one way and not in another."""
    named = _conv_places(ways[0])
    empty: list[set[str]] = [
        {place for place, layer in zip(named, way.convolutions, strict=True) if layer is None}
        | {
            place.replace("conv", "norm")
            for place, layer in zip(named, way.norms, strict=True)
            if layer is None
        }
        for way in ways
    ]
    always = empty[0].intersection(*empty)
    listed = sorted(empty[0].union(*empty) - always, key=natural)
    return " or ".join(listed[:4])
