"""Bernacchia 2021: the formulas and the best rates against reference values.

Reference values were computed by another implementation (Monte Carlo with up to 20 000 runs).
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.analysis.studies.bernacchia2021 import (
    expected_test_loss,
    optimal_rates,
    simulate_test_loss,
)
from metaprobe.analysis.studies.bernacchia2021.closed_form import (
    displacement,
    loss_from_displacement,
    parts,
)
from metaprobe.analysis.studies.bernacchia2021.evidence import (
    random_over,
    random_under,
)
from metaprobe.analysis.studies.bernacchia2021.moments import (
    contraction,
    expected_traces,
    wishart_moment,
)
from metaprobe.analysis.studies.bernacchia2021.published import FIGURE_2, FIGURE_3
from metaprobe.analysis.studies.bernacchia2021.rates import (
    best_test_rate,
    best_train_rate,
    displacement_at_zero,
    slope_at_zero,
    stationary_rates,
)
from metaprobe.analysis.studies.bernacchia2021.setting import FORMS, Form, RegimeError, Setting
from metaprobe.analysis.studies.bernacchia2021.simulation import simulate

# row  α_t  α_r  n_t n_v n_r m p  σ ν d0²  loss: leading, refined, simulated, its s.e.; best α_r
TABLE = """
A1      -1   0.2   30  2 20   3  60    1 0.5   0  0.683720 0.687089  0.687076 0.000011  0.0767
A2    -0.5   0.2   30  2 20   3  60    1 0.5   0  0.685494 0.689276  0.689253 0.000014  0.0776
A3       0   0.2   30  2 20   3  60    1 0.5   0  0.702875 0.708626  0.708655 0.000026  0.0852
A4     0.2   0.2   30  2 20   3  60    1 0.5   0  0.721819 0.730711  0.730763 0.000043  0.0931
A5     0.2   0.1   30  2 20   3  60    1 0.5   0  0.693490 0.703297  0.703317 0.000048  0.0931
A6     0.5   0.2   30  2 20   3  60    1 0.5   0  0.740138 0.751320  0.751495 0.000056  0.0998
A7       2   0.2   30  2 20   3  60    1 0.5   0  0.702319 0.710388  0.710408 0.000030  0.0858
A8    -0.4  0.15   40  1 30   4 200  0.5   1   0  0.590529 0.590708  0.590706 0.000002  0.1072
A9     0.3  0.15   40  1 30   4 200  0.5   1 0.5  0.806413 0.806630  0.806559 0.000049  0.1137
A10   -0.5  0.05   10  5 10   8 100    1   1 0.5  1.437093 1.651042  1.651776 0.000291  0.0659
A11    0.5  0.05   10  5 10   8 100    1   1   0  1.395952 1.677172  1.667165 0.000285  0.0661
A12     -2   0.3  100  3 50  10  80    1   1   0  1.050019 1.140975  1.140492 0.000166  0.2845
A13    0.5   0.3  100  3 50  10  80    1   1   0  1.325256 1.602178  1.603966 0.000608  0.3212
A14     -1   0.2   25  4 25  12  60    1   1   0  1.367606 3.250616  3.248796 0.004397  0.2654
A15      0   0.2   25  4 25  12  60    1   1   0  1.506880 4.001309  3.993444 0.005780  0.2705
A16   -0.4   0.2    5 25 10  40  30    1   1   0  1.022997 1.018189  1.018510 0.000078  0.1515
A17   -0.1   0.2    5 25 10  40  30    1   1   0  0.977175 0.977184  0.977210 0.000013  0.1461
A18      0   0.2    5 25 10  40  30    1   1   0  0.974852 0.975253  0.975257 0.000007  0.1458
A19    0.2   0.2    5 25 10  40  30    1   1   0  0.982214 0.982734  0.982736 0.000013  0.1468
A20    0.4   0.2    5 25 10  40  30    1   1   0  1.021946 1.012360  1.014200 0.000096  0.1510
A21    0.2  0.15    5 25 10  40  30  0.2 0.2   0  0.038863 0.038885  0.038885 0.000001  0.1468
A22  -0.25   0.2   20 10 15  20  15    1   1   0  0.925773 0.927349  0.927571 0.000017  0.3443
A23   0.25   0.2   20 10 15  20  15    1   1   0  0.954607 0.959020  0.959540 0.000028  0.3517
A24   -0.6   0.3   50  5 20  50  20  0.5   1   0  0.463272 0.464744  0.464908 0.000014  0.4401
A25    0.3   0.3   50  5 20  50  20  0.5   1   0  0.472039 0.474351  0.474591 0.000016  0.4413
A26      0   0.2   10 20 10 100  10    1 0.3   0  0.552967 0.552976  0.552977 0.000001  0.0802
"""
REFERENCE = {
    name: [float(value) for value in values]
    for name, *values in (line.split() for line in TABLE.strip().splitlines())
}

FIGURE_POINTS = {
    # figure 2a and 2b: rate → leading, refined
    "2a": {-0.1: (0.7784, 0.7929), 0.0: (0.7124, 0.7240), 0.1: (0.6935, 0.7033), 0.2: (0.7218, 0.7307),
           0.3: (0.7974, 0.8063), 0.5: (1.0900, 1.1018)},
    "2b": {-2.0: (0.68479, 0.68821), -1.0: (0.68372, 0.68709), -0.5: (0.68549, 0.68928),
           0.0: (0.70288, 0.70863), 0.2: (0.72182, 0.73071), 0.5: (0.74014, 0.75132),
           1.0: (0.72099, 0.73248), 2.0: (0.70232, 0.71039)},
    "3b": {-0.5: (1.03819, 1.03321), -0.3: (1.00593, 1.00229), -0.1: (0.97718, 0.97718),
           -0.03: (0.97451, 0.97489), 0.0: (0.97485, 0.97525), 0.1: (0.97859, 0.97913),
           0.2: (0.98221, 0.98273), 0.3: (0.99523, 0.99317), 0.5: (1.05214, 1.03579)},
}  # fmt: skip
FIGURE_3A = {
    -0.1: 1.2008,
    0.0: 1.0526,
    0.1: 0.9798,
    0.15: 0.9716,
    0.2: 0.9822,
    0.3: 1.0600,
    0.5: 1.4415,
}

OVER: dict[str, Any] = asdict(FIGURE_2)
UNDER: dict[str, Any] = asdict(FIGURE_3)


def changed(sizes: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return sizes | changes


def arguments(row: str) -> dict[str, Any]:
    alpha_t, alpha_r, n_t, n_v, n_r, m, p, sigma, nu, d0, *_ = REFERENCE[row]
    rates = {"alpha_train": alpha_t, "alpha_test": alpha_r}
    sizes = {"n_train": n_t, "n_val": n_v, "n_test": n_r, "tasks": m, "dim": p}
    scales = {"noise": sigma, "spread": nu, "init_distance": math.sqrt(d0)}
    return {**rates, **{name: int(size) for name, size in sizes.items()}, **scales}


def setting_of(row: str) -> Setting:
    given_ = arguments(row)
    return Setting(**{k: v for k, v in given_.items() if not k.startswith("alpha")})


def test_moments_of_a_sample_covariance_match_the_known_polynomials() -> None:
    for n, p in [(5, 7), (3, 2), (11, 4), (1, 6)]:
        w2 = n * p * (n + p + 1)
        w3 = n * p * (n**2 + p**2 + 3 * n * p + 3 * n + 3 * p + 4)
        w4 = n**3 + p**3 + 6 * n**2 * p + 6 * n * p**2 + 6 * n**2 + 6 * p**2
        w4 = n * p * (w4 + 17 * n * p + 21 * n + 21 * p + 20)
        assert wishart_moment((1,), n, p) == n * p
        assert wishart_moment((2,), n, p) == w2
        assert wishart_moment((3,), n, p) == w3
        assert wishart_moment((4,), n, p) == w4
        assert wishart_moment((1, 1), n, p) == n * p * (n * p + 2)
        assert wishart_moment((1, 2), n, p) == (n * p + 4) * w2
        extra = 4 * n * p * (2 * n**2 + 2 * p**2 + 5 * n * p + 5 * n + 5 * p + 5)
        assert wishart_moment((2, 2), n, p) == w2**2 + extra


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_moments_reduce_to_chi_square_and_ignore_which_side_is_which(
    powers: list[int], n: int, p: int
) -> None:
    total = sum(powers)
    chi = math.prod(range(n, n + 2 * total, 2))
    assert wishart_moment(tuple(powers), n, 1) == chi
    assert wishart_moment(tuple(powers), 1, n) == chi
    assert wishart_moment(tuple(powers), n, p) == wishart_moment(tuple(powers), p, n)


def test_expected_traces_agree_with_sampled_matrices() -> None:
    rng = np.random.default_rng(0)
    n, p, alpha = 6, 4, -0.7
    x = rng.standard_normal((60000, n, p))
    s = x.swapaxes(1, 2) @ x / n
    a = np.eye(p) - alpha * s
    a2 = a @ a
    tr = {
        ((4, 0),): np.trace(a2 @ a2, axis1=1, axis2=2),
        ((2, 1),): np.trace(a2 @ s, axis1=1, axis2=2),
        ((2, 0), (0, 1)): np.trace(a2, axis1=1, axis2=2) * np.trace(s, axis1=1, axis2=2),
    }
    for factors, values in tr.items():
        exact = float(expected_traces(factors, np.array(alpha), n=n, p=p))
        assert abs(values.mean() - exact) <= 4 * values.std() / math.sqrt(len(values))
    assert contraction(np.array(alpha), n=n, p=p) == pytest.approx(
        float(expected_traces(((2, 0),), np.array(alpha), n=n, p=p)) / p
    )


@pytest.mark.parametrize("row", REFERENCE)
def test_closed_forms_meet_the_reference_table(row: str) -> None:
    leading, refined = REFERENCE[row][10:12]
    assert expected_test_loss(**arguments(row)) == pytest.approx(leading, abs=1e-6)
    measured = expected_test_loss(**arguments(row), form="refined")
    # The reference's F9 is itself a Monte Carlo over spectra (1e-3 relative); F6 is not.
    under = setting_of(row).regime == "under"
    assert measured == pytest.approx(refined, abs=1e-6 if not under else 1e-4)


@pytest.mark.parametrize("row", REFERENCE)
def test_simulation_meets_the_reference_table(row: str) -> None:
    given_ = arguments(row)
    size = given_["tasks"] * (given_["n_train"] + given_["n_val"]) * given_["dim"]
    mean, error = simulate_test_loss(**given_, runs=max(40, 600000 // size), seed=11)
    assert abs(mean - REFERENCE[row][12]) <= 4 * math.hypot(error, REFERENCE[row][13])


@pytest.mark.parametrize("row", REFERENCE)
def test_best_test_rate_meets_the_reference_table(row: str) -> None:
    setting = setting_of(row)
    simulated, alpha_r = REFERENCE[row][12], np.array(arguments(row)["alpha_test"])
    nothing = float(loss_from_displacement(setting, alpha_r, np.array(0.0)))
    moved = (simulated - nothing) / (0.5 * contraction(alpha_r, n=setting.n_test, p=setting.dim))
    assert float(best_test_rate(setting, moved)) == pytest.approx(REFERENCE[row][14], abs=2e-4)


def test_figures_two_and_three_come_out_at_the_published_parameters() -> None:
    for rate, values in FIGURE_POINTS["2a"].items():
        for form, value in zip(FORMS, values, strict=True):
            loss = expected_test_loss(alpha_train=0.2, alpha_test=rate, **OVER, form=form)
            assert loss == pytest.approx(value, abs=6e-5)
    for name, sizes in (("2b", OVER), ("3b", UNDER)):
        for rate, values in FIGURE_POINTS[name].items():
            for form, value in zip(FORMS, values, strict=True):
                loss = expected_test_loss(alpha_train=rate, alpha_test=0.2, **sizes, form=form)
                tolerance = 1.2e-4 if (name, form) == ("3b", "refined") else 1e-5
                assert loss == pytest.approx(value, abs=tolerance)
    for rate, value in FIGURE_3A.items():
        assert expected_test_loss(alpha_train=0.2, alpha_test=rate, **UNDER) == pytest.approx(
            value, abs=6e-5
        )


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


def test_best_rates_of_the_figures_meet_the_reference() -> None:
    assert optimal_rates(**OVER)[0] == pytest.approx(-1.0112, abs=1e-4)
    assert optimal_rates(**OVER, form="refined")[0] == pytest.approx(-1.0509, abs=1e-4)
    assert optimal_rates(**UNDER)[0] == pytest.approx(-0.028, abs=5e-4)
    fixed = np.array(0.2)
    cases: list[tuple[Setting, Form, float]] = [
        (FIGURE_2, "leading", 0.0900),
        (FIGURE_2, "refined", 0.0931),
        (FIGURE_3, "leading", 0.1468),
    ]
    for s, form, value in cases:
        moved = displacement(s, fixed, form=form)
        assert float(best_test_rate(s, moved)) == pytest.approx(value, abs=6e-5)


@pytest.mark.parametrize("form", ["leading", "refined"])
def test_no_rate_nearby_is_better_than_the_best_rates(form: Any) -> None:
    rng = np.random.default_rng(6)
    broken = 0
    for place in range(24):
        s = random_over(rng) if place % 2 else random_under(rng, contrast=3.0)
        try:
            train, test = optimal_rates(**asdict(s), form=form)
        except RegimeError:
            broken += 1
            continue
        assert train < 0 < test
        best = expected_test_loss(alpha_train=train, alpha_test=test, **asdict(s), form=form)
        for scale in (0.9, 0.99, 1.01, 1.1):
            moved = expected_test_loss(
                alpha_train=scale * train, alpha_test=test, **asdict(s), form=form
            )
            stepped = expected_test_loss(
                alpha_train=train, alpha_test=scale * test, **asdict(s), form=form
            )
            assert min(moved, stepped) >= best * (1 - 1e-12)
    assert broken == 0 if form == "leading" else broken <= 3


def test_the_leading_form_is_worst_at_its_positive_root_and_the_roots_obey_vieta() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        s = random_over(rng)
        best, worst = stationary_rates(s)
        assert best < 0 < worst
        assert best * worst == pytest.approx(-s.n_train / s.dim)
        assert best + worst == pytest.approx(-(s.n_train + 1) / s.dim)
        grid = worst * np.tan(np.linspace(-1.55, 1.55, 401))
        noise = parts(s, grid, form="leading").noise
        at = parts(s, np.array([best, worst]), form="leading").noise
        assert noise.min() >= at[0] * (1 - 1e-12)
        assert noise.max() <= at[1] * (1 + 1e-12)


def test_the_leading_form_is_lowest_at_a_negative_rate_with_more_rows_too() -> None:
    rng = np.random.default_rng(8)
    sizes = np.logspace(-6, 2, 241)
    rates = np.concatenate([-sizes[::-1], [0.0], sizes])
    for _ in range(200):
        s = random_under(rng)
        moved = displacement(s, rates, form="leading")
        lowest = rates[np.argmin(moved)]
        assert lowest < 0
        assert best_train_rate(s, form="leading") == pytest.approx(lowest, rel=0.1)


def test_the_best_train_rate_ignores_everything_but_sizes_where_weights_abound() -> None:
    other = changed(OVER, {"noise": 0.1, "spread": 3.0, "init_distance": 2.0, "n_test": 7})
    for form in FORMS:
        one = optimal_rates(**OVER, form=form)[0]
        assert optimal_rates(**other, form=form)[0] == pytest.approx(one, abs=1e-4)


def test_without_noise_nothing_is_gained_by_an_inner_step_when_rows_abound() -> None:
    train, test = optimal_rates(**changed(UNDER, {"noise": 0.0}))
    assert train == 0.0
    assert test == pytest.approx(10 / 41)


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


def test_a_rate_that_does_not_matter_has_no_best_value() -> None:
    with pytest.raises(RegimeError, match="same at every alpha_train"):
        optimal_rates(**changed(OVER, {"noise": 0.0}))
    with pytest.raises(RegimeError, match="every alpha_test"):
        optimal_rates(**changed(UNDER, {"noise": 0.0, "spread": 0.0}))
    with pytest.raises(RegimeError, match="at least 2"):
        simulate_test_loss(alpha_train=0.1, alpha_test=0.1, **OVER, runs=1, seed=0)


def test_one_task_with_a_positive_rate_really_has_no_mean() -> None:
    one = Setting(20, 38, 10, 1, 3, 1.0, 1.0)
    largest = simulate(one, np.array([-0.5, 0.8]), runs=4000, seed=0).parts.noise.max(axis=0)
    assert largest[0] < 1.0
    assert largest[1] > 1e4


def test_a_refined_minimum_far_from_the_leading_one_is_refused_not_returned() -> None:
    few: dict[str, Any] = {"n_train": 5, "n_val": 52, "n_test": 10, "tasks": 2, "dim": 7}
    few |= {"noise": 1.0, "spread": 0.62}
    assert optimal_rates(**few)[0] < 0
    with pytest.raises(RegimeError, match="broken down") as refused:
        optimal_rates(**few, form="refined")
    assert refused.value.code == "expansion"
