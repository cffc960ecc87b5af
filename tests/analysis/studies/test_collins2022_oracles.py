"""Collins 2022: the closed forms against reference values of an independent derivation."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from metaprobe.analysis.studies import collins2022
from metaprobe.analysis.studies.collins2022.closed_form import (
    gain,
    perfect_adaptation_ratio,
    ratio,
    ratio_bound,
    small_step_gain,
    starts,
    with_samples,
)
from metaprobe.analysis.studies.collins2022.examples import BASE

INF = math.inf
# d, α, ρ_E, ρ_H, p_H, R, r_E, r_H, σ, n_tr, n_te; a, b, E(NAL), E(MAML), G, Δ
# fmt: off
ORACLE = [
    (10, 1, 0.9, 0.1, 0.5, 2, 0.5, 0.5, 0.1, 200, 200, 0.10000, 0.62278, 0.074382, 0.038812, 1.91646, 0.035570),
    (10, 1, 0.9, 0.1, 0.5, 2, 0.5, 0.5, 0.1, 20, 20, 0.10000, 0.16592, 0.101899, 0.099763, 1.02141, 0.002136),
    (10, 1, 0.9, 0.9, 0.5, 2, 0.5, 0.5, 0.1, 200, 200, 0.50000, 0.50000, 0.030887, 0.030887, 1.00000, 0.000000),
    (10, 1, 0.9, 0.1, 0.5, 0, 0.5, 0.5, 0.1, 200, 200, 0.10000, 0.62278, 0.008237, 0.008237, 1.00000, 0.000000),
    (10, 1, 0.9, 0.1, 0.5, 2, 0.5, 4, 0.1, 200, 200, 0.10000, 0.62278, 0.393536, 0.357966, 1.09937, 0.035570),
    (10, 1, 1, 0.05, 0.5, 2, 0.5, 0.2, 0.1, 1000, 1000, 0.04762, 0.80401, 0.042120, 0.010008, 4.20861, 0.032112),
    (10, 1, 0.9, 0.1, 0.1, 2, 0.5, 0.3, 0, 200, 200, 0.01220, 0.15501, 0.021719, 0.019586, 1.10890, 0.002133),
    (10, 0.5, 1, 0.2, 0.5, 1, 0.3, 0.3, 0.5, 50, 50, 0.16667, 0.34751, 0.044087, 0.040265, 1.09492, 0.003822),
    (10, 1, 0.9, 0.1, 0.5, 2, 0.5, 0.5, 0.1, 50, 400, 0.10000, 0.32410, 0.072854, 0.046999, 1.55013, 0.025855),
    (10, -0.5, 0.9, 0.1, 0.5, 2, 0.5, 0.5, 0.1, 100, 100, 0.10000, 0.05452, 0.234910, 0.230727, 1.01813, 0.004183),
]
# fmt: on
CLEAN = replace(BASE, noise=0.0)


@pytest.mark.parametrize("row", ORACLE)
def test_the_closed_form_matches_the_reference_table(row: tuple[float, ...]) -> None:
    d, alpha, easy, hard, share, distance, r_easy, r_hard, noise, n_train, n_test = row[:11]
    a, b, nal, maml, quotient, difference = row[11:]
    land: dict[str, Any] = {
        "dim": int(d),
        "alpha": alpha,
        "rho_easy": easy,
        "rho_hard": hard,
        "p_hard": share,
    }
    found = collins2022.positions(**land, n=n_train)
    assert found == pytest.approx((a, b), abs=1e-5)
    tasks: dict[str, Any] = {
        "distance": distance,
        "r_easy": r_easy,
        "r_hard": r_hard,
        "noise": noise,
    }
    samples: dict[str, Any] = {"n_train": n_train, "n_test": n_test}
    risks = collins2022.excess_risks(**land, **tasks, **samples)
    assert risks == pytest.approx((nal, maml), abs=1e-6)
    assert risks[0] - risks[1] == pytest.approx(difference, abs=1e-6)
    found_ratio = collins2022.gain_ratio(**land, **tasks, **samples)
    assert found_ratio == pytest.approx(quotient, abs=1e-5)


def test_the_panels_match_the_reference_values() -> None:
    scatter = [ratio(replace(CLEAN, r_hard=r)) for r in (0, 0.1, 0.25, 0.5, 1, 2, 4)]
    expected = [2.05725, 2.05092, 2.01890, 1.91889, 1.65983, 1.31012, 1.09940]
    assert scatter == pytest.approx(expected, abs=1e-5)
    distance = [ratio(replace(CLEAN, distance=r)) for r in (0, 0.5, 1, 2, 4)]
    assert distance == pytest.approx([1, 1.22131, 1.56359, 1.91889, 2.09080], abs=1e-5)
    assert ratio_bound(CLEAN) == pytest.approx(2.16335, abs=1e-5)
    variances = (0.9, 0.6, 0.3, 0.1, 0.03, 0.01)
    exact = [ratio(replace(with_samples(CLEAN, INF), rho_hard=v)) for v in variances]
    assert exact == pytest.approx([1, 2.878, 5.101, 5.197, 3.144, 1.835], abs=6e-4)
    sampled = [ratio(replace(CLEAN, rho_hard=v)) for v in variances]
    assert sampled == pytest.approx([1, 1.297, 2.009, 1.919, 1.376, 1.120], abs=6e-4)


def test_samples_steps_and_step_size_match_the_reference_values() -> None:
    land = replace(CLEAN, rho_easy=1.0, rho_hard=0.05, r_hard=0.4)
    grown = [with_samples(land, n) for n in (100, 1_000, 10_000, INF)]
    expected = [1.22579, 3.83255, 14.52245, 23.67574]
    assert [ratio(g) for g in grown] == pytest.approx(expected, abs=1e-5)
    assert [starts(g)[1] for g in grown] == pytest.approx([0.29096, 0.80401, 0.97620, 1], abs=1e-5)
    assert perfect_adaptation_ratio(land) == pytest.approx(23.67574, abs=1e-5)
    assert starts(with_samples(land, 244))[1] == pytest.approx(0.50027, abs=1e-5)

    slow = replace(with_samples(CLEAN, INF), rho_easy=1.0, alpha=0.5)
    many = [replace(slow, steps=k) for k in (1, 2, 5, 10)]
    assert [starts(m)[1] for m in many] == pytest.approx(
        [0.26525, 0.56582, 0.98395, 0.99997], abs=1e-5
    )
    assert [ratio(m) for m in many] == pytest.approx(
        [1.11808, 1.73188, 11.18666, 14.21674], abs=1e-5
    )

    small = [gain(replace(slow, alpha=a)) / a**2 for a in (0.2, 0.1, 0.05, 0.025)]
    assert small == pytest.approx([0.02882, 0.02633, 0.02529, 0.02480], abs=1e-5)
    assert small_step_gain(slow) == pytest.approx(0.0243, abs=1e-4)
    quotients = [4 * big / less for big, less in pairwise(small[1:])]
    assert all(4.0 <= q <= 4.4 for q in quotients)


def test_with_overshooting_maml_moves_to_the_tasks_of_larger_variance() -> None:
    over = replace(with_samples(CLEAN, INF), rho_easy=1.9, rho_hard=0.5)
    assert starts(over) == pytest.approx((0.20833, 0.07512), abs=1e-5)
    assert over.hardness[0] > over.hardness[1]
