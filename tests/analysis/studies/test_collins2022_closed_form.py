"""Collins 2022: what the closed forms must do at any parameters, and where they warn."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metaprobe.analysis.studies import collins2022
from metaprobe.analysis.studies.collins2022 import closed_form
from metaprobe.analysis.studies.collins2022.closed_form import (
    gain,
    gain_identity,
    ratio,
    ratio_bound,
    samples_needed,
    starts,
    with_samples,
)
from metaprobe.analysis.studies.collins2022.examples import BASE, random_landscape
from metaprobe.analysis.studies.collins2022.setting import Landscape, LandscapeError
from metaprobe.analysis.studies.collins2022.simulation import simulate_risks

INF = math.inf
CLEAN = replace(BASE, noise=0.0)
quickly = settings(max_examples=60, deadline=None)
landscapes = st.integers(0, 2**31 - 1).map(lambda s: random_landscape(np.random.default_rng(s)))


def _contract_arguments(land: Landscape) -> dict[str, float]:
    return asdict(land)


@quickly
@given(landscapes)
def test_trained_and_tested_alike_maml_is_never_worse_and_gains_the_identity(
    land: Landscape,
) -> None:
    nal, maml = closed_form.risks(land)
    assert nal - maml >= -1e-12 * nal
    assert nal - maml == pytest.approx(gain_identity(land), abs=1e-10 * nal)
    assert 1 - 1e-12 <= ratio(land) <= ratio_bound(land) * (1 + 1e-9)


@quickly
@given(landscapes, st.floats(0.1, 10))
def test_units_do_not_matter(land: Landscape, scale: float) -> None:
    """Longer weights scale the risk by the square; larger inputs by what the step size undoes."""
    longer = replace(
        land,
        distance=scale * land.distance,
        r_easy=scale * land.r_easy,
        r_hard=scale * land.r_hard,
        noise=scale * land.noise,
    )
    expected = tuple(scale**2 * r for r in closed_form.risks(land))
    assert closed_form.risks(longer) == pytest.approx(expected, rel=1e-9)
    inputs = replace(
        land,
        alpha=land.alpha / scale,
        rho_easy=scale * land.rho_easy,
        rho_hard=scale * land.rho_hard,
    )
    assert starts(inputs) == pytest.approx(starts(land), rel=1e-9)


@quickly
@given(landscapes)
def test_naming_the_types_the_other_way_round_changes_nothing(land: Landscape) -> None:
    swapped = replace(
        land,
        rho_easy=land.rho_hard,
        rho_hard=land.rho_easy,
        p_hard=1 - land.p_hard,
        r_easy=land.r_hard,
        r_hard=land.r_easy,
    )
    assert closed_form.risks(swapped) == pytest.approx(closed_form.risks(land), rel=1e-9)
    a, b = starts(land)
    assert starts(swapped) == pytest.approx((1 - a, 1 - b), abs=1e-9)


@quickly
@given(landscapes)
def test_equal_hardness_gives_no_gain_even_where_variances_differ(land: Landscape) -> None:
    same = replace(land, rho_hard=land.rho_easy)
    mirrored = replace(with_samples(land, INF), alpha=1.0, rho_easy=0.3, rho_hard=1.7)
    for each in (same, mirrored):
        assert abs(gain(each)) <= 1e-12 * closed_form.risks(each)[0]


@quickly
@given(landscapes)
def test_the_needed_samples_put_maml_in_the_middle(land: Landscape) -> None:
    low, high = sorted((land.rho_easy, land.rho_hard))
    assume(high - low > 1e-3)
    land = replace(land, rho_easy=high, rho_hard=low, alpha=1 / high)
    needed = samples_needed(land)
    assume(needed >= 1)
    assert starts(with_samples(land, needed))[1] == pytest.approx(0.5, abs=1e-9)


def test_where_adaptation_solves_everything_the_start_is_the_limit_and_there_is_no_gain() -> None:
    solved = replace(with_samples(CLEAN, INF), rho_easy=1.0, rho_hard=1.0, p_hard=0.3)
    assert starts(solved) == (0.3, 0.3)
    near = replace(solved, alpha=1 - 1e-6)
    assert starts(near)[1] == pytest.approx(0.3)
    assert ratio(solved) == 1.0
    free = replace(with_samples(CLEAN, INF), rho_easy=1.0, r_hard=0.0)
    assert ratio(free) == INF


@pytest.mark.parametrize(
    "change",
    [
        {"rho_easy": 0.0},
        {"rho_hard": -1.0},
        {"p_hard": 1.5},
        {"distance": -1.0},
        {"noise": math.nan},
        {"n_train": 0.0},
        {"dim": 0},
        {"alpha": INF},
        {"steps": 0},
        {"steps": 2},
    ],
)
def test_a_landscape_outside_its_range_is_refused_by_name(change: dict[str, float]) -> None:
    with pytest.raises(LandscapeError, match=next(iter(change))) as refusal:
        collins2022.gain_ratio(**(_contract_arguments(BASE) | change))  # type: ignore[arg-type]
    assert refusal.value.code == "landscape"


def test_warning_the_ratio_peaks_at_an_intermediate_gap() -> None:
    for n in (200, INF):
        line = [ratio(replace(with_samples(CLEAN, n), rho_hard=v)) for v in (0.9, 0.3, 0.1, 0.01)]
        assert 0 < int(np.argmax(line)) < 3


def test_warning_maml_trained_for_few_samples_can_lose_when_given_many() -> None:
    land = replace(BASE, n_train=5, n_test=400)
    assert gain(land) < 0
    assert simulate_risks(land, tasks=1_000, seed=0).gain.interval[1] < 0


def test_warning_hardness_is_the_contraction_and_not_the_variance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        land = with_samples(random_landscape(rng), INF)
        a, b = starts(land)
        easy, hard = land.hardness
        assert (b - a) * (hard - easy) >= 0 or abs(b - a) < 1e-12
