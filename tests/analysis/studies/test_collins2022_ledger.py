"""Collins 2022: the ledger, its figures, and claims that must be able to fail."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from metaprobe.analysis.studies import collins2022
from metaprobe.analysis.studies.collins2022 import beyond, claims, figures, rules
from metaprobe.analysis.studies.collins2022.closed_form import (
    starts,
)
from metaprobe.analysis.studies.collins2022.examples import BASE
from metaprobe.analysis.studies.collins2022.joint import BestRate
from metaprobe.analysis.studies.collins2022.simulation import Estimate
from metaprobe.analysis.studies.collins2022.two_layer import Outcome
from metaprobe.analysis.studies.study import Settings, Study

CLEAN = replace(BASE, noise=0.0)


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
    assert ids[:12] == [*(f"C-B{i}" for i in range(1, 10)), "C-B9b", "C-B10", "C-B11"]
    assert ids[12:16] == [f"W-B{i}" for i in range(1, 5)]
    assert ids[16:] == [f"I-B{i}" for i in range(1, 4)]
    for claim in study.claims:
        assert claim.rule
        assert claim.measured
        status = "not obtainable" if claim.id.startswith("I") else "derived"
        assert (claim.published is None) == (claim.published_status == status)
        if claim.interval is not None:
            assert claim.estimate is not None
            assert claim.interval[0] <= claim.estimate <= claim.interval[1]


def test_what_is_derived_holds_and_the_answer_counts_what_does_not(study: Study) -> None:
    """Networks and glyphs are measured and may come out either way; the rest may not."""
    verdict = {claim.id: claim.verdict for claim in study.claims}
    open_ = {"C-B9", "I-B1", "I-B2", "I-B3"}
    assert {v for id_, v in verdict.items() if id_ not in open_} == {"SUPPORTED"}
    shown = sum(v == "SUPPORTED" for v in verdict.values())
    assert study.answer.startswith(f"{shown} of {len(study.claims)}")


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
    scattered = _outcomes(4.0, 0.3)
    scattered[3] = replace(scattered[3], maml_easy=scattered[3].nal_easy / 1.5)
    scattered[3] = replace(scattered[3], maml_hard=scattered[3].nal_hard / 1.5)
    assert beyond.network_claim(scattered).verdict == "REFUTED"
    assert beyond.scattering_claim(scattered).verdict == "SUPPORTED"
    scattered[3] = replace(scattered[3], maml_easy=scattered[3].nal_easy / 3)
    scattered[3] = replace(scattered[3], maml_hard=scattered[3].nal_hard / 3)
    assert beyond.scattering_claim(scattered).verdict == "REFUTED"


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
        claims.curvature_after_adaptation(Settings(quick=True, seed=seed)) for seed in (5, 5, 6)
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
def test_the_full_study_leaves_open_what_is_measured_and_nothing_derived() -> None:
    full = collins2022.run(Settings(quick=False))
    undecided = {c.id: c.verdict for c in full.claims if c.verdict != "SUPPORTED"}
    assert undecided.pop("C-B9") == "NOT SHOWN", "1.35 lies within the interval of one scenario"
    assert set(undecided) <= {"I-B1", "I-B2", "I-B3"}
    assert len(full.tables["two-layer network"]) == 7
