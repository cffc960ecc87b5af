"""When training for adaptation pays: the ledger, and the closed forms behind it.

Reference numbers come from an independent derivation; what is compared to them holds at any
parameters, so every table is followed by properties that draw their own. Raw samples, the network
and the other paper are in ``test_collins2022_experiments``, real tasks in
``test_collins2022_features``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metaprobe.analysis.studies import collins2022
from metaprobe.analysis.studies.collins2022 import beyond, claims, closed_form, figures, rules
from metaprobe.analysis.studies.collins2022.closed_form import (
    gain,
    gain_identity,
    perfect_adaptation_ratio,
    ratio,
    ratio_bound,
    samples_needed,
    small_step_gain,
    starts,
    with_samples,
)
from metaprobe.analysis.studies.collins2022.examples import BASE, random_landscape
from metaprobe.analysis.studies.collins2022.joint import BestRate
from metaprobe.analysis.studies.collins2022.setting import Landscape, LandscapeError
from metaprobe.analysis.studies.collins2022.simulation import Estimate, simulate_risks
from metaprobe.analysis.studies.collins2022.two_layer import Outcome
from metaprobe.analysis.studies.study import Settings, Study

INF = math.inf

# d, α, ρ_E, ρ_H, p_H, R, r_E, r_H, σ, n_tr, n_te; a, b, E(NAL), E(MAML), G, Δ
ORACLE = [
    (
        10,
        1,
        0.9,
        0.1,
        0.5,
        2,
        0.5,
        0.5,
        0.1,
        200,
        200,
        0.10000,
        0.62278,
        0.074382,
        0.038812,
        1.91646,
        0.035570,
    ),
    (
        10,
        1,
        0.9,
        0.1,
        0.5,
        2,
        0.5,
        0.5,
        0.1,
        20,
        20,
        0.10000,
        0.16592,
        0.101899,
        0.099763,
        1.02141,
        0.002136,
    ),
    (
        10,
        1,
        0.9,
        0.9,
        0.5,
        2,
        0.5,
        0.5,
        0.1,
        200,
        200,
        0.50000,
        0.50000,
        0.030887,
        0.030887,
        1.00000,
        0.000000,
    ),
    (
        10,
        1,
        0.9,
        0.1,
        0.5,
        0,
        0.5,
        0.5,
        0.1,
        200,
        200,
        0.10000,
        0.62278,
        0.008237,
        0.008237,
        1.00000,
        0.000000,
    ),
    (
        10,
        1,
        0.9,
        0.1,
        0.5,
        2,
        0.5,
        4,
        0.1,
        200,
        200,
        0.10000,
        0.62278,
        0.393536,
        0.357966,
        1.09937,
        0.035570,
    ),
    (
        10,
        1,
        1,
        0.05,
        0.5,
        2,
        0.5,
        0.2,
        0.1,
        1000,
        1000,
        0.04762,
        0.80401,
        0.042120,
        0.010008,
        4.20861,
        0.032112,
    ),
    (
        10,
        1,
        0.9,
        0.1,
        0.1,
        2,
        0.5,
        0.3,
        0,
        200,
        200,
        0.01220,
        0.15501,
        0.021719,
        0.019586,
        1.10890,
        0.002133,
    ),
    (
        10,
        0.5,
        1,
        0.2,
        0.5,
        1,
        0.3,
        0.3,
        0.5,
        50,
        50,
        0.16667,
        0.34751,
        0.044087,
        0.040265,
        1.09492,
        0.003822,
    ),
    (
        10,
        1,
        0.9,
        0.1,
        0.5,
        2,
        0.5,
        0.5,
        0.1,
        50,
        400,
        0.10000,
        0.32410,
        0.072854,
        0.046999,
        1.55013,
        0.025855,
    ),
    (
        10,
        -0.5,
        0.9,
        0.1,
        0.5,
        2,
        0.5,
        0.5,
        0.1,
        100,
        100,
        0.10000,
        0.05452,
        0.234910,
        0.230727,
        1.01813,
        0.004183,
    ),
]

CLEAN = replace(BASE, noise=0.0)

quickly = settings(max_examples=60, deadline=None)
landscapes = st.integers(0, 2**31 - 1).map(lambda s: random_landscape(np.random.default_rng(s)))


def _contract_arguments(land: Landscape) -> dict[str, float]:
    return asdict(land)


@pytest.mark.parametrize("row", ORACLE)
def test_the_closed_form_matches_the_reference_table(row: tuple[float, ...]) -> None:
    d, alpha, easy, hard, share, distance, r_easy, r_hard, noise, n_train, n_test = row[:11]
    a, b, nal, maml, quotient, difference = row[11:]
    found = collins2022.positions(
        dim=int(d), alpha=alpha, rho_easy=easy, rho_hard=hard, p_hard=share, n=n_train
    )
    assert found == pytest.approx((a, b), abs=1e-5)
    risks = collins2022.excess_risks(
        dim=int(d),
        alpha=alpha,
        rho_easy=easy,
        rho_hard=hard,
        p_hard=share,
        distance=distance,
        r_easy=r_easy,
        r_hard=r_hard,
        noise=noise,
        n_train=n_train,
        n_test=n_test,
    )
    assert risks == pytest.approx((nal, maml), abs=1e-6)
    assert risks[0] - risks[1] == pytest.approx(difference, abs=1e-6)
    assert collins2022.gain_ratio(
        dim=int(d),
        alpha=alpha,
        rho_easy=easy,
        rho_hard=hard,
        p_hard=share,
        distance=distance,
        r_easy=r_easy,
        r_hard=r_hard,
        noise=noise,
        n_train=n_train,
        n_test=n_test,
    ) == pytest.approx(quotient, abs=1e-5)


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


def test_verdicts_follow_the_interval_and_the_weakest_part() -> None:
    assert rules.inside((1.0, 2.0), low=0.5) == "SUPPORTED"
    assert rules.inside((1.0, 2.0), low=1.5) == "NOT SHOWN"
    assert rules.inside((1.0, 2.0), low=2.5) == "REFUTED"
    assert rules.inside((1.0, 2.0), high=0.5) == "REFUTED"
    assert rules.every("SUPPORTED", "NOT SHOWN") == "NOT SHOWN"
    assert rules.every("SUPPORTED", "NOT SHOWN", "REFUTED") == "REFUTED"
    assert (rules.exact(True), rules.exact(False)) == ("SUPPORTED", "REFUTED")


@pytest.fixture(scope="module")
def study() -> Study:
    return collins2022.run(Settings(quick=True))


def test_no_claim_is_skipped_and_each_says_where_it_comes_from(study: Study) -> None:
    ids = [claim.id for claim in study.claims]
    assert ids[:11] == [f"C-B{i}" for i in range(1, 12)]
    assert ids[11:] == [f"W-B{i}" for i in range(1, 5)]
    for claim in study.claims:
        assert claim.rule
        assert claim.measured
        assert (claim.published is None) == (claim.published_status == "derived")
        if claim.interval is not None:
            assert claim.estimate is not None
            assert claim.interval[0] <= claim.estimate <= claim.interval[1]


def test_the_quick_study_supports_every_claim(study: Study) -> None:
    assert {claim.id: claim.verdict for claim in study.claims} == {
        claim.id: "SUPPORTED" for claim in study.claims
    }
    assert study.answer.startswith(f"{len(study.claims)} of {len(study.claims)}")


def test_the_network_shows_the_reference_pattern(study: Study) -> None:
    table = study.tables["two-layer network"].set_index("scenario")
    ratios, moved = table["ratio"].to_dict(), (table["MAML at"] - table["NAL at"]).to_dict()
    assert ratios["hard tasks far and packed"] > 2.3
    assert ratios["no hardness gap"] < 1.1
    assert ratios["same centre"] < 1.1
    assert moved["hard tasks far and packed"] > 0.1


def test_simulations_in_the_table_agree_with_the_closed_forms(study: Study) -> None:
    table = study.tables["closed form against simulation"]
    assert len(table) == 10
    assert table[["z NAL", "z MAML"]].abs().to_numpy().max() <= 4


def test_every_figure_has_a_caption_and_none_stays_open(study: Study) -> None:
    import matplotlib.pyplot as plt

    assert set(study.figures) == set(study.captions)
    assert plt.get_fignums() == []
    for name, figure in study.figures.items():
        assert len(study.captions[name]) > 60
        figure.draw_without_rendering()


def _outcomes(better: float, hard: float) -> list[Outcome]:
    """Planted outcomes: MAML's risk divided by ``better``, moved by ``hard`` toward hard tasks."""
    rng = np.random.default_rng(0)
    found = []
    for i, scenario in enumerate(beyond.NETWORK):
        risk = rng.uniform(1, 1.05, 9)
        divide = better if i == 0 else 1.0 if i < 3 else 1 + 0.1 * (better - 1)
        found.append(
            Outcome(scenario, risk, risk, risk / divide, risk / divide, 0 * risk, hard * risk)
        )
    return found


def test_the_claim_about_networks_fails_where_it_should() -> None:
    assert beyond.network_claim(_outcomes(4.0, 0.3)).verdict == "SUPPORTED"
    assert beyond.network_claim(_outcomes(1.5, 0.3)).verdict == "REFUTED"
    assert beyond.network_claim(_outcomes(4.0, 0.01)).verdict == "REFUTED"


def test_the_claim_about_hardness_fails_where_it_should() -> None:
    runs = beyond.run_features(Settings(quick=True, seed=3))
    assert beyond.features_claim(runs).verdict == "SUPPORTED"
    doubled = [replace(run, predicted=2 * run.predicted) for run in runs]
    assert beyond.features_claim(doubled).verdict == "REFUTED"
    missed = [replace(runs[0], found=False), *runs[1:]]
    assert beyond.features_claim(missed).verdict == "REFUTED"


def _meeting(few: BestRate, many: BestRate) -> beyond.Meeting:
    """A phase diagram whose two deciding cells are given."""
    cells = {
        (distance, tasks, noise): few
        for distance in (0.0, 2.0)
        for tasks in beyond.TASK_COUNTS
        for noise in beyond.NOISES
    }
    return beyond.Meeting(cells | {(2.0, 40, 1.0): many}, {0.0: math.nan, 2.0: 0.6}, runs=10)


def test_the_claim_about_both_papers_fails_where_it_should() -> None:
    down = BestRate(-0.4, Estimate(-1.0, 0.1), at_edge=False)
    up = BestRate(0.5, Estimate(-1.0, 0.1), at_edge=False)
    unsure = BestRate(-0.4, Estimate(-1.0, 0.9), at_edge=False)
    assert beyond.meeting_claim(_meeting(down, up)).verdict == "SUPPORTED"
    assert beyond.meeting_claim(_meeting(up, down)).verdict == "REFUTED"
    assert beyond.meeting_claim(_meeting(unsure, up)).verdict == "NOT SHOWN"


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others() -> None:
    first, again, other = (
        claims.where_training_ends(Settings(quick=True, seed=seed)) for seed in (5, 5, 6)
    )
    assert first == again
    assert first.estimate != other.estimate


def test_the_picture_marks_where_both_trainings_end() -> None:
    figure, caption = figures.landscape_figure()
    a, b = starts(CLEAN)
    for axes in figure.axes:
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        marked = [float(np.asarray(dot.get_xdata())[0]) for dot in dots]
        assert marked == pytest.approx([a, b])
    assert f"{a:.2f}" in caption
    assert f"{b:.2f}" in caption


@pytest.mark.slow
def test_the_full_study_supports_every_claim() -> None:
    full = collins2022.run(Settings(quick=False))
    assert [c.id for c in full.claims if c.verdict != "SUPPORTED"] == []
    assert len(full.tables["two-layer network"]) == 7
