"""Bernacchia 2021: the best rates, and where they do not exist."""

from __future__ import annotations

from dataclasses import asdict
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
    parts,
)
from metaprobe.analysis.studies.bernacchia2021.evidence import (
    random_over,
    random_under,
)
from metaprobe.analysis.studies.bernacchia2021.published import FIGURE_2, FIGURE_3
from metaprobe.analysis.studies.bernacchia2021.rates import (
    best_test_rate,
    best_train_rate,
    stationary_rates,
)
from metaprobe.analysis.studies.bernacchia2021.setting import FORMS, Form, RegimeError, Setting

OVER: dict[str, Any] = asdict(FIGURE_2)
UNDER: dict[str, Any] = asdict(FIGURE_3)


def changed(sizes: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return sizes | changes


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


def test_a_rate_that_does_not_matter_has_no_best_value() -> None:
    with pytest.raises(RegimeError, match="same at every alpha_train"):
        optimal_rates(**changed(OVER, {"noise": 0.0}))
    with pytest.raises(RegimeError, match="every alpha_test"):
        optimal_rates(**changed(UNDER, {"noise": 0.0, "spread": 0.0}))
    with pytest.raises(RegimeError, match="at least 2"):
        simulate_test_loss(alpha_train=0.1, alpha_test=0.1, **OVER, runs=1, seed=0)


def test_a_refined_minimum_far_from_the_leading_one_is_refused_not_returned() -> None:
    few: dict[str, Any] = {"n_train": 5, "n_val": 52, "n_test": 10, "tasks": 2, "dim": 7}
    few |= {"noise": 1.0, "spread": 0.62}
    assert optimal_rates(**few)[0] < 0
    with pytest.raises(RegimeError, match="broken down") as refused:
        optimal_rates(**few, form="refined")
    assert refused.value.code == "expansion"
