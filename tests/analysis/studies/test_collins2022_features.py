"""Hardness read from real tasks, and the question on images: the truth is planted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from metaprobe.analysis.studies.collins2022 import images
from metaprobe.analysis.studies.collins2022.closed_form import gain, ratio, starts, with_samples
from metaprobe.analysis.studies.collins2022.examples import BASE
from metaprobe.analysis.studies.collins2022.hardness import (
    centred_features,
    centred_targets,
    class_orders,
    fit_heads,
    head_rates,
    measure_landscape,
    planted_classes,
    safe_step,
    split_by_rate,
)
from metaprobe.analysis.studies.collins2022.setting import LandscapeError

Array = NDArray[np.float64]
CLEAN = replace(BASE, noise=0.0)


def _round_features(rng: np.random.Generator, rho: float, rows: int, dim: int) -> Array:
    """Features whose sample second moment is ρ I exactly."""
    basis = np.linalg.qr(rng.standard_normal((rows, dim)))[0]
    return basis * math.sqrt(rho * rows)


def test_the_rate_of_round_features_is_the_contraction_of_one_step() -> None:
    rng = np.random.default_rng(0)
    features = np.stack([_round_features(rng, rho, 40, 8) for rho in (0.9, 0.3, 0.1)])
    rates = head_rates(features, rng.standard_normal((3, 40, 2)), step=0.7, steps=4)
    np.testing.assert_allclose(rates.rate, 1 - 0.7 * np.array([0.9, 0.3, 0.1]), rtol=1e-9)
    np.testing.assert_allclose(rates.curvature, [0.9, 0.3, 0.1], rtol=1e-9)
    np.testing.assert_allclose(rates.effective_dim, 8, rtol=1e-9)


def test_the_rate_agrees_with_descent_on_the_head_itself() -> None:
    rng = np.random.default_rng(1)
    features, targets = rng.standard_normal((4, 30, 5)), rng.standard_normal((4, 30, 3))
    step = 0.5 * safe_step(features)
    rates = head_rates(features, targets, step=step, steps=6).rate
    for phi, y, rate in zip(features, targets, rates, strict=True):
        best = np.linalg.lstsq(phi, y, rcond=None)[0]
        floor = ((phi @ best - y) ** 2).sum()
        head = np.zeros((5, 3))
        first = ((phi @ head - y) ** 2).sum() - floor
        for _ in range(6):
            head -= step / 30 * phi.T @ (phi @ head - y)
        last = ((phi @ head - y) ** 2).sum() - floor
        assert rate == pytest.approx((last / first) ** (1 / 12), rel=1e-8)


def test_classes_that_lie_closer_make_harder_tasks_with_many_or_few_rows() -> None:
    for rows, dim in ((40, 8), (3, 64)):
        rates = []
        for gap in (4.0, 2.0, 1.0):
            embeddings, labels = planted_classes(
                tasks=40, way=5, rows=rows, dim=dim, gap=gap, seed=1
            )
            features = centred_features(embeddings)
            rates.append(head_rates(features, centred_targets(labels), step=1e-3).rate.mean())
        assert rates == sorted(rates)
        assert rates[-1] < 1


def test_a_rotation_of_the_embeddings_keeps_the_rate() -> None:
    rng = np.random.default_rng(2)
    embeddings, labels = planted_classes(tasks=6, way=3, rows=8, dim=10, gap=2, seed=3)
    features, targets = centred_features(embeddings), centred_targets(labels)
    turn = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    step = safe_step(features)
    plain = head_rates(features, targets, step=step)
    turned = head_rates(features @ turn, targets, step=step)
    np.testing.assert_allclose(turned.rate, plain.rate, rtol=1e-9)


def test_warning_whitening_each_task_erases_its_hardness() -> None:
    rng = np.random.default_rng(4)
    scale = np.where(np.arange(20) % 2, 0.3, 1.0)[:, None, None]
    features = scale * rng.standard_normal((20, 200, 6))
    targets = (features @ rng.standard_normal((20, 6, 1)))[..., 0]
    split = split_by_rate(head_rates(features, targets, step=0.3).rate)
    assert split.hard.tolist() == [i % 2 == 1 for i in range(20)]
    assert split.explained > 0.9
    left, _, right = np.linalg.svd(features, full_matrices=False)
    whitened = math.sqrt(200) * left @ right
    np.testing.assert_allclose(head_rates(whitened, targets, step=0.3).rate, 0.7, rtol=1e-9)


def test_the_split_is_the_best_of_all_thresholds() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        rates = rng.uniform(size=12)
        split = split_by_rate(rates)

        def within(hard: NDArray[np.bool_], rates: Array = rates) -> float:
            return float(sum(rates[g].var() * g.sum() for g in (hard, ~hard)))

        every = [within(rates > t) for t in np.sort(rates)[:-1]]
        assert within(split.hard) == pytest.approx(min(every))
        assert split.explained == pytest.approx(1 - min(every) / (rates.var() * 12))
        assert split.gap == pytest.approx(rates[split.hard].min() - rates[~split.hard].max())


def test_a_measured_landscape_with_exact_moments_is_the_closed_form() -> None:
    rng = np.random.default_rng(6)
    land = replace(with_samples(CLEAN, math.inf), dim=4, r_easy=0.0, r_hard=0.0)
    hard = np.arange(10) % 2 == 1
    rhos = np.where(hard, land.rho_hard, land.rho_easy)
    features = np.stack([_round_features(rng, rho, 30, 4) for rho in rhos])
    heads = hard[:, None, None] * land.distance * np.eye(4)[:, :1]
    found = measure_landscape(features, features, heads, hard, alpha=land.alpha)
    assert (found.a, found.b) == pytest.approx(starts(land), rel=1e-9)
    assert found.gain == pytest.approx(gain(land), rel=1e-9)
    assert found.ratio == pytest.approx(ratio(land), rel=1e-9)
    assert found.distance == pytest.approx(2.0)
    twice = measure_landscape(features, features, heads, hard, alpha=0.5, steps=2)
    assert twice.b == pytest.approx(starts(replace(land, alpha=0.5, steps=2))[1], rel=1e-9)


def test_warning_shuffled_labels_force_one_centre_in_head_space() -> None:
    """Every naming of the classes once: the mean head is then the same for each class."""
    embeddings, labels = planted_classes(tasks=8, way=3, rows=10, dim=6, gap=2.0, seed=7)
    embeddings[1::2] = 0.3 * embeddings[1::2]
    features, targets = centred_features(embeddings), class_orders(centred_targets(labels))
    repeated = np.tile(features, (6, 1, 1))
    hard = np.tile(np.arange(8) % 2 == 1, 6)
    heads = fit_heads(repeated, targets)
    found = measure_landscape(repeated, repeated, heads, hard, alpha=safe_step(features))
    assert np.abs(heads).max() > 0.01
    assert found.distance <= 1e-12
    assert found.gain <= 1e-24
    assert head_rates(repeated, targets, step=safe_step(features)).rate[:8].std() > 0


@pytest.mark.parametrize(
    ("features", "targets", "step", "sentence"),
    [
        (np.ones((2, 5)), np.ones((2, 5)), 0.1, "give"),
        (np.ones((2, 5, 3)), np.ones((2, 4)), 0.1, "give"),
        (np.full((2, 5, 3), np.nan), np.ones((2, 5)), 0.1, "NaN"),
        (np.ones((2, 5, 3)), np.ones((2, 5)), 5.0, "safe_step"),
        (np.ones((2, 5, 3)), np.zeros((2, 5)), 0.1, "say nothing"),
    ],
)
def test_tasks_without_a_rate_are_refused(
    features: Array, targets: Array, step: float, sentence: str
) -> None:
    with pytest.raises(LandscapeError, match=sentence):
        head_rates(features, targets, step=step)


def test_one_type_of_task_is_no_landscape() -> None:
    with pytest.raises(LandscapeError, match="same rate"):
        split_by_rate(np.full(4, 0.5))
    with pytest.raises(LandscapeError, match="one type"):
        measure_landscape(
            np.ones((2, 3, 2)), np.ones((2, 3, 2)), np.ones((2, 2, 1)), np.ones(2, bool), alpha=1
        )


def test_planted_closer_classes_make_the_same_script_claim_hold_and_its_reverse_fail() -> None:
    close, labels = planted_classes(tasks=40, way=4, rows=10, dim=16, gap=1.0, seed=1)
    apart, _ = planted_classes(tasks=40, way=4, rows=10, dim=16, gap=3.0, seed=2)
    same, mixed = images.script_rates(close, labels, apart, labels)
    claim = images.script_hardness_claim(same, mixed, encoder="planted")
    assert claim.verdict == "SUPPORTED"
    assert "these scripts" in claim.note
    reverse = images.script_hardness_claim(mixed, same, encoder="planted")
    assert reverse.verdict == "REFUTED"


def test_few_scripts_widen_the_interval_of_many_tasks() -> None:
    rng = np.random.default_rng(0)
    scripts = np.repeat(np.arange(4), 50)
    own = np.array([0.62, 0.50, 0.58, 0.46])[scripts]
    same = own + 0.02 * rng.standard_normal(200)
    flat = np.full(200, 0.5)
    mixed = 0.5 + 0.02 * rng.standard_normal(200)
    tasks = images.script_gain_claim(same, flat, mixed, flat)
    grouped = images.script_gain_claim(same, flat, mixed, flat, scripts=scripts)
    assert tasks.verdict == "SUPPORTED"
    assert grouped.verdict == "NOT SHOWN"
    assert tasks.estimate == grouped.estimate == pytest.approx(0.04, abs=0.01)
    assert "4 scripts" in grouped.note


def test_predicted_and_realised_gains_are_compared_by_rank() -> None:
    rng = np.random.default_rng(1)
    predicted = rng.uniform(size=12)
    assert images.rank_claim(predicted, np.exp(predicted)).verdict == "SUPPORTED"
    assert images.rank_claim(predicted, -predicted).verdict == "REFUTED"
    assert images.rank_claim(predicted, rng.uniform(size=12)).verdict == "NOT SHOWN"


def test_accuracies_must_be_paired_shares() -> None:
    half = np.full(4, 0.5)
    with pytest.raises(LandscapeError, match="same tasks"):
        images.script_gain_claim(half, half[:3], half, half)
    with pytest.raises(LandscapeError, match="percentages"):
        images.script_gain_claim(100 * half, half, half, half)
    with pytest.raises(LandscapeError, match="one for each"):
        images.script_gain_claim(half, half, half, half, scripts=np.arange(3))
    with pytest.raises(LandscapeError, match="at least five"):
        images.rank_claim(half, half)
    labels = np.zeros((2, 3), int)
    with pytest.raises(LandscapeError, match="rates compare"):
        images.script_rates(np.ones((2, 3, 4)), labels, np.ones((2, 3, 5)), labels)
