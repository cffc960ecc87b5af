r"""Bootstrapped meta-gradients: rates learned from where a few more steps would lead.

Meta-SGD moves its rates down the query loss of the adapted parameters, the student
`x`. The bootstrapped learner (Flennerhag et al. 2022, arXiv:2109.04504) lets the
student run on for L steps on the query loss, L - 1 with its own rates and one plain
step at rate ξ, stops the gradient there, and moves the rates so that the student
lands nearer to that target `z`. With half the squared distance as the measure of
nearness the gradient is `J' (x - z)`, J the slope of the student in the rates.

Derived here: it is divided by ξ L, so that the outer step does not depend on the
target, and with L = 1 it is Meta-SGD's to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.errors import CheckpointError
from .forward import Params
from .rules import Rule


@dataclass(frozen=True)
class Bootstrap:
    """How far ahead the target lies.

    Args:
        steps: L, steps from the student to the target.
        rate: ξ, the rate of the last of them.

    Raises:
        CheckpointError: If the target would be the student itself.
    """

    steps: int = 5
    rate: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1 or not (math.isfinite(self.rate) and self.rate > 0):
            raise CheckpointError(
                f"a bootstrapped target {self.steps} steps away, the last at rate {self.rate}; "
                "choose one step or more, and a finite rate above 0",
                code="bootstrap",
            )


def pull(
    ahead: Bootstrap,
    student: Params,
    rule: Rule,
    rates: Params,
    losses: Callable[[Params], Tensor],
) -> Params:
    """From the target back to the student, ``(x - z)/(ξ L)``, carrying no gradient.

    Args:
        ahead: Where the target lies.
        student: Adapted parameters, stacked `(E, …)`.
        rule: The inner loop's rule, for the steps before the last.
        rates: What it has learned; held.
        losses: Query loss of each episode, ``(E,)``, as a function of stacked parameters.

    Returns:
        One tensor `(E, …)` for each parameter that the inner loop moves.
    """
    take_step = rule.build().step
    held = {n: r.detach() for n, r in rates.items()}
    now = {n: p.detach() for n, p in student.items()}
    far = {n: torch.zeros_like(p) for n, p in rule.movable(now).items()}
    origin = dict(far)
    with torch.enable_grad():
        for _ in range(ahead.steps - 1):
            # A step from zero is the change alone, free of the rounding of `now`.
            change = take_step(origin, _slopes(losses, now, rule), held)
            now |= {n: now[n] + c for n, c in change.items()}
            far = {n: f - change[n] for n, f in far.items()}
        last = _slopes(losses, now, rule)
    return {n: (f / ahead.rate + last[n]) / ahead.steps for n, f in far.items()}


def _slopes(losses: Callable[[Params], Tensor], now: Params, rule: Rule) -> Params:
    at = {n: p.detach().requires_grad_(rule.moves(n)) for n, p in now.items()}
    moving = rule.movable(at)
    found = torch.autograd.grad(losses(at).sum(), list(moving.values()))
    return dict(zip(moving, found, strict=True))
