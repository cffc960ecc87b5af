"""The shape of an inner loop: how curved it is, how many steps it needs, where it bends.

An inner rate means nothing by itself. What counts is its product with the curvature of
the support loss: a head on features of curvature ``L`` is stable below ``α = 2/L`` and
needs about ``κ = L/μ`` steps to adapt. Copying a rate between two encoders whose
features differ in scale copies the number, not the adaptation.

Everything here takes plain tensors, never an encoder, so any model can be measured: give
the features of an episode to `head_geometry`, and what `spectrum.curvature` finds for a
support loss and a group of its parameters to `advise`.

The paper's: the split into strongly convex and nonconvex inner losses, and that the
useful number of steps depends on which one holds. Derived here: the bounds for the two
common heads, the step counts and the thresholds of the advice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....data.errors import ProbeError
from .spectrum import Curvature


@dataclass(frozen=True)
class HeadGeometry:
    """Curvature of the loss of a linear head on frozen features.

    Args:
        mu: Least curvature ``μ``; 0 where the loss is only convex.
        smoothness: Largest curvature ``L``. For cross-entropy an upper bound that holds
            at every head, for squares exact.
        effective_mu: Least *nonzero* curvature; equals ``mu`` when that is positive.
            With ``mu = 0`` it speaks only of the directions the support spans.
    """

    mu: float
    smoothness: float
    effective_mu: float

    @property
    def strongly_convex(self) -> bool:
        """Whether the theory of the strongly convex case may be used at all."""
        return self.mu > 0

    @property
    def condition(self) -> float:
        """``κ = L/μ``; infinite where the loss is only convex."""
        return self.smoothness / self.mu if self.mu > 0 else math.inf

    @property
    def safe_rate(self) -> float:
        """``1/L``, the largest inner rate the theory covers."""
        return 1 / self.smoothness

    @property
    def fastest_rate(self) -> float:
        """``2/(L + μ)``, the rate with the best guaranteed contraction, ``(κ−1)/(κ+1)``."""
        return 2 / (self.smoothness + self.mu)


def head_geometry(
    features: Tensor, *, loss: Literal["squares", "cross-entropy"], l2: float = 0.0
) -> HeadGeometry:
    """``μ`` and ``L`` of a linear head's support loss, from its features alone.

    With ``σ`` the eigenvalues of ``HᵀH/n``: squares ``½ mean ‖Hw − y‖² + λ/2 ‖w‖²`` have
    ``μ = σ_min + λ`` and ``L = σ_max + λ``; softmax cross-entropy has
    ``L ≤ σ_max/2 + λ`` (the softmax Hessian is at most ½) and ``μ ≥ λ``, attained,
    because adding one vector to every class changes nothing.

    Args:
        features: Support embeddings ``(n, d)``; append a column of ones for a bias.
        loss: Which head.
        l2: ``λ ≥ 0``, the penalty of the loss; 0 where there is none.

    Raises:
        ProbeError: Features that are not a finite ``(n, d)`` matrix, or ``l2 < 0``.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise ProbeError(
            f"features of shape {tuple(features.shape)}; give a matrix (n, d) with rows",
            code="features-shape",
        )
    if not torch.isfinite(features).all():
        raise ProbeError(
            "features hold NaN or infinite numbers; remove those rows first",
            code="features-not-finite",
        )
    if l2 < 0:
        raise ProbeError(f"l2={l2}; a penalty is 0 or more", code="l2")
    n, d = features.shape
    eps = torch.finfo(features.dtype if features.is_floating_point() else torch.float64).eps
    sigma = (torch.linalg.svdvals(features.detach().double()) ** 2 / n).cpu().numpy()
    floor = sigma[0] * (max(n, d) * eps) ** 2
    nonzero = sigma[sigma > floor]
    half = 1.0 if loss == "squares" else 0.5
    top = half * float(sigma[0]) + l2
    if loss == "squares":
        rest = float(nonzero[-1]) if len(nonzero) == d else 0.0
        mu = rest + l2
        effective = mu if mu > 0 else (float(nonzero[-1]) if len(nonzero) else 0.0)
    else:
        mu, effective = l2, l2
    return HeadGeometry(mu=mu, smoothness=top, effective_mu=effective)


def softmax_spectrum(features: Tensor, head: Tensor, *, l2: float = 0.0) -> NDArray[np.float64]:
    """Every curvature of mean cross-entropy in a linear head: its Hessian's eigenvalues.

    The Hessian is ``mean_i (diag p_i − p_i p_iᵀ) ⊗ h_i h_iᵀ + λ``, with ``p_i`` the softmax
    of row ``i``; it does not depend on the labels.

    Args:
        features: ``(n, d)``.
        head: ``(ways, d)``, where to take it.
        l2: ``λ ≥ 0``.

    Returns:
        ``(ways · d,)``, ascending, in float64.
    """
    h, w = features.detach().double().cpu(), head.detach().double().cpu()
    p = torch.softmax(h @ w.T, dim=1)
    bent = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    hessian = torch.einsum("nab,ni,nj->aibj", bent, h, h) / len(h)
    eigenvalues = torch.linalg.eigvalsh(hessian.reshape(w.numel(), w.numel()))
    return np.asarray(eigenvalues.numpy() + l2, dtype=np.float64)


def steps_to(share: float, *, alpha: float, mu: float) -> float:
    """Inner steps until the distance to the optimum has shrunk to ``share``.

    ``N = ⌈log(1/share) / −log(1 − αμ)⌉``: an upper bound under ``α ≤ 1/L``, reached by
    the flattest direction.

    Returns:
        A whole number, or infinity where ``μ = 0``.

    Raises:
        ProbeError: ``share`` outside (0, 1), or ``αμ`` outside [0, 1].
    """
    if not 0 < share < 1:
        raise ProbeError(f"share={share}; give a number between 0 and 1", code="share")
    if not 0 <= alpha * mu <= 1:
        raise ProbeError(
            f"alpha·mu={alpha * mu:.3g} lies outside [0, 1]; choose alpha <= 1/L",
            code="rate-too-large",
        )
    if alpha * mu == 0:
        return math.inf
    return 1.0 if alpha * mu == 1 else math.ceil(math.log(1 / share) / -math.log1p(-alpha * mu))


@dataclass(frozen=True)
class Advice:
    """What a group's curvature says about an inner loop.

    Args:
        geometry: ``"convex"`` or ``"nonconvex"``.
        stable: Whether ``α < 2/λ_max``.
        growth: ``(1 + α|λ_min|)^{2N}``, the worst amplification of the meta-smoothness
            by nonconvexity; 1 where the loss is convex.
        rate: The largest advisable inner rate.
        sentence: The advice in words.
    """

    geometry: Literal["convex", "nonconvex"]
    stable: bool
    growth: float
    rate: float
    sentence: str


def advise(
    shape: Curvature,
    *,
    alpha: float,
    steps: int,
    growth_limit: float = 10.0,
    tolerance: float = 1e-6,
) -> Advice:
    """Turns a curvature into an inner rate and a warning.

    Convex groups may use ``α = 1/λ_max`` and as many steps as ``κ`` asks. Where the loss
    bends down, ``N`` steps can amplify by ``(1 + α|λ_min|)^{2N}``, so the rate must fall
    like ``1/N``.

    Args:
        shape: From `curvature`.
        alpha: The inner rate in use, positive.
        steps: ``N`` in use.
        growth_limit: Amplification from which to warn.
        tolerance: Negative curvature below this share of ``λ_max`` counts as none.
    """
    top = max(shape.largest, abs(shape.smallest))
    stable = alpha * top < 2
    if shape.smallest >= -tolerance * top:
        words = "convex here: alpha up to 1/L is safe, and more steps only adapt further"
        if not stable:
            words = f"alpha={alpha:.3g} exceeds 2/L={2 / top:.3g}: the inner loop overshoots"
        return Advice("convex", stable, 1.0, 1 / top if top else math.inf, words)
    bend = abs(shape.smallest)
    exponent = 2 * steps * math.log1p(alpha * bend)
    growth = math.exp(min(exponent, 700.0))
    rate = min(
        1 / top, (math.expm1(math.log(growth_limit) / (2 * steps)) / bend) if steps else 1 / top
    )
    words = (
        f"nonconvex: {steps} steps at alpha={alpha:.3g} can amplify {growth:.3g} times; "
        f"keep alpha <= {rate:.3g} at this many steps, or take fewer"
        if growth > growth_limit
        else f"nonconvex, but {steps} steps at alpha={alpha:.3g} amplify at most {growth:.3g} times"
    )
    return Advice("nonconvex", stable, growth, rate, words)
