"""The extreme curvatures of a loss in a group of parameters, by Hessian products alone.

Lanczos needs only ``v ↦ Hv``, so it works for a head of five rows and for a whole
network. The sign of the smallest curvature is what decides which of the paper's two
geometries an inner loop lives in.

Derived here; Lanczos with full reorthogonalisation is textbook.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....data.errors import ProbeError


@dataclass(frozen=True)
class Curvature:
    """Extreme eigenvalues of a loss's Hessian in a group of parameters.

    Args:
        largest: Top eigenvalue.
        smallest: Bottom eigenvalue; negative where the loss is nonconvex.
        parameters: Size of the group.
    """

    largest: float
    smallest: float
    parameters: int

    @property
    def bend(self) -> float:
        """``−smallest/largest``: how nonconvex; 0 or less where it is convex."""
        return -self.smallest / self.largest if self.largest else math.nan


def hessian_product(loss: Tensor, parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """``v ↦ H v`` for the Hessian of a scalar in a group of leaves, as flat vectors."""
    slopes = torch.autograd.grad(
        loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True
    )
    flat = torch.cat([s.reshape(-1) for s in slopes])

    def product(vector: Tensor) -> Tensor:
        if not flat.requires_grad:
            return torch.zeros_like(vector)
        parts = torch.autograd.grad(
            flat, parameters, vector, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([p.reshape(-1) for p in parts]).detach()

    return product


def lanczos_extremes(
    product: Callable[[Tensor], Tensor], size: int, *, iterations: int, seed: int, like: Tensor
) -> tuple[float, float]:
    """Largest and smallest eigenvalue of a symmetric operator.

    Lanczos with full reorthogonalisation: exact once ``iterations`` reaches the number
    of distinct eigenvalues, and from inside the spectrum before.

    Args:
        product: ``v ↦ A v``.
        size: Length of ``v``.
        iterations: Products to spend.
        seed: Of the start vector.
        like: Gives dtype and device.
    """
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(size, generator=generator, dtype=torch.float64).to(like)
    basis = [v / v.norm()]
    diagonal: list[float] = []
    off: list[float] = []
    for _ in range(min(iterations, size)):
        w = product(basis[-1])
        diagonal.append(float(w @ basis[-1]))
        stack = torch.stack(basis)
        for _ in range(2):
            w = w - stack.T @ (stack @ w)
        length = float(w.norm())
        scale = max(map(abs, diagonal + off), default=0.0)
        if length <= 100 * torch.finfo(v.dtype).eps * max(scale, torch.finfo(v.dtype).tiny):
            break
        off.append(length)
        basis.append(w / length)
    k = len(diagonal)
    ritz = np.linalg.eigvalsh(
        np.diag(diagonal) + np.diag(off[: k - 1], 1) + np.diag(off[: k - 1], -1)
    )
    return float(ritz[-1]), float(ritz[0])


def curvature(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, iterations: int = 40, seed: int = 0
) -> Curvature:
    """How a loss curves in one group of parameters, everything else held still.

    Args:
        loss: Recomputes the scalar support loss from live parameters, twice
            differentiable.
        parameters: The group: leaves that require gradients.
        iterations: Hessian-vector products to spend.
        seed: Of the Lanczos start.

    Raises:
        ProbeError: An empty group.
    """
    if not parameters:
        raise ProbeError("an empty group of parameters has no curvature", code="empty-group")
    with torch.enable_grad():
        size = sum(p.numel() for p in parameters)
        product = hessian_product(loss(), parameters)
        top, bottom = lanczos_extremes(
            product, size, iterations=iterations, seed=seed, like=parameters[0]
        )
    return Curvature(top, bottom, size)


def top_curvature(
    gradient: Callable[[Tensor], Tensor],
    point: Tensor,
    *,
    iterations: int = 40,
    step: float = 1e-5,
    seed: int = 0,
) -> float:
    """Meta-smoothness at a point of any size, from an exact meta-gradient.

    The largest absolute eigenvalue of the Hessian whose gradient is given, by Lanczos on
    central differences; its inverse is the largest outer rate that is safe there.

    Args:
        gradient: ``point ↦ ∇`` as a flat vector.
        point: Flat parameters.
        iterations: Products to spend, two gradients each.
        step: Finite-difference step.
        seed: Of the Lanczos start.
    """

    def product(v: Tensor) -> Tensor:
        return (gradient(point + step * v) - gradient(point - step * v)) / (2 * step)

    top, bottom = lanczos_extremes(
        product, point.numel(), iterations=iterations, seed=seed, like=point
    )
    return max(abs(top), abs(bottom))
