"""How the inner loop moves parameters: a rule is a pair of pure functions.

``init(params)`` makes what the rule itself learns (its rates); ``step(params,
grads, learnt)`` makes the next parameters. MAML, Meta-SGD and the rest differ
in these few lines and in which parameters may move.

- SGD with one rate: MAML (Finn et al. 2017)
- a rate for each parameter tensor, and for each step: LSLR (Antoniou et al. 2019)
- a rate for each parameter: Meta-SGD (Li et al. 2017)
- only the head moves: ANIL (Raghu et al. 2020); only the body: BOIL (Oh et al. 2021)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch

from ..data.errors import CheckpointError
from .forward import Params

RuleName = Literal["sgd", "lslr", "lslr-steps", "meta-sgd"]
Adapts = Literal["all", "head", "body"]

PARTS: tuple[str, ...] = get_args(Adapts)
STORED_STEPS = 5
"""Rates a tensor has when a rule with one for each step begins to learn."""


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


def lslr_steps(lr: float) -> InnerRule:
    """One learned rate a tensor and step, ``(steps,)``; see `Rule.at`."""
    return InnerRule(
        init=lambda params: {
            n: torch.full((STORED_STEPS,), lr, dtype=p.dtype) for n, p in params.items()
        },
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
        name: ``"sgd"``, ``"lslr"``, ``"lslr-steps"`` or ``"meta-sgd"``.
        lr: The rate, or the rate that learned ones start from.
        steps: Number of inner steps.
        adapts: Which parameters move: ``"all"``, ``"head"``, ``"body"``, or a regular
            expression that is searched in their names (``body.…`` and ``head.…``).
        frozen: Names that never move, whatever `adapts` says.

    Raises:
        CheckpointError: If a setting is not one of these.

    >>> Rule("sgd", lr=0.1, adapts="head").moves("body.block1.conv.weight")
    False
    >>> Rule("sgd", lr=0.1, adapts=r"norm|head").moves("body.block1.norm.weight")
    True
    """

    name: RuleName = "sgd"
    lr: float = 0.1
    steps: int = 5
    adapts: str = "all"
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in get_args(RuleName):
            raise CheckpointError(
                f"rule name {self.name!r} is unknown; choose {', '.join(get_args(RuleName))}",
                code="unknown-rule",
            )
        if self.adapts not in PARTS:
            _refuse_no_pattern(self.adapts)
        if not math.isfinite(self.lr):
            raise CheckpointError(f"an inner rate of {self.lr} asked; it must be finite", code="lr")
        if not 0 <= self.steps <= 1000:
            raise CheckpointError(f"{self.steps} inner steps asked; choose 0 to 1000", code="steps")

    def moves(self, parameter: str) -> bool:
        """Whether the inner loop may change this parameter (``body.…`` or ``head.…``)."""
        if parameter in self.frozen:
            return False
        if self.adapts in PARTS:
            return self.adapts == "all" or parameter.startswith(self.adapts + ".")
        return re.search(self.adapts, parameter) is not None

    def moves_body(self, params: Params) -> bool:
        """Whether any parameter of the body moves, so that features change with each step."""
        return any(n.startswith("body.") and self.moves(n) for n in params)

    def at(self, rates: Params, step: int) -> Params:
        """The rates of one step: those that are kept by step give their own.

        Raises:
            CheckpointError: If there are fewer than that many steps' rates.
        """
        if self.name != "lslr-steps":
            return rates
        kept = min((len(r) for r in rates.values()), default=0)
        if step >= kept:
            raise CheckpointError(
                f"step {step + 1} asked of rates that are learned for {kept}; choose --steps {kept} "
                "or fewer",
                code="rates-steps",
            )
        return {n: r[step] for n, r in rates.items()}

    def movable(self, params: Params) -> Params:
        """The parameters the inner loop may change."""
        return {n: p for n, p in params.items() if self.moves(n)}

    def build(self) -> InnerRule:
        """The pair of functions."""
        rules = {"sgd": sgd, "lslr": lslr, "lslr-steps": lslr_steps, "meta-sgd": meta_sgd}
        return rules[self.name](self.lr)

    def initial_rates(self, params: Params) -> Params:
        """What the rule learns, at its start; empty for a fixed rate."""
        return self.build().init(self.movable(params))

    def to_json(self) -> dict[str, Any]:
        """Plain settings, for metadata and keys."""
        return {k: v for k, v in asdict(self).items() if k != "frozen" or v}


def parse_rule(text: str) -> Rule:
    """A rule from its word on the command line.

    Raises:
        CheckpointError: If it is none.

    >>> parse_rule("sgd:lr=0.01").lr
    0.01
    """
    name, _, said = text.partition(":")
    settings: dict[str, float] = {}
    for part in filter(None, said.split(",")):
        key, _, value = part.partition("=")
        try:
            settings[{"lr": "lr", "steps": "steps"}[key]] = float(value)
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{part!r} in rule {text!r} is no setting; say sgd:lr=0.01 or sgd:lr=0.01,steps=5",
                code="unknown-rule",
            ) from error
    if name != "sgd":
        raise CheckpointError(
            f"rule {name!r} has no rates to be set; say sgd:lr=0.01 (rates that a file has learned "
            "are used without asking)",
            code="unknown-rule",
        )
    steps = settings.get("steps", Rule.steps)
    if steps != int(steps):
        raise CheckpointError(f"{steps} inner steps asked; choose 0 to 1000", code="steps")
    return Rule("sgd", settings.get("lr", 0.01), int(steps))


def _refuse_no_pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise CheckpointError(
            f"rule adapts {text!r} is unknown; choose {', '.join(PARTS)}, or a regular expression "
            f"over names of parameters ({error})",
            code="unknown-rule",
        ) from error
