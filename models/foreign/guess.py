"""Which built-in architecture a file's tensors belong to, with the evidence.

The convolutions' shapes say the family and its widths, the head's width says
how the last map is read and how large the images were, the names say which
code wrote it. What fits more than one network is an error that lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from torch import Tensor

from ...data.errors import CheckpointError
from .ask import Ask
from .assemble import Candidate, assemble
from .codebases import Codebase, plain_names, recognise
from .family import Fit, stage_widths, whole
from .found import Found
from .partial import partly
from .structure import Layer, Structure, described, structure

IN_PARTS = {
    ".parametrizations.": "a parametrisation",
    ".weight_g": "weight normalisation",
    ".weight_v": "weight normalisation",
    ".weight_orig": "spectral normalisation or pruning",
}
"""Marks in the names of such parts, and what writes them."""

SIDES = {1: (28, 32, 64, 84, 105), 3: (84, 32, 28, 64, 96, 128, 224)}
"""Sides of images in the few-shot literature, the usual one first, by channels."""


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
    _refuse_weights_in_parts(tensors, where)
    layers = structure(plain_names(tensors), ordered=ordered)
    fit = whole(layers)
    if fit is None:
        fit = partly(layers, ask, where)
    if fit is None or ask.name not in ("", fit.family):
        raise CheckpointError(
            f"{where!r} fits {'no built-in architecture' if fit is None else fit.family}"
            f"{f', not {ask.name}' if ask.name else ''} ({described(layers)}); for another network "
            "say --arch timm/NAME, torchvision/NAME or package.module:factory",
            code="unknown-architecture",
        )
    family = fit.family
    _refuse_a_step_between(fit, where)
    if family == "conv4" and not layers.norms and "affine" not in ask.settings:
        raise CheckpointError(
            f"{where!r} looks like {family} and holds nothing of a normalisation; if its BatchNorm "
            f"has neither parameters nor statistics say --arch conv4:affine=false",
            code="ambiguous-architecture",
        )
    _refuse_other_sizes(fit, ask, where)
    unseen = not layers.norms and family != "conv4"
    running = unseen or any("running_mean" in n.tensors for n in layers.norms)
    codebase = recognise(tensors, family, running)
    head = _head(layers, ask)
    options = list(_candidates(fit, head, codebase, ask, running))
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
    return assemble(options[0], fit, layers, head, codebase, ask)


def _refuse_a_step_between(fit: Fit, where: str) -> None:
    """In a list of layers, a norm's number follows its convolution's, or something lies between."""
    for conv, norm in zip(fit.convolutions, fit.norms, strict=False):
        if conv is None or norm is None:
            continue
        (above, _, at), (beside, _, then) = (x.name.rpartition(".") for x in (conv, norm))
        if above == beside and at.isdigit() and then.isdigit() and int(then) != int(at) + 1:
            raise CheckpointError(
                f"{where!r} has its norm {norm.name!r} not right after its convolution "
                f"{conv.name!r}, as {fit.family} has; name package.module:factory for the network "
                "that has it so",
                code="unknown-architecture",
            )


def _refuse_weights_in_parts(tensors: Mapping[str, Tensor], where: str) -> None:
    """What torch keeps in the place of a weight that is reckoned anew at every pass."""
    for name in tensors:
        for mark, what in IN_PARTS.items():
            if mark in f".{name}":
                raise CheckpointError(
                    f"{where!r} holds {name!r}, a part of which {what} makes a weight; take that "
                    "off before saving (remove_parametrizations, remove_weight_norm, "
                    "remove_spectral_norm or prune.remove of torch.nn.utils), or name your own "
                    "package.module:factory that has it",
                    code="parametrised",
                )


def _refuse_other_sizes(fit: Fit, ask: Ask, where: str) -> None:
    """What the caller says of the first convolution must be so where the file has it."""
    _, channels, side, _ = fit.shapes[0]
    for key, seen in (("channels", channels), ("wide_stem", side == 7)):
        if ask.settings.get(key, seen) != seen:
            raise CheckpointError(
                f"{where!r} has a first convolution of shape {fit.shapes[0]}, which is not "
                f"{key}={str(ask.settings[key]).lower()}; leave that out",
                code="arch",
            )


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
    fit: Fit,
    head: Layer | None,
    codebase: Codebase | None,
    ask: Ask,
    running: bool,
) -> Iterator[Candidate]:
    """Networks of the family that the shapes, the code base and the caller allow."""
    family, shapes = fit.family, list(fit.shapes)
    channels, last = shapes[0][1], shapes[-1][0] if family == "conv4" else shapes[-2][0]
    fixed = {**(codebase.known if codebase else {}), **ask.settings}
    base: dict[str, Any] = {"name": family, "channels": channels, "running": running}
    if family == "conv4":
        base |= {
            "filters": shapes[0][0],
            "bias": any("bias" in c.tensors for c in fit.convolutions if c),
            "affine": ask.settings.get("affine") is True
            or any("weight" in n.tensors for n in fit.norms if n),
            "slope": float(fixed.get("slope", 0.0)),
        }
    elif family == "resnet12":
        base["widths"] = [s[0] for s in shapes[::4]]
    else:
        wide = shapes[0][2] == 7
        base |= {"widths": stage_widths(shapes), "wide_stem": wide}
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
            if extra and side != sides[0]:
                said += f",image={side}"
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
