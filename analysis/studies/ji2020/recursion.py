"""The exact ANIL meta-gradient, by a recursion that never stores the unrolled graph.

ANIL ("almost no inner loop") adapts only the head ``w`` of a network to a task and
leaves the body ``φ`` alone::

    w_0 = w,    w_{m+1} = w_m − α ∇_w g(w_m, φ),    m = 0 … N−1

and then asks how the loss ``f(w_N, φ)`` on unseen images depends on the *start*
``(w, φ)``. The chain rule gives

    df/dw = Π_m (I − α H_m) ∇_w f(w_N)
    df/dφ = ∇_φ f(w_N) − α Σ_m (∂_φ ∂_w g(w_m))ᵀ Π_{j>m} (I − α H_j) ∇_w f(w_N)

with ``H_m`` the Hessian of ``g`` in the head. Reading the products from the right
turns both into one backward loop of Hessian-vector and mixed products, so memory
grows with ``N`` heads and not with ``N`` graphs.

The paper's: the algorithm, and that its cost is counted in gradients and
second-order products (read in the introduction). Derived here: the recursion written
out; it is the chain rule, and equals automatic differentiation of the unrolled loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral

import torch
from torch import Tensor

from ....data.errors import ProbeError

Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(head, body)``: a scalar tensor, differentiable in both."""


def gradients(
    output: Tensor,
    inputs: Sequence[Tensor],
    *,
    weights: Tensor | None = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Derivatives of ``output``, zero where it does not depend on an input.

    Args:
        output: A scalar, or any shape when ``weights`` of that shape are given.
        inputs: Leaves to differentiate by.
        weights: The vector of a vector-Jacobian product.
        create_graph: Keep the result differentiable.
    """
    if not output.requires_grad:
        return tuple(torch.zeros_like(x) for x in inputs)
    return torch.autograd.grad(
        output,
        inputs,
        grad_outputs=weights,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def inner_path(
    inner_loss: Loss, head: Tensor, body: Tensor, *, alpha: float, steps: int
) -> list[Tensor]:
    """The heads ``[w_0, …, w_N]`` of plain gradient descent on the inner loss.

    Args:
        inner_loss: ``g(head, body)``.
        head: ``w_0``, any shape.
        body: Held fixed, any shape.
        alpha: Inner rate; any sign.
        steps: ``N ≥ 0``.

    Raises:
        ProbeError: As `anil_meta_gradient`.
    """
    _check(head, body, alpha=alpha, steps=steps)
    body = body.detach()
    path = [head.detach()]
    with torch.enable_grad():
        for _ in range(steps):
            w = path[-1].requires_grad_()
            (slope,) = gradients(_scalar(inner_loss, w, body, "inner_loss"), [w])
            path.append((w - alpha * slope).detach())
    return [w.detach() for w in path]


def anil_meta_gradient(
    inner_loss: Loss,
    outer_loss: Loss,
    head: Tensor,
    body: Tensor,
    *,
    alpha: float,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """The exact meta-gradient of ANIL; never the first-order shortcut.

    Losses that are sums over independent tasks may carry the tasks as leading
    dimensions of ``head``: the Hessian is block-diagonal, so every task runs its own
    recursion in one call, and the body collects the sum over the tasks.

    Args:
        inner_loss: ``g(head, body)``, the support loss; twice differentiable.
        outer_loss: ``f(head, body)``, the query loss.
        head: Start of the inner loop, any shape.
        body: Parameters the inner loop leaves alone, any shape.
        alpha: Inner rate; any sign.
        steps: ``N ≥ 0`` inner steps; with 0 this is the plain gradient of ``f``.

    Returns:
        ``(df/dhead, df/dbody)`` of ``f(w_N(head, body), body)``, detached, shaped like
        ``head`` and ``body``.

    Raises:
        ProbeError: ``steps`` is not a whole number of at least 0, ``alpha`` not finite, head or
            body not a tensor of real floating-point numbers, or a loss not a scalar tensor.
    """
    _, grad_head, grad_body = anil_pass(
        inner_loss, outer_loss, head, body, alpha=alpha, steps=steps
    )
    return grad_head, grad_body


def anil_pass(
    inner_loss: Loss,
    outer_loss: Loss,
    head: Tensor,
    body: Tensor,
    *,
    alpha: float,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """`anil_meta_gradient` with the adapted head ``w_N`` in front."""
    path = inner_path(inner_loss, head, body, alpha=alpha, steps=steps)
    phi = body.detach().clone().requires_grad_()
    with torch.enable_grad():
        last = path[-1].clone().requires_grad_()
        v, collected = gradients(_scalar(outer_loss, last, phi, "outer_loss"), [last, phi])
        for w in reversed(path[:-1]):
            w = w.clone().requires_grad_()
            (slope,) = gradients(inner_loss(w, phi), [w], create_graph=True)
            curved, mixed = gradients(slope, [w, phi], weights=v)
            collected = collected - alpha * mixed
            v = v - alpha * curved
    return path[-1], v.detach(), collected.detach()


def unrolled_meta_gradient(
    inner_loss: Loss,
    outer_loss: Loss,
    head: Tensor,
    body: Tensor,
    *,
    alpha_head: float,
    alpha_body: float,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """The meta-gradient of MAML by differentiating through the unrolled loop.

    Both head and body are adapted, each with its own rate, so one function holds
    three methods: MAML (both rates), ANIL (``alpha_body = 0``) and BOIL
    (``alpha_head = 0``; its head meta-gradient still has a second-order path through
    the adapted body). It is the independent answer the recursion is held against.

    Returns:
        ``(df/dhead, df/dbody)``, detached.
    """
    start = (head.detach().clone().requires_grad_(), body.detach().clone().requires_grad_())
    with torch.enable_grad():
        w, phi = start
        for _ in range(steps):
            slope_w, slope_phi = gradients(inner_loss(w, phi), [w, phi], create_graph=True)
            w = w - alpha_head * slope_w
            phi = phi - alpha_body * slope_phi
        grad_head, grad_body = gradients(outer_loss(w, phi), start)
    return grad_head, grad_body


def implicit_meta_gradient(
    inner_loss: Loss,
    outer_loss: Loss,
    solution: Tensor,
    body: Tensor,
    solve: Callable[[Tensor], Tensor],
) -> Tensor:
    """The body's meta-gradient when the inner loop has run to its end (N → ∞).

    With ``w*(φ)`` the unique minimiser of the inner loss,
    ``df/dφ = ∇_φ f − (∂_φ ∂_w g)ᵀ H⁻¹ ∇_w f`` by the implicit function theorem.

    Args:
        inner_loss: ``g(head, body)``, strongly convex in the head.
        outer_loss: ``f(head, body)``.
        solution: ``w*(φ)``.
        body: ``φ``.
        solve: ``u ↦ H⁻¹ u`` with ``H`` the Hessian of ``g`` in the head at ``solution``.
    """
    w = solution.detach().clone().requires_grad_()
    phi = body.detach().clone().requires_grad_()
    with torch.enable_grad():
        slope_w, direct = gradients(outer_loss(w, phi), [w, phi])
        (slope,) = gradients(inner_loss(w, phi), [w], create_graph=True)
        (mixed,) = gradients(slope, [phi], weights=solve(slope_w))
    return (direct - mixed).detach()


def _check(head: Tensor, body: Tensor, *, alpha: float, steps: int) -> None:
    if not isinstance(steps, Integral) or steps < 0:
        raise ProbeError(
            f"{steps} inner steps asked; an inner loop has a whole number of steps, 0 or more",
            code="steps-negative",
        )
    if not math.isfinite(alpha):
        raise ProbeError(f"alpha={alpha}; an inner rate is a finite number", code="alpha")
    for name, value in (("head", head), ("body", body)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            came = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise ProbeError(
                f"{name} is {came}; give a tensor of real floating-point numbers", code=name
            )


def _scalar(loss: Loss, head: Tensor, body: Tensor, name: str) -> Tensor:
    value = loss(head, body)
    if not isinstance(value, Tensor) or value.numel() != 1:
        came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ProbeError(
            f"{name} gave {came}; it must give one number as a tensor, made from its arguments",
            code="loss",
        )
    return value
