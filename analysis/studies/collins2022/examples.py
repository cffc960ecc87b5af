"""The landscapes the claims are tried on: one to look at, and any at all.

The base landscape is this study's own, since the parameters of the paper's figures could not be
obtained: ten weights, easy tasks that one step nearly solves (αρ = 0.9), hard tasks that it hardly
moves (αρ = 0.1), centres 2 apart, optima scattered by 0.5 around them. Random ones make sure that a
formula holds anywhere in its regime and not at chosen points.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .mixture import Array
from .setting import Landscape

BASE = Landscape(
    dim=10,
    alpha=1.0,
    rho_easy=0.9,
    rho_hard=0.1,
    p_hard=0.5,
    distance=2.0,
    r_easy=0.5,
    r_hard=0.5,
    noise=0.1,
    n_train=200,
    n_test=200,
)
"""The landscape every panel starts from."""

SAMPLES = replace(BASE, rho_easy=1.0, rho_hard=0.05, r_hard=0.4, noise=0.0)
"""One exact step solves easy tasks: what is left to gain depends on the samples alone."""


def random_landscape(rng: np.random.Generator) -> Landscape:
    """Any landscape of the regime, equal sample sizes in training and test.

    Dimensions 1 to 30, step sizes of both signs and beyond overshooting, any shares, radii and
    noise, 1 to 500 samples or the exact gradient.
    """
    samples = math.inf if rng.random() < 0.1 else float(rng.integers(1, 500))
    return Landscape(
        dim=int(rng.integers(1, 31)),
        alpha=float(rng.uniform(-1, 2)),
        rho_easy=float(rng.uniform(0.02, 2)),
        rho_hard=float(rng.uniform(0.02, 2)),
        p_hard=float(rng.uniform(0.02, 0.98)),
        distance=float(rng.uniform(0, 4)),
        r_easy=float(rng.uniform(0, 2)),
        r_hard=float(rng.uniform(0.01, 2)),
        noise=float(rng.uniform(0, 1)),
        n_train=samples,
        n_test=samples,
    )


def random_covariances(rng: np.random.Generator, count: int, dim: int) -> Array:
    """Covariances ``(count, dim, dim)`` of all shapes: normal matrices squared."""
    factors = rng.standard_normal((count, dim, dim)) / math.sqrt(dim)
    return factors @ factors.transpose(0, 2, 1)
