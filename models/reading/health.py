"""Values that no trained network has, found tensor by tensor.

A file with NaN in a weight is read, so that it can be shown where; measuring it is refused
elsewhere. What cannot be a float network at all is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.errors import CheckpointError
from ..tensors import not_finite, widened

UNUSUAL = (
    torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2,
)  # fmt: skip


@dataclass(frozen=True)
class Health:
    """The values of one tensor.

    Args:
        name: Its name in the file.
        not_finite: How many values are NaN or infinite.
        negative: How many are negative where none may be (a running variance).
        all_zero: Whether every value is zero, in a tensor of more than one.
    """

    name: str
    not_finite: int
    negative: int
    all_zero: bool


def examine(tensors: Mapping[str, Tensor]) -> tuple[Health, ...]:
    """The health of each tensor, in order.

    >>> examine({"bn.running_var": torch.tensor([1.0, -1.0])})[0].negative
    1
    """
    return tuple(_one(name, tensor) for name, tensor in tensors.items())


def _one(name: str, tensor: Tensor) -> Health:
    floats = tensor.is_floating_point()
    wide = widened(tensor)
    variance = floats and name.endswith("running_var")
    return Health(
        name=name,
        not_finite=not_finite(tensor) if floats else 0,
        negative=int((wide < 0).sum()) if variance else 0,
        all_zero=floats and tensor.numel() > 1 and not bool(wide.any()),
    )


def health_flags(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Sentences about values and types, by code."""
    found = examine(tensors)
    flags: dict[str, str] = {}
    bad = [h for h in found if h.not_finite]
    if bad:
        flags["not-finite"] = f"holds NaN or infinite values in {_listed([h.name for h in bad])}"
    negative = [h.name for h in found if h.negative]
    if negative:
        flags["negative-variance"] = f"has negative running variances in {_listed(negative)}"
    weights = [h for h in found if tensors[h.name].ndim > 1 and tensors[h.name].is_floating_point()]
    zero = [h.name for h in weights if h.all_zero]
    if zero:
        whole = "every weight" if len(zero) == len(weights) else _listed(zero)
        flags["all-zero"] = f"is zero throughout in {whole}"
    for dtype in UNUSUAL:
        names = [n for n, t in tensors.items() if t.dtype == dtype]
        if names:
            short = str(dtype).removeprefix("torch.")
            flags[short] = f"stores {_listed(names)} as {short}"
    odd = [n for n in tensors if n.endswith(".bias") and _odd_bias(tensors, n)]
    if odd:
        flags["odd-shape"] = f"has biases that do not fit their weights: {_listed(odd)}"
    return flags


def refuse_unusable(tensors: Mapping[str, Tensor], where: str) -> None:
    """Stop at what cannot be a network of floats.

    Raises:
        CheckpointError: If weights are integers, or half of a norm's statistics is missing.
    """
    for name, tensor in tensors.items():
        last = name.rpartition(".")[2]
        if last in ("weight", "bias") and not tensor.is_floating_point():
            raise CheckpointError(
                f"tensor {name!r} of {where!r} is stored as {str(tensor.dtype)[6:]}, as in a "
                "quantised network; weights of floats are measured",
                code="integer-weights",
            )
        if last in ("running_mean", "running_var"):
            stem = name.removesuffix(last)
            other = stem + ("running_var" if last == "running_mean" else "running_mean")
            if other not in tensors:
                raise CheckpointError(
                    f"{where!r} holds {name!r} and lacks {other!r}; a missing tensor is never "
                    "filled in",
                    code="missing-tensor",
                )


def _odd_bias(tensors: Mapping[str, Tensor], name: str) -> bool:
    weight = tensors.get(name.removesuffix("bias") + "weight")
    bias = tensors[name]
    if weight is None or weight.ndim < 1 or bias.ndim != 1:
        return False
    return bias.shape[0] not in weight.shape[:2] or (
        weight.ndim == 2 and bias.shape[0] != weight.shape[0]
    )


def _listed(names: list[str]) -> str:
    return ", ".join(n[:80] for n in names[:3]) + (
        f" and {len(names) - 3} more" if names[3:] else ""
    )
