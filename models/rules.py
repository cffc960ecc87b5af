"""How the inner loop moves parameters: a rule is a pair of pure functions.

``init(params)`` makes what the rule itself learns (its rates); ``step(params,
grads, learnt)`` makes the next parameters. MAML, Meta-SGD and the rest differ
in these few lines and in which parameters may move.

- SGD with one rate: MAML (Finn et al. 2017)
- a rate for each parameter tensor: LSLR (Antoniou et al. 2019)
- a rate for each parameter: Meta-SGD (Li et al. 2017)
- only the head moves: ANIL (Raghu et al. 2020); only the body: BOIL (Oh et al. 2021)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch

from ..data.errors import CheckpointError
from .forward import Params

RuleName = Literal["sgd", "lslr", "meta-sgd"]
Adapts = Literal["all", "head", "body"]


class InnerRule(NamedTuple):
    """A way to take one inner step."""

    init: Callable[[Params], Params]
    step: Callable[[Params, Params, Params], Params]


def sgd(lr: float) -> InnerRule:
    """One fixed rate: ``p - lr * g``."""
    return InnerRule(
        init=lambda params: {},
        step=lambda params, grads, rates: {n: params[n] - lr * g for n, g in grads.items()},
    )


def lslr(lr: float) -> InnerRule:
    """One learned rate a tensor."""
    return InnerRule(
        init=lambda params: {n: torch.full((), lr, dtype=p.dtype) for n, p in params.items()},
        step=_step_with_rates,
    )


def meta_sgd(lr: float) -> InnerRule:
    """One learned rate a parameter, shared by the steps; its sign is free."""
    return InnerRule(
        init=lambda params: {n: torch.full_like(p, lr) for n, p in params.items()},
        step=_step_with_rates,
    )


def _step_with_rates(params: Params, grads: Params, rates: Params) -> Params:
    return {n: params[n] - rates[n] * g for n, g in grads.items()}


@dataclass(frozen=True)
class Rule:
    """Settings of an inner loop.

    Args:
        name: ``"sgd"``, ``"lslr"`` or ``"meta-sgd"``.
        lr: The rate, or the rate that learned ones start from.
        steps: Number of inner steps.
        adapts: Which parameters move: ``"all"``, ``"head"`` or ``"body"``.

    Raises:
        CheckpointError: If a setting is not one of these.

    >>> Rule("sgd", lr=0.1, adapts="head").moves("body.block1.conv.weight")
    False
    """

    name: RuleName = "sgd"
    lr: float = 0.1
    steps: int = 5
    adapts: Adapts = "all"

    def __post_init__(self) -> None:
        for field, allowed in (("name", get_args(RuleName)), ("adapts", get_args(Adapts))):
            came = getattr(self, field)
            if came not in allowed:
                raise CheckpointError(
                    f"rule {field} {came!r} is unknown; choose {', '.join(allowed)}",
                    code="unknown-rule",
                )
        if not math.isfinite(self.lr):
            raise CheckpointError(f"an inner rate of {self.lr} asked; it must be finite", code="lr")
        if not 0 <= self.steps <= 1000:
            raise CheckpointError(f"{self.steps} inner steps asked; choose 0 to 1000", code="steps")

    def moves(self, parameter: str) -> bool:
        """Whether the inner loop may change this parameter (``body.…`` or ``head.…``)."""
        return self.adapts == "all" or parameter.startswith(self.adapts + ".")

    def movable(self, params: Params) -> Params:
        """The parameters the inner loop may change."""
        return {n: p for n, p in params.items() if self.moves(n)}

    def build(self) -> InnerRule:
        """The pair of functions."""
        return {"sgd": sgd, "lslr": lslr, "meta-sgd": meta_sgd}[self.name](self.lr)

    def initial_rates(self, params: Params) -> Params:
        """What the rule learns, at its start; empty for a fixed rate."""
        return self.build().init(self.movable(params))

    def to_json(self) -> dict[str, Any]:
        """Plain settings, for metadata and keys."""
        return asdict(self)
