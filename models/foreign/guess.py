"""Which built-in architecture a file's tensors belong to, with the evidence.

The convolutions' shapes say the family and its widths, the head's width says
how the last map is read and how large the images were, the names say which
code wrote it. What fits more than one network is an error that lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from torch import Tensor

from ...data.errors import CheckpointError
from .ask import Ask
from .codebases import Codebase, plain_names, recognise
from .found import IMAGENET, Found
from .structure import Layer, Structure, structure

SIDES = {1: (28,), 3: (84, 32, 28)}
"""Sides of images in the few-shot literature, the usual one first, by channels."""

DEPTHS: Mapping[tuple[int, ...], str] = {
    (1, 1, 1, 1): "resnet10",
    (2, 2, 2, 2): "resnet18",
    (3, 4, 6, 3): "resnet34",
}


@dataclass(frozen=True)
class Candidate:
    """One network that the shapes allow."""

    architecture: Mapping[str, Any]
    side: int
    said: str


def guess(tensors: Mapping[str, Tensor], ask: Ask, *, ordered: bool, where: str) -> Found:
    """The built-in architecture of these tensors.

    Args:
        tensors: By the file's names, without wrappers' prefixes and without learned rates.
        ask: What the caller says; settings it leaves out are guessed.
        ordered: As for `structure`.
        where: What to call the file in an error.

    Raises:
        CheckpointError: If no built-in architecture fits, or several do.
    """
    layers = structure(plain_names(tensors), ordered=ordered)
    family = _family(layers)
    if family is None or ask.name not in ("", family):
        raise CheckpointError(
            f"{where!r} fits {'no built-in architecture' if family is None else family}"
            f"{f', not {ask.name}' if ask.name else ''} ({_described(layers)}); for another network "
            "say --arch timm/NAME, torchvision/NAME or package.module:factory",
            code="unknown-architecture",
        )
    if not layers.norms and "affine" not in ask.settings:
        raise CheckpointError(
            f"{where!r} looks like {family} and holds nothing of a normalisation; if its BatchNorm "
            f"has neither parameters nor statistics say --arch {family}:affine=false",
            code="ambiguous-architecture",
        )
    running = any("running_mean" in n.tensors for n in layers.norms)
    codebase = recognise(tensors, family, running)
    head = _head(layers, ask)
    options = list(_candidates(family, layers, head, codebase, ask, running))
    if not options:
        raise CheckpointError(
            f"{where!r} looks like {family}, but no image side gives the {_width(head)} values its "
            f"head {head.name if head else ''!r} takes; say --arch {family}:image=SIDE",
            code="image-shape",
        )
    if len(options) > 1:
        listed = " or ".join(f"--arch {o.said}" for o in options)
        raise CheckpointError(
            f"{where!r} fits {len(options)} networks that no tensor tells apart; choose {listed}",
            code="ambiguous-architecture",
        )
    return _found(options[0], family, layers, head, codebase, ask)


def _family(layers: Structure) -> str | None:
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


def _head(layers: Structure, ask: Ask) -> Layer | None:
    """The linear layer that reads the features: the only one, or the one named as heads are."""
    if len(layers.linears) < 2:
        return next(iter(layers.linears), None)
    named = [
        one
        for one in layers.linears
        if one.name.rpartition(".")[2]
        in ("classifier", "fc", "head", "logits", "linear", "cls_classifier", "last_linear")
    ]
    if len(named) == 1:
        return named[0]
    raise CheckpointError(
        f"the file has {len(layers.linears)} linear layers "
        f"({', '.join(one.name for one in layers.linears[:4])}) and their names do not say which "
        "is the head; save the network without the others",
        code="ambiguous-head",
    )


def _width(head: Layer | None) -> int | None:
    return None if head is None else head.shape[1]


def _candidates(
    family: str,
    layers: Structure,
    head: Layer | None,
    codebase: Codebase | None,
    ask: Ask,
    running: bool,
) -> Iterator[Candidate]:
    """Networks of the family that the shapes, the code base and the caller allow."""
    shapes = [c.shape for c in layers.convolutions]
    channels, last = shapes[0][1], shapes[-1][0] if family == "conv4" else shapes[-2][0]
    fixed = {**(codebase.known if codebase else {}), **ask.settings}
    base: dict[str, Any] = {"name": family, "channels": channels, "running": running}
    if family == "conv4":
        base |= {
            "filters": shapes[0][0],
            "bias": "bias" in layers.convolutions[0].tensors,
            "affine": any("weight" in n.tensors for n in layers.norms),
            "slope": float(fixed.get("slope", 0.0)),
        }
    elif family == "resnet12":
        base["widths"] = [s[0] for s in shapes[::4]]
    else:
        wide = shapes[0][2] == 7
        base |= {"widths": _widths(shapes), "wide_stem": wide}
    asked = ask.image
    sides = (asked[0],) if asked else _sides(family, channels, base)
    strides = _choices(fixed, "strided", family == "conv4")
    seen: set[tuple[bool, bool]] = set()
    for strided, side in product(strides, sides):
        final = _final_side(family, side, strided, base)
        for pooled in _readings(fixed, family, head):
            width = last if pooled else last * final * final
            if final < 1 or (head is not None and width != head.shape[1]):
                continue
            # one value a channel: pooling and flattening are the same
            reads = pooled or (final == 1 and head is not None and not asked)
            if (strided, reads) in seen:
                continue
            seen.add((strided, reads))
            extra = {"strided": strided} if family == "conv4" else {}
            said = f"{family}:strided={str(strided).lower()}" if extra else family
            yield Candidate({**base, **extra, "pooled": pooled}, side, said)
            break


def _choices(fixed: Mapping[str, Any], key: str, open_question: bool) -> tuple[bool, ...]:
    if key in fixed:
        return (bool(fixed[key]),)
    return (False, True) if open_question else (False,)


def _readings(fixed: Mapping[str, Any], family: str, head: Layer | None) -> tuple[bool, ...]:
    """Ways the last map may be read: pooled or not. Without a head, the usual one."""
    if "pooled" in fixed:
        return (bool(fixed["pooled"]),)
    if head is None:
        return (family != "conv4",)
    return (False, True) if family == "conv4" else (True, False)


def _sides(family: str, channels: int, base: Mapping[str, Any]) -> tuple[int, ...]:
    if base.get("wide_stem"):
        return (224,)
    return SIDES.get(channels, (84,))


def _final_side(family: str, side: int, strided: bool, base: Mapping[str, Any]) -> int:
    """Side of the last map: pooling drops an odd row, a stride keeps it."""
    halvings = {"conv4": 4, "resnet12": 4}.get(family, 5 if base.get("wide_stem") else 3)
    for _ in range(halvings):
        side = (side + 1) // 2 if strided or family not in ("conv4", "resnet12") else side // 2
    return side


def _widths(shapes: list[tuple[int, ...]]) -> list[int]:
    widths = [shapes[0][0]]
    for shape in shapes[1:]:
        if shape[0] != widths[-1]:
            widths.append(shape[0])
    return widths


def _found(
    chosen: Candidate,
    family: str,
    layers: Structure,
    head: Layer | None,
    codebase: Codebase | None,
    ask: Ask,
) -> Found:
    """Tensors under our names, and what was seen and assumed on the way."""
    architecture = dict(chosen.architecture)
    places = _places(family, architecture)
    body: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    assumed = _assumed(architecture, codebase, head, ask)
    rows = zip(layers.convolutions, places["conv"], strict=True)
    for layer, place in [*rows, *zip(layers.norms, places["norm"], strict=False)]:
        for leaf, tensor in layer.tensors.items():
            if tensor.ndim == 2:  # a row for each inner step
                tensor = tensor[-1].clone()
            body[f"{place}.{leaf}"] = tensor
            names[f"{place}.{leaf}"] = layer.full(leaf)
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
    return Found(
        architecture={**architecture, **_statistics(architecture, ask, assumed)},
        body=body,
        head=stored,
        names=names,
        unexpected=unexpected,
        shape=(architecture["channels"], *side),
        evidence=tuple(_evidence(family, layers, head, codebase, architecture)),
        assumed=tuple(assumed),
        norm=codebase.norm if codebase else None,
        head_name=head.name if head else "",
    )


def _places(family: str, architecture: Mapping[str, Any]) -> dict[str, list[str]]:
    """Our names of convolutions and norms, in the order files have them."""
    if family == "conv4":
        blocks = [f"block{i}" for i in range(1, 5)]
        return {kind: [f"{b}.{kind}" for b in blocks] for kind in ("conv", "norm")}
    if family == "resnet12":
        out: dict[str, list[str]] = {"conv": [], "norm": []}
        for i in range(1, 5):
            for kind, places in out.items():
                places += [f"block{i}.path.{kind}{j}" for j in (1, 2, 3)]
                places.append(f"block{i}.shortcut.{kind}")
        return out
    depths = next(d for d, name in DEPTHS.items() if name == family)
    out = {"conv": ["stem.conv"], "norm": ["stem.norm"]}
    widths = architecture["widths"]
    for s, depth in enumerate(depths):
        for b in range(depth):
            block = f"stage{s + 1}.block{b + 1}"
            for kind, places in out.items():
                places += [f"{block}.{kind}1", f"{block}.{kind}2"]
                if b == 0 and s > 0 and widths[s] != widths[s - 1]:
                    places.append(f"{block}.shortcut.{kind}")
    return out


def _statistics(
    architecture: Mapping[str, Any], ask: Ask, assumed: list[str]
) -> dict[str, list[float]]:
    """Mean and spread to take off the images first, and what was assumed of them."""
    said = ask.settings.get("normalise")
    if said not in (None, "imagenet", "none"):
        raise CheckpointError(
            f"normalise={said!r} is unknown; say normalise=imagenet or normalise=none", code="arch"
        )
    colour = architecture["channels"] == 3
    if said == "imagenet" or (said is None and colour and architecture.get("wide_stem")):
        if not colour:
            raise CheckpointError(
                f"normalise=imagenet needs 3 channels; this network takes {architecture['channels']}",
                code="arch",
            )
        if said is None:
            assumed.append(
                "ImageNet's mean and spread are taken off the images; the file says none"
            )
        return {k: list(v) for k, v in IMAGENET.items()}
    if said is None:
        assumed.append("images enter in [0, 1]; the file names no mean or spread")
    return {}


def _assumed(
    architecture: Mapping[str, Any], codebase: Codebase | None, head: Layer | None, ask: Ask
) -> list[str]:
    fixed = {**(codebase.known if codebase else {}), **ask.settings}
    out = []
    if architecture["name"] == "conv4" and "slope" not in fixed:
        out.append("the activation leaves no trace; ReLU is assumed")
    if head is None and "pooled" not in fixed:
        how = "averaged over space" if architecture["pooled"] else "flattened"
        out.append(f"the file has no head, so the last map is {how}, as is usual")
    if ask.image is None and (head is None or architecture["pooled"]):
        out.append("the image side leaves no trace; the usual one of the literature is taken")
    return out


def _evidence(
    family: str,
    layers: Structure,
    head: Layer | None,
    codebase: Codebase | None,
    architecture: Mapping[str, Any],
) -> Iterator[str]:
    first = layers.convolutions[0]
    yield f"{_described(layers)}: {family}"
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


def _described(layers: Structure) -> str:
    sides: dict[str, int] = {}
    for one in layers.convolutions:
        side = f"{one.shape[2]}x{one.shape[3]}"
        sides[side] = sides.get(side, 0) + 1
    kinds = ", ".join(f"{count} of {side}" for side, count in sides.items()) or "none"
    return (
        f"{len(layers.convolutions)} convolutions ({kinds}), {len(layers.norms)} norms, "
        f"{len(layers.linears)} linear layers"
    )
