"""Ji 2020: values known without randomness, from an independent derivation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from metaprobe.analysis.studies.ji2020 import anil_meta_gradient
from metaprobe.analysis.studies.ji2020.problems import (
    deep_losses,
    meta_gradient,
)
from metaprobe.analysis.studies.ji2020.ridge import (
    ridge_matrices,
    ridge_meta_gradient,
)
from metaprobe.analysis.studies.ji2020.spectrum import top_curvature

from .sample_ji2020 import sine_pool


@pytest.mark.parametrize(
    ("steps", "loss", "body_norm"),
    [
        (0, 0.255887126201, 0.039143007094),
        (1, 0.250520145411, 0.037114237903),
        (5, 0.252065953897, 0.021876700235),
        (50, 0.254382810688, 0.015517158184),
        (None, 0.254664941250, 0.013313321720),
    ],
)
def test_the_ridge_oracle_is_matched(steps: int | None, loss: float, body_norm: float) -> None:
    pool = sine_pool(None)
    gradient = ridge_meta_gradient(pool, ridge=0.1, alpha=0.2, steps=steps)
    value, grad_body, grad_head = gradient(pool.body, pool.ridge_head)
    assert value[0] == pytest.approx(loss, abs=1e-11)
    assert np.linalg.norm(grad_body) == pytest.approx(body_norm, abs=1e-11)
    heads = {1: (0.0478056543, -0.0246376639), 5: (0.0284505881, -0.0164646156)}
    if steps in heads:
        assert grad_head[0] == pytest.approx(heads[steps], abs=1e-9)
    if steps is None:
        assert not grad_head.any()
    sigma = np.linalg.eigvalsh(ridge_matrices(pool, pool.body, ridge=0.1)[0])
    assert sigma.max() == pytest.approx(4.446367570278, abs=1e-11)
    assert sigma.min() == pytest.approx(0.233386255145, abs=1e-11)


@pytest.mark.parametrize(
    ("steps", "loss", "body_norm", "last_layer_norm"),
    [
        (0, 0.255025402155, 0.012065683326, 0.042269417683),
        (1, 0.254094751585, 0.011484159972, 0.040010274820),
        (5, 0.252126879636, 0.010109976075, 0.038372596266),
        (20, 0.257089595827, 0.017331671072, 0.058386484079),
    ],
)
def test_the_two_layer_oracle_is_matched(
    steps: int, loss: float, body_norm: float, last_layer_norm: float
) -> None:
    pool = sine_pool(2.0)
    gradient = meta_gradient(pool, deep_losses(pool), alpha=0.2, steps=steps)
    value, grad_body, grad_head = gradient(pool.body, pool.deep_head)
    assert value[0] == pytest.approx(loss, abs=1e-11)
    assert np.linalg.norm(grad_body) == pytest.approx(body_norm, abs=1e-11)
    assert np.linalg.norm(grad_head[0, 6:]) == pytest.approx(last_layer_norm, abs=1e-11)


def scalar_pair(curve: float, alpha: float, steps: int) -> Callable[[Tensor], Tensor]:
    """The scalar oracle's meta-gradient in (w, φ); y = 3."""

    def gradient(point: Tensor) -> Tensor:
        return torch.cat(
            anil_meta_gradient(
                lambda w, f: curve / 2 * ((w - f) ** 2).sum(),
                lambda w, f: ((w - 3) ** 2).sum() / 2,
                point[:1],
                point[1:],
                alpha=alpha,
                steps=steps,
            )
        )

    return gradient


@pytest.mark.parametrize(
    ("curve", "values"),
    [
        (1.0, (1, 0.82, 0.6922, 0.516377, 0.545796, 0.786408, 0.989746)),
        (-1.0, (1, 1.22, 1.5082, 2.966465, 9.267515, 78.063511, 27327.442974)),
    ],
)
def test_the_scalar_pair_has_the_closed_form_meta_curvature(
    curve: float, values: tuple[float, ...]
) -> None:
    point = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for steps, value in zip((0, 1, 2, 5, 10, 20, 50), values, strict=True):
        shrink = (1 - 0.1 * curve) ** steps
        found = top_curvature(scalar_pair(curve, 0.1, steps), point, step=1e-4)
        assert found == pytest.approx(shrink**2 + (1 - shrink) ** 2, rel=1e-7)
        assert found == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_a_rate_cut_like_one_over_n_bounds_the_scalar_pairs_curvature() -> None:
    point = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for steps, value in ((1, 5), (2, 6.625), (5, 8.406833), (10, 9.267515), (20, 9.773382)):
        found = top_curvature(scalar_pair(-1.0, 1 / steps, steps), point)
        assert found == pytest.approx(value, rel=1e-6)
        assert found < math.e**2 + (math.e - 1) ** 2


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (1.0, {1: 27, 2: 33, 5: 45, 10: 43, 15: 35, 20: 30}),
        (-1.0, {1: 17, 2: 13, 5: 4, 10: math.inf, 15: math.inf, 20: math.inf}),
    ],
)
def test_the_scalar_pair_converges_in_the_known_number_of_iterations(
    curve: float, expected: dict[int, float]
) -> None:
    for steps, iterations in expected.items():
        gradient = scalar_pair(curve, 0.1, steps)
        point = torch.tensor([1.0, 0.0], dtype=torch.float64)
        taken = math.inf
        for k in range(50):
            slope = gradient(point)
            squared = float(slope @ slope)
            if squared <= 1e-6:
                taken = k
            if squared <= 1e-6 or squared > 1e6:
                break
            point = point - 0.3 * slope
        assert taken == iterations
