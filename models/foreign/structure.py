"""The layers in a state dict, told by names and shapes alone.

A name's last part is the tensor, the rest is its layer. Four dimensions make a
convolution, running statistics or two vectors make a normalisation, two
dimensions a linear layer. A layer that is saved under two names, as learners
that keep both a network and its parts do, counts once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from ...data.errors import CheckpointError

COUNTER = "num_batches_tracked"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a file.

    Args:
        name: Its name in the file, without the tensor's.
        tensors: Its tensors by their last name: ``weight``, ``bias``, ``running_mean``, …
    """

    name: str
    tensors: Mapping[str, Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its weight."""
        weight = self.tensors.get("weight", self.tensors.get("weights"))
        return () if weight is None else tuple(weight.shape)

    def full(self, leaf: str) -> str:
        """The name of one of its tensors in the file."""
        return f"{self.name}.{leaf}" if self.name else leaf


@dataclass(frozen=True, eq=False)
class Structure:
    """The layers of a file, each kind in order.

    Args:
        convolutions: Weights of four dimensions.
        norms: Running statistics, or a weight and a bias of one dimension.
        linears: Weights of two dimensions.
        rest: All other layers.
        twins: Names of layers that repeat another.
        by_numbers: Whether the file's own order contradicts the numbers in its names, which
            are then believed.
    """

    convolutions: tuple[Layer, ...]
    norms: tuple[Layer, ...]
    linears: tuple[Layer, ...]
    rest: tuple[Layer, ...]
    twins: tuple[str, ...]
    by_numbers: bool = False


def structure(tensors: Mapping[str, Tensor], *, ordered: bool) -> Structure:
    """The layers of a state dict.

    Args:
        tensors: By name.
        ordered: Whether the order of the names may be that of the layers: it is in what
            `torch.save` wrote of a network, and not in a safetensors file, nor in a dictionary
            that was sorted. Numbers that run backwards show that it is not, and so do names
            in the order of the alphabet: no module lists its bias before its weight.

    Raises:
        CheckpointError: If neither the file nor the names say in which order layers come.
    """
    layers = _layers(tensors)
    kinds: dict[str, list[Layer]] = {"convolution": [], "norm": [], "linear": [], "rest": []}
    for layer in layers:
        kinds[_kind(layer)].append(layer)
    convolutions, twins = _without_twins(kinds["convolution"])
    norms = kinds["norm"]
    if twins and len(norms) > len(convolutions):
        norms, again = _once(norms, convolutions, twins)
        twins += again
    linears, more = _without_twins(kinds["linear"])
    names = list(tensors)
    contradicted = ordered and not (_numbers_ascend(convolutions) and _numbers_ascend(norms))
    kept = ordered and not contradicted and (len(names) == 1 or names != sorted(names))
    return Structure(
        convolutions=_in_order(convolutions, kept),
        norms=_in_order(norms, kept),
        linears=tuple(linears),
        rest=tuple(kinds["rest"]),
        twins=(*twins, *more),
        by_numbers=contradicted,
    )


def described(layers: Structure) -> str:
    """The layers counted, in a phrase for an error or for the evidence."""
    sides: dict[str, int] = {}
    for one in layers.convolutions:
        side = f"{one.shape[2]}x{one.shape[3]}"
        sides[side] = sides.get(side, 0) + 1
    kinds = ", ".join(f"{count} of {side}" for side, count in sides.items()) or "none"
    return (
        f"{len(layers.convolutions)} convolutions ({kinds}), {len(layers.norms)} norms, "
        f"{len(layers.linears)} linear layers"
    )


def natural(name: str) -> tuple[tuple[int, str, int], ...]:
    """A key that sorts ``layer10`` after ``layer2``.

    >>> sorted(["conv10", "conv2"], key=natural)
    ['conv2', 'conv10']
    """
    parts = re.findall(r"\d+|\D+", name)
    return tuple((1, "", int(p)) if p.isdigit() else (0, p, 0) for p in parts)


def _layers(tensors: Mapping[str, Tensor]) -> list[Layer]:
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        found.setdefault(layer, {})[leaf] = tensor
    return [Layer(name, parts) for name, parts in found.items()]


def _kind(layer: Layer) -> str:
    names, size = set(layer.tensors), len(layer.shape)
    if size == 4:
        return "convolution"
    if "running_mean" in names or (size == 1 and {"weight", "bias"} <= names):
        return "norm"
    if names == {COUNTER}:
        return "norm"
    return "linear" if size == 2 else "rest"


def _without_twins(layers: Sequence[Layer]) -> tuple[list[Layer], list[str]]:
    """Layers whose weights are not another's, and the names of those whose are.

    Names that differ in numbers alone are of layers in different places, however alike.
    """
    kept: list[Layer] = []
    twins: list[str] = []
    for layer in layers:
        if any(frame(k.name) != frame(layer.name) and _equal(k, layer) for k in kept):
            twins.append(layer.name)
        else:
            kept.append(layer)
    return kept, twins


def _once(
    norms: list[Layer], convolutions: Sequence[Layer], twins: Sequence[str]
) -> tuple[list[Layer], list[str]]:
    """Norms that do not stand beside a convolution's twin, and the names of those that do.

    They may be alike where nothing was trained, so it is the place that tells. It is taken
    without its numbers, for a twin may have been lost.
    """
    beside = {frame(_parent(name)) for name in twins}
    if beside & {frame(_parent(layer.name)) for layer in convolutions}:
        beside = set()
    again = [n.name for n in norms if frame(_parent(n.name)) in beside]
    return [n for n in norms if n.name not in again], again


def _equal(one: Layer, other: Layer) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[leaf]) for leaf, tensor in one.tensors.items()
    )


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _numbers_ascend(layers: Sequence[Layer]) -> bool:
    """Whether layers whose names differ in numbers alone come in the order of these."""
    last: dict[str, str] = {}
    for layer in layers:
        before = last.get(kind := frame(layer.name))
        if before is not None and natural(before) > natural(layer.name):
            return False
        last[kind] = layer.name
    return True


def frame(name: str) -> str:
    """A name with a sign in the place of each number."""
    return re.sub(r"\d+", "#", name)


def _in_order(layers: Sequence[Layer], kept: bool) -> tuple[Layer, ...]:
    """As in the file where its order is kept, else by the numbers in the names."""
    if kept:
        return tuple(layers)
    parts = [layer.name.split(".") for layer in layers]
    shared = sum(1 for _ in takewhile(lambda at: len(set(at)) == 1, zip(*parts, strict=False)))
    wordy = [
        layer.name
        for layer, own in zip(layers, parts, strict=True)
        if "#" not in frame(".".join(own[shared:]))
    ]
    if len(wordy) > 1:
        raise CheckpointError(
            f"layers {wordy[0]!r}, {wordy[1]!r}, … have no numbers in their names, and "
            "the file's order is not theirs; give the file that torch.save wrote of the network",
            code="layer-order",
        )
    return tuple(sorted(layers, key=lambda layer: natural(layer.name)))
