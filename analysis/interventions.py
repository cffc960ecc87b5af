"""Interventions on learned rates: what would adaptation have done, had they been otherwise?

Rates and effects found together show no cause. Here the same encoder adapts to
the same episodes with its rates changed in one respect, so that a difference of
effects is due to that respect: the sign, the size, or the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from ..data.errors import MetaprobeError
from ..models.encoder import Encoder
from ..models.forward import Params
from ..models.rules import Adapts

Intervention = Callable[[Params], Params]
"""Rates by parameter to other rates by parameter."""


def multiplied(factor: float) -> Intervention:
    """Every rate times a factor: 0 freezes, -1 flips, 2 doubles."""
    return lambda rates: {n: factor * r for n, r in rates.items()}


def without_negative(rates: Params) -> Params:
    """Negative rates become zero: those directions are frozen."""
    return {n: r.clamp(min=0) for n, r in rates.items()}


def without_positive(rates: Params) -> Params:
    """Positive rates become zero."""
    return {n: r.clamp(max=0) for n, r in rates.items()}


def absolute(rates: Params) -> Params:
    """Sizes kept, every sign positive."""
    return {n: r.abs() for n, r in rates.items()}


def layer_mean(rates: Params) -> Params:
    """One rate a tensor: its mean."""
    return {n: r.mean().expand_as(r).clone() for n, r in rates.items()}


def shuffled(seed: int) -> Intervention:
    """The same rates, dealt anew within each tensor."""

    def shuffle(rates: Params) -> Params:
        draw = torch.Generator().manual_seed(seed)
        return {
            n: r.flatten()[torch.randperm(r.numel(), generator=draw)].reshape(r.shape)
            for n, r in sorted(rates.items())
        }

    return shuffle


def zeroed(prefix: str) -> Intervention:
    """The rates of one part (such as ``body.block1.``) become zero."""

    def zero(rates: Params) -> Params:
        return {n: torch.zeros_like(r) if n.startswith(prefix) else r for n, r in rates.items()}

    return zero


INTERVENTIONS: Mapping[str, Intervention] = {
    "clamp negative": without_negative,
    "clamp positive": without_positive,
    "absolute": absolute,
    "flip": multiplied(-1.0),
    "shuffle": shuffled(0),
    "layer mean": layer_mean,
}
"""The interventions on sign, size and place, by name."""


def intervene(encoder: Encoder, intervention: Intervention, name: str) -> Encoder:
    """The same encoder with other rates.

    Raises:
        MetaprobeError: If it has no learned rates.
    """
    if not encoder.rates:
        raise MetaprobeError(
            f"{encoder.name!r} has no learned rates to change; choose a Meta-SGD checkpoint",
            code="no-rates",
        )
    rates = {n: r.detach().contiguous() for n, r in intervention(encoder.rates).items()}
    return replace(encoder, name=f"{encoder.name}, {name}", rates=rates)


def restricted(encoder: Encoder, adapts: Adapts) -> Encoder:
    """The same encoder whose inner loop moves only the head, or only the body.

    ``"head"`` is ANIL's view of the checkpoint, ``"body"`` BOIL's: the head stays where it was.
    """
    rule = replace(encoder.rule, adapts=adapts)
    rates = {n: r for n, r in encoder.rates.items() if rule.moves(n)}
    return replace(encoder, name=f"{encoder.name}, {adapts} only", rule=rule, rates=rates)
