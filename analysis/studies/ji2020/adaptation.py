"""How much adapting N inner steps amount to, against adapting to the end.

Two measures for a head on frozen features: the share of the possible loss decrease that
the steps reach, and how far the body's meta-gradient is from that of a head solved
exactly. The second tells a checkpoint trained with true adaptation from one trained with
adaptation stopped early.

Derived here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ....data.errors import ProbeError
from .recursion import (
    Loss,
    anil_meta_gradient,
    gradients,
    implicit_meta_gradient,
    inner_path,
)


def decrease_reached(
    loss: Callable[[Tensor], Tensor], start: Tensor, *, alpha: float, steps: int, budget: int = 200
) -> float:
    """Share of a loss's possible decrease that plain gradient descent reaches.

    "Possible" is what ``budget`` iterations of L-BFGS reach from the same start.

    Returns:
        At most 1; negative where the steps made the loss worse; 1 where there is
        nothing to gain.
    """
    w = descend(loss, start, alpha=alpha, steps=steps)
    with torch.no_grad():
        first, after = float(loss(start)), float(loss(w))
        best = min(float(loss(minimise(loss, start, budget=budget))), after)
    return 1.0 if first <= best else (first - after) / (first - best)


def descend(loss: Callable[[Tensor], Tensor], start: Tensor, *, alpha: float, steps: int) -> Tensor:
    """Plain gradient descent on a head, everything else held still."""
    still = start.new_zeros(0)
    return inner_path(lambda w, _: loss(w), start, still, alpha=alpha, steps=steps)[-1]


def minimise(loss: Callable[[Tensor], Tensor], start: Tensor, *, budget: int = 200) -> Tensor:
    """The minimiser that L-BFGS finds from a start."""
    w = start.detach().clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [w],
        max_iter=budget,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        value = loss(w)
        (w.grad,) = gradients(value, [w])
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return w.detach()


def finite_step_bias(
    inner_loss: Loss,
    outer_loss: Loss,
    head: Tensor,
    body: Tensor,
    *,
    alpha: float,
    steps: int,
    budget: int = 500,
) -> float:
    """How far N steps are from adaptation run to its end, in the body's meta-gradient.

    ``‖G_N − G_∞‖ / ‖G_∞‖``: near 0 the checkpoint was trained with a true adaptation,
    near 1 with an early-stopped one. Needs an inner loss strongly convex in the head.

    Args:
        inner_loss: ``g(head, body)``.
        outer_loss: ``f(head, body)``.
        head: Start.
        body: Any shape.
        alpha: Inner rate.
        steps: ``N``.
        budget: Iterations of the solvers.

    Raises:
        ProbeError: The inner Hessian is not positive definite at the solution.
    """
    solution = minimise(lambda w: inner_loss(w, body.detach()), head, budget=budget)
    leaf = solution.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = gradients(inner_loss(leaf, body.detach()), [leaf], create_graph=True)

    def product(v: Tensor) -> Tensor:
        (curved,) = torch.autograd.grad(slope, [leaf], v, retain_graph=True)
        return curved

    limit = implicit_meta_gradient(
        inner_loss, outer_loss, solution, body, lambda u: _conjugate_gradients(product, u, budget)
    )
    _, reached = anil_meta_gradient(inner_loss, outer_loss, head, body, alpha=alpha, steps=steps)
    return float((reached - limit).norm() / limit.norm())


def _conjugate_gradients(product: Callable[[Tensor], Tensor], u: Tensor, budget: int) -> Tensor:
    x = torch.zeros_like(u)
    residual = u.clone()
    direction = residual.clone()
    squared = float((residual**2).sum())
    target = squared * torch.finfo(u.dtype).eps ** 2
    for _ in range(budget):
        if squared <= target:
            break
        curved = product(direction)
        bend = float((direction * curved).sum())
        if bend <= 0:
            raise ProbeError(
                "the inner loss is not strongly convex in the head here, so adaptation has no "
                "well-defined end; add a penalty to the head or ask about finite steps only",
                code="not-strongly-convex",
            )
        x = x + squared / bend * direction
        residual = residual - squared / bend * curved
        previous, squared = squared, float((residual**2).sum())
        direction = residual + squared / previous * direction
    return x
