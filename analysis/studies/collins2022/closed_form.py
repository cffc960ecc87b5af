r"""Where training ends on the line between easy and hard tasks, and what adaptation then costs.

Adapted by one step on n samples, a start at distance δ from a task's optimum costs ½ q(ρ) ‖δ‖²,

.. math:: q(\rho) = \rho\,\bigl[(1-\alpha\rho)^2 + \alpha^2\rho^2 (d+1)/n\bigr].

NAL, "non-adaptive learning", is ordinary training that ignores the step to come: it weighs the
types by p ρ. MAML weighs them by Q = p q(ρ). Both minimisers lie on the segment from the easy
centre (position 0) to the hard centre (position 1), at

.. math:: a = \frac{p_H\rho_H}{p_E\rho_E + p_H\rho_H}, \qquad b = \frac{Q_H}{Q_E + Q_H}. \quad (F4)

Ordinary training sits with the easy tasks, whose loss is steep; MAML lets the step take care of
those and moves to the hard ones. Tested with as many samples as it was trained with, MAML is
better by exactly (F3, F4) ½ (Q_E + Q_H)(b − a)² R², and the ratio of the two risks is (F5)

.. math:: G = 1 + \frac{(1+\kappa)(b-a)^2R^2}{\kappa r_E^2 + r_H^2 + R^2\kappa/(1+\kappa) + \eta},
          \qquad \kappa = Q_E/Q_H,\ \eta = 2\,\mathrm{noise}/Q_H.

So a large G needs all of: a hardness gap (b ≠ a), hard optima packed closely relative to the
distance of the centres (r_H ≪ R), easy tasks that adaptation solves (κ ≪ 1), and enough samples
for it to do so. The first two are the paper's claims (abstract). The formulas F4 to F8 were
derived here, since its theorems could not be obtained; they are exact for Gaussian inputs.

Collins, Mokhtari, Shakkottai (2022), https://arxiv.org/abs/2010.14672
"""

from __future__ import annotations

import math
from dataclasses import replace

from .setting import Landscape, LandscapeError


def positions(
    *,
    dim: int,
    alpha: float,
    rho_easy: float,
    rho_hard: float,
    p_hard: float,
    n: float,
    steps: int = 1,
) -> tuple[float, float]:
    """``(a, b)``: where NAL and MAML end, 0 being the easy centre and 1 the hard one (F4, F8).

    Args:
        dim: Number of weights ``d``.
        alpha: Inner step size, any sign.
        rho_easy: Input variance of easy tasks.
        rho_hard: Input variance of hard tasks.
        p_hard: Share of hard tasks, in [0, 1].
        n: Samples of the inner step in training, or ``math.inf`` for the exact gradient.
        steps: Inner steps; more than one with ``n = math.inf`` only.

    Raises:
        LandscapeError: A value outside its range.
    """
    return starts(
        Landscape(
            dim=dim,
            alpha=alpha,
            rho_easy=rho_easy,
            rho_hard=rho_hard,
            p_hard=p_hard,
            n_train=n,
            steps=steps,
        )
    )


def excess_risks(
    *,
    dim: int,
    alpha: float,
    rho_easy: float,
    rho_hard: float,
    p_hard: float,
    distance: float,
    r_easy: float,
    r_hard: float,
    noise: float,
    n_train: float,
    n_test: float,
    steps: int = 1,
) -> tuple[float, float]:
    """``(nal, maml)``: mean risk after adaptation above that of each task's optimum (F4).

    The arguments are those of :class:`Landscape`. With ``n_train == n_test`` MAML is never the
    worse (F3); trained for fewer samples than it is tested with, it can be.
    """
    return risks(
        Landscape(
            dim=dim,
            alpha=alpha,
            rho_easy=rho_easy,
            rho_hard=rho_hard,
            p_hard=p_hard,
            distance=distance,
            r_easy=r_easy,
            r_hard=r_hard,
            noise=noise,
            n_train=n_train,
            n_test=n_test,
            steps=steps,
        )
    )


def gain_ratio(
    *,
    dim: int,
    alpha: float,
    rho_easy: float,
    rho_hard: float,
    p_hard: float,
    distance: float,
    r_easy: float,
    r_hard: float,
    noise: float,
    n_train: float,
    n_test: float,
    steps: int = 1,
) -> float:
    """``G``: NAL's excess risk over MAML's (F5). The arguments are those of :class:`Landscape`.

    Returns:
        Above 1 where training for adaptation paid; ``math.inf`` where MAML's risk is zero and
        NAL's is not; 1 where both are zero, since then there was nothing to gain.
    """
    return ratio(
        Landscape(
            dim=dim,
            alpha=alpha,
            rho_easy=rho_easy,
            rho_hard=rho_hard,
            p_hard=p_hard,
            distance=distance,
            r_easy=r_easy,
            r_hard=r_hard,
            noise=noise,
            n_train=n_train,
            n_test=n_test,
            steps=steps,
        )
    )


def weights(land: Landscape, n: float) -> tuple[float, float]:
    """``(Q_E, Q_H)``: the weight of each type's squared distance in the adapted risk."""
    easy, hard = (
        share
        * rho
        * ((1 - land.alpha * rho) ** (2 * land.steps) + land.alpha**2 * rho**2 * (land.dim + 1) / n)
        for share, rho in zip(land.shares, land.variances, strict=True)
    )
    return easy, hard


def starts(land: Landscape) -> tuple[float, float]:
    """``(a, b)`` of a landscape; where the step solves every task (Q = 0), the limit ``b = a``."""
    easy, hard = (share * rho for share, rho in zip(land.shares, land.variances, strict=True))
    a = hard / (easy + hard)
    easy, hard = weights(land, land.n_train)
    return a, (hard / (easy + hard) if easy + hard > 0 else a)


def risk_at(land: Landscape, position: float) -> float:
    """Excess risk after adaptation from a start at ``position`` on the segment (F4)."""
    easy, hard = weights(land, land.n_test)
    from_easy = land.r_easy**2 + (position * land.distance) ** 2
    from_hard = land.r_hard**2 + ((1 - position) * land.distance) ** 2
    return 0.5 * (easy * from_easy + hard * from_hard) + noise_risk(land)


def noise_risk(land: Landscape) -> float:
    """The part of the excess risk that is label noise fitted by the step, same for any start."""
    moment = sum(p * rho**2 for p, rho in zip(land.shares, land.variances, strict=True))
    return land.alpha**2 * land.noise**2 * land.dim * moment / (2 * land.n_test)


def risks(land: Landscape) -> tuple[float, float]:
    """``(nal, maml)`` of a landscape."""
    a, b = starts(land)
    return risk_at(land, a), risk_at(land, b)


def gain(land: Landscape) -> float:
    """``Δ``: NAL's excess risk minus MAML's, in units of squared-error loss."""
    nal, maml = risks(land)
    return nal - maml


def ratio(land: Landscape) -> float:
    """``G`` of a landscape, with the conventions of :func:`gain_ratio`."""
    nal, maml = risks(land)
    if maml == 0:
        return 1.0 if nal == 0 else math.inf
    return nal / maml


def gain_identity(land: Landscape) -> float:
    """``½ (Q_E + Q_H)(b − a)² R²``: equals ``Δ`` when ``n_train == n_test`` (F3, F4)."""
    a, b = starts(land)
    return 0.5 * sum(weights(land, land.n_test)) * ((b - a) * land.distance) ** 2


def ratio_bound(land: Landscape) -> float:
    """No radius, noise or distance lifts ``G`` above ``1 + (1+κ)²(b−a)²/κ`` (condition 3, derived).

    It is what remains of F5 with ``r_E = r_H = σ = 0`` or ``R → ∞``, for equal sample sizes.
    """
    a, b = starts(land)
    easy, hard = weights(land, land.n_train)
    if easy == 0 or hard == 0:
        return 1.0 if a == b else math.inf
    kappa = easy / hard
    return 1 + (1 + kappa) ** 2 * (b - a) ** 2 / kappa


def perfect_adaptation_ratio(land: Landscape) -> float:
    """``1 + (1 − a)² R²/r_H²``: G when one exact step solves easy tasks, without noise (F6)."""
    a, _ = starts(land)
    if land.r_hard == 0:
        raise LandscapeError("r_hard=0; the ratio has no finite limit, give a positive radius")
    return 1 + ((1 - a) * land.distance / land.r_hard) ** 2


def small_step_gain(land: Landscape) -> float:
    """``lim Δ/α²`` as ``α → 0`` with exact gradients: the gain vanishes as ``α²`` (F7)."""
    a, _ = starts(land)
    scale = sum(p * rho for p, rho in zip(land.shares, land.variances, strict=True))
    gap = land.rho_easy - land.rho_hard
    return 2 * (a * (1 - a) * gap * land.distance) ** 2 * scale


def samples_needed(land: Landscape) -> float:
    """Samples above which MAML sits nearer the hard centre (b > ½), at ``α = 1/ρ_E``.

    ``n* = (d+1) [p_E ρ_E/(p_H ρ_H) − h²]/(1 − h)²`` with ``h = ρ_H/ρ_E``, exact. Derived here; it
    is this study's reading of "Ω(d_eff) labelled samples" in the abstract of v2 of the paper.

    Raises:
        LandscapeError: Equal input variances, or one type only: no number of samples suffices.
    """
    if land.rho_easy == land.rho_hard or land.p_hard in (0, 1):
        raise LandscapeError("no hardness gap; give two types with different input variances")
    h = land.rho_hard / land.rho_easy
    easy, hard = (p * rho for p, rho in zip(land.shares, land.variances, strict=True))
    return (land.dim + 1) * (easy / hard - h**2) / (1 - h) ** 2


def with_samples(land: Landscape, n: float) -> Landscape:
    """The same landscape, trained and tested with ``n`` samples."""
    return replace(land, n_train=n, n_test=n)
