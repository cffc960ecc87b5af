"""Bernacchia 2021: what the formulas must do at any parameters."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from metaprobe.analysis.studies.bernacchia2021 import (
    expected_test_loss,
    optimal_rates,
    simulate_test_loss,
)
from metaprobe.analysis.studies.bernacchia2021.closed_form import (
    displacement,
)
from metaprobe.analysis.studies.bernacchia2021.evidence import (
    random_over,
)
from metaprobe.analysis.studies.bernacchia2021.published import FIGURE_2, FIGURE_3
from metaprobe.analysis.studies.bernacchia2021.rates import (
    displacement_at_zero,
    slope_at_zero,
)
from metaprobe.analysis.studies.bernacchia2021.setting import FORMS, RegimeError, Setting
from metaprobe.analysis.studies.bernacchia2021.simulation import simulate

OVER: dict[str, Any] = asdict(FIGURE_2)
UNDER: dict[str, Any] = asdict(FIGURE_3)


def changed(sizes: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return sizes | changes


def test_the_second_order_form_agrees_with_one_averaged_over_sampled_spectra() -> None:
    s, alpha = Setting(12, 6, 10, 15, 8, 1.3, 0.7), -0.5
    rng = np.random.default_rng(1)
    draws, n, p = 40000, s.n_val, s.dim
    x = rng.standard_normal((draws, s.n_train, p))
    lam = np.linalg.eigvalsh(x.swapaxes(1, 2) @ x / s.n_train)
    m = (1 - alpha * lam) ** 2
    t1, t2, t3 = ((m**k).sum(axis=1) for k in (1, 2, 3))
    ms, m2s, t = (m * lam).sum(axis=1), (m**2 * lam).sum(axis=1), lam.sum(axis=1)
    h = n * t1.mean() / p
    hh = n * ((n + 1) * t2 + t1**2).mean()
    h3 = (n**3 * t3 + 3 * n**2 * (t1 * t2 + t3) + n * (t1**3 + 3 * t1 * t2 + 4 * t3)).mean()
    vsv = n**3 * m2s + n**2 * (2 * t1 * ms + t * t2 + 3 * m2s)
    vsv = (vsv + n * (t1**2 * t + 2 * t1 * ms + t * t2 + 4 * m2s)).mean()
    inner = alpha**2 / s.n_train
    trc = s.spread**2 / p * hh + s.noise**2 * (
        n * t1.mean() + inner * n * ((n + 1) * ms + t1 * t).mean()
    )
    hc = s.spread**2 / p * h3 + s.noise**2 * (hh + inner * vsv)
    bracket = -2 * (hc / h - trc) + 3 * trc / p * (hh / h**2 - p)
    expected = trc / (s.tasks * h**2) + bracket / (s.tasks**2 * h**2)
    assert float(displacement(s, np.array(alpha), form="refined")) == pytest.approx(
        expected, rel=5e-3
    )


def test_at_rate_zero_the_refined_form_is_exact_and_has_the_exact_slope_where_weights_abound() -> (
    None
):
    rng = np.random.default_rng(2)
    for _ in range(20):
        s = replace(random_over(rng), init_distance=float(rng.uniform(0, 2)))
        low, mid, high = displacement(s, np.array([-1e-5, 0.0, 1e-5]), form="refined")
        assert mid == pytest.approx(displacement_at_zero(s), rel=1e-12)
        assert (high - low) / 2e-5 == pytest.approx(slope_at_zero(s), rel=1e-5)


def test_losses_scale_with_the_square_of_all_scales_and_rates_do_not() -> None:
    for sizes in (OVER, UNDER):
        scaled = changed(sizes, {name: 0.2 * sizes[name] for name in ("noise", "spread")})
        for form in FORMS:
            whole = expected_test_loss(alpha_train=-0.3, alpha_test=0.1, **sizes, form=form)
            small = expected_test_loss(alpha_train=-0.3, alpha_test=0.1, **scaled, form=form)
            assert small == pytest.approx(0.04 * whole, rel=1e-12)
            assert optimal_rates(**scaled, form=form) == pytest.approx(
                optimal_rates(**sizes, form=form),
                rel=1e-4,
            )


def test_the_caption_of_figure_three_cannot_give_its_axis() -> None:
    captioned = changed(UNDER, {"noise": 0.2, "spread": 0.2})
    loss = expected_test_loss(alpha_train=0.0, alpha_test=0.2, **captioned)
    assert loss == pytest.approx(0.0390, abs=1e-4)
    assert not 0.97 <= loss <= 1.06
    assert 0.97 <= expected_test_loss(alpha_train=0.0, alpha_test=0.2, **UNDER) <= 1.06


def test_the_start_matters_only_where_weights_abound() -> None:
    rates: dict[str, Any] = {"alpha_train": -0.3, "alpha_test": 0.1}
    near, far = (
        expected_test_loss(**rates, **changed(OVER, {"init_distance": d})) for d in (0.0, 1.0)
    )
    shrink = (1 - 0.1) ** 2 + 0.1**2 * 61 / 20
    assert far - near == pytest.approx(0.5 * shrink * (1 - 6 / 60), rel=1e-12)
    near, far = (
        expected_test_loss(**rates, **changed(UNDER, {"init_distance": d})) for d in (0.0, 1.0)
    )
    assert far == near


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dim": 6}, "interpolation-threshold"),
        ({"dim": 7}, "interpolation-threshold"),
        ({"dim": 5}, "interpolation-threshold"),
        ({"n_train": 0}, "count"),
        ({"tasks": 2.5}, "count"),
        ({"noise": -1.0}, "scale"),
        ({"spread": math.nan}, "scale"),
        ({"alpha_test": math.inf}, "rate"),
        ({"form": "exact"}, "form"),
        ({"n_val": 40, "tasks": 1, "dim": 5}, "cancelled-direction"),
    ],
)
def test_what_has_no_answer_is_refused_in_a_sentence(changes: dict[str, Any], code: str) -> None:
    given_: dict[str, Any] = {"alpha_train": 0.2, "alpha_test": 0.2, **OVER, **changes}
    with pytest.raises(RegimeError) as refused:
        expected_test_loss(**given_)
    assert refused.value.code == code
    assert len(str(refused.value)) > 30
    if code != "form":
        with pytest.raises(RegimeError):
            simulate_test_loss(**{k: v for k, v in given_.items() if k != "form"}, runs=3, seed=0)


def test_one_task_with_a_positive_rate_really_has_no_mean() -> None:
    one = Setting(20, 38, 10, 1, 3, 1.0, 1.0)
    largest = simulate(one, np.array([-0.5, 0.8]), runs=4000, seed=0).parts.noise.max(axis=0)
    assert largest[0] < 1.0
    assert largest[1] > 1e4
