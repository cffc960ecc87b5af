"""Do the numbers in layers' names run with the places that the layers are given?"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from fractions import Fraction

from .structure import Layer, frame

Spot = tuple[int, ...]


def regular(layers: Sequence[Layer], spots: Sequence[Spot]) -> bool:
    """Whether, among names that differ in numbers alone, numbers and places determine each other.

    Args:
        layers: Layers of one kind.
        spots: The coordinates of the place of each.

    >>> names = [Layer(f"layer{i}.0", {}) for i in (1, 2, 4)]
    >>> regular(names, [(1,), (2,), (4,)]), regular(names, [(1,), (2,), (3,)])
    (True, False)
    """
    groups: dict[str, list[tuple[Spot, Spot]]] = {}
    for layer, spot in zip(layers, spots, strict=True):
        groups.setdefault(frame(layer.name), []).append((numbers(layer.name), spot))
    return all(_alike(name, rows) for name, rows in groups.items())


def numbers(name: str) -> Spot:
    """The numbers in a name."""
    return tuple(map(int, re.findall(r"\d+", name)))


def _alike(name: str, rows: list[tuple[Spot, Spot]]) -> bool:
    said = list(zip(*(n for n, _ in rows), strict=True))
    stand = list(zip(*(s for _, s in rows), strict=True))
    free = len(said) - 1 if name.split(".")[-1] == "#" else -1  # may count in larger steps

    def runs(position: int, coordinate: int) -> bool:
        return _steps(stand[coordinate], said[position], position == free)

    held = all(
        len(set(stand[c])) == 1 or any(runs(p, c) for p in range(len(said)))
        for c in range(len(stand))
    )
    return held and all(
        len(set(said[p])) == 1 or any(runs(p, c) for c in range(len(stand)))
        for p in range(len(said))
    )


def _steps(places: Sequence[int], counts: Sequence[int], free: bool) -> bool:
    """Whether the counts are the places plus a constant; times one, too, where that is free."""
    pairs = sorted(set(zip(places, counts, strict=True)))
    if len({p for p, _ in pairs}) != len(pairs) or len(pairs) < 2:
        return False
    (p0, n0), (p1, n1) = pairs[0], pairs[-1]
    slope = Fraction(n1 - n0, p1 - p0)
    if slope.denominator != 1 or slope < 1 or (slope != 1 and not free):
        return False
    return all(n - n0 == slope * (p - p0) for p, n in pairs)


def belong_together(
    convolutions: Sequence[Layer],
    at: Sequence[int],
    norms: Sequence[Layer],
    norms_at: Sequence[int],
    blocks: Sequence[Hashable],
) -> bool:
    """Whether convolutions and norms whose names belong together are given one place or block.

    Args:
        convolutions: In order.
        at: The place of each.
        norms: In order.
        norms_at: The place of each.
        blocks: The block of every place.
    """
    inside: dict[str, list[set[Hashable]]] = {}
    for kind, (layers, places) in enumerate(((convolutions, at), (norms, norms_at))):
        for layer, place in zip(layers, places, strict=True):
            pair = inside.setdefault(_parent(layer.name), [set(), set()])
            pair[kind].add(blocks[place])
    if any(len(c) == len(n) == 1 and c != n for c, n in inside.values()):
        return False
    for conv, i in zip(convolutions, at, strict=True):
        for norm, j in zip(norms, norms_at, strict=True):
            if _same_numbers(conv, norm):
                if i != j:
                    return False
            elif _parent(conv.name) == _parent(norm.name) and _counted(conv) and _counted(norm):
                first = numbers(conv.name)[-1] < numbers(norm.name)[-1]
                if first is not (i <= j):  # a norm comes after its convolution
                    return False
    return True


def _same_numbers(conv: Layer, norm: Layer) -> bool:
    """Whether equal numbers put both in one place: not those of two lists, whose steps may differ."""
    one, other = conv.name, norm.name
    if _counted(conv) and _counted(norm) and _parent(one) != _parent(other):
        return False
    return (
        bool(numbers(one)) and numbers(one) == numbers(other) and one.count(".") == other.count(".")
    )


def _counted(layer: Layer) -> bool:
    return layer.name.rpartition(".")[2].isdigit()


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
