"""Ji 2020: what a strongly convex inner loss guarantees, and what must not be claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaprobe.analysis.studies.ji2020.budget import (
    best_steps_table,
    moderate_steps_are_cheapest,
)
from metaprobe.analysis.studies.ji2020.contraction import extremes, head_gradient_contracts
from metaprobe.analysis.studies.ji2020.convergence import (
    average_gradient,
    geometry_alone_does_not_decide,
    loss_is_not_worse,
    nonconvex_converges_slower,
    ratio,
)
from metaprobe.analysis.studies.ji2020.hypergradient import (
    always_falling,
    body_gradient_obeys_its_bound,
    body_gradient_reaches_the_limit,
)
from metaprobe.analysis.studies.ji2020.problems import (
    Setup,
    draw_pool,
    meta_gradient,
    ridge_losses,
)
from metaprobe.analysis.studies.ji2020.ridge import (
    adapted_heads,
    ridge_meta_gradient,
)
from metaprobe.analysis.studies.ji2020.simulation import (
    meta_smoothness,
)

from .sample_ji2020 import measured, sine_pool


def test_the_heads_gradient_obeys_its_bound_on_every_problem() -> None:
    data = measured().forgetting
    assert data.ratio.max() <= 1
    assert head_gradient_contracts(data).verdict == "SUPPORTED"
    assert np.all(np.diff(data.norm, axis=0) < 0)
    curved = measured().head
    assert curved.ratio.max() <= 1


def test_a_bound_that_fails_is_refuted_by_the_rule_itself() -> None:
    data = measured().forgetting
    broken = type(data)(data.steps, data.norm, data.ratio * 10, data.factor)
    assert head_gradient_contracts(broken).verdict == "REFUTED"


def test_the_body_gradient_obeys_its_derived_bound_and_the_bound_has_the_right_rate() -> None:
    data = measured().hypergradient
    for error, bound in ((data.error, data.bound), (data.faster, data.faster_bound)):
        assert np.all(error <= bound + 1e-9)
    broken = replace(data, bound=data.bound / 1e6)
    assert body_gradient_obeys_its_bound(data).verdict != "REFUTED"
    assert body_gradient_obeys_its_bound(broken).verdict == "REFUTED"


def test_an_error_that_rises_against_its_rate_refutes_the_stated_rule_and_not_the_bound() -> None:
    """The error may dip below its rate and come back: one such problem is enough."""
    data = measured().hypergradient
    steps = np.arange(float(len(data.error)))[:, None]
    ideal = data.error[1] * np.maximum(steps, 1) * data.factor ** (steps - 1)
    steady = replace(data, error=ideal * (1 - 1e-4) ** steps)
    assert always_falling(steady.error, data.factor).all()
    assert body_gradient_reaches_the_limit(steady).verdict != "REFUTED"
    dip = steady.error.copy()
    dip[7, 0] /= 10
    dipped = replace(steady, error=dip)
    assert always_falling(dip, data.factor).sum() == dip.shape[1] - 1
    assert body_gradient_reaches_the_limit(dipped).verdict == "REFUTED"
    assert f"{dip.shape[1] - 1} of {dip.shape[1]}" in (
        body_gradient_reaches_the_limit(dipped).measured
    )


def test_without_strong_convexity_the_heads_gradient_does_not_vanish() -> None:
    """Fewer rows than features and no penalty: only the null space's part remains."""
    pool = draw_pool(Setup(support=2), repeats=4, seed=0)
    _, top = extremes(pool, 0.0)

    def norms(ridge: float) -> np.ndarray:
        losses = ridge_losses(pool, ridge=ridge)
        rate = float(1 / (top.max() + ridge))
        gradient = meta_gradient(pool, losses, alpha=rate, steps=200)
        return np.asarray(np.linalg.norm(gradient(pool.body, pool.ridge_head)[2], axis=-1))

    assert norms(0.0).min() > 1e-2
    assert norms(0.5).max() < 1e-10


def test_steps_beyond_twice_the_safe_rate_diverge_and_within_it_never() -> None:
    pool = sine_pool(None)
    losses = [
        ridge_meta_gradient(pool, ridge=0.1, alpha=0.5, steps=n)(pool.body, pool.ridge_head)[0][0]
        for n in (0, 50)
    ]
    assert losses[1] > 1e6 * losses[0]
    optimum = adapted_heads(pool, pool.body, pool.ridge_head, ridge=0.1, alpha=0.2, steps=None)
    away = [
        np.linalg.norm(
            adapted_heads(pool, pool.body, pool.ridge_head, ridge=0.1, alpha=0.2, steps=n) - optimum
        )
        for n in (0, 1, 5, 50, 400)
    ]
    assert np.all(np.diff(away) < 0)


def test_a_worse_nonconvex_loss_with_more_steps_is_not_claimed() -> None:
    data = measured().sweeps
    for run in (data.deep, data.ridge):
        assert run[12].loss[-1].mean() < run[1].loss[-1].mean()
    claim = loss_is_not_worse(data)
    assert claim.verdict == "REFUTED"
    assert claim.published is None
    assert "does not claim" in claim.note
    assert not any("worse" in c.statement for c in (nonconvex_converges_slower(data),))


def test_the_gradient_norm_alone_is_not_taken_for_the_geometry() -> None:
    data = measured().sweeps
    assert ratio(data.ridge_small, 12, 1).low > 1, "convex, yet rising: the start decides"
    assert geometry_alone_does_not_decide(data).verdict == "REFUTED"
    assert "W2" in nonconvex_converges_slower(data).note


def test_the_nonconvex_contrast_fades_later_and_the_claim_says_so() -> None:
    data = measured().sweeps
    assert ratio(data.deep, 12, 1).value > 1.5
    assert ratio(data.deep_later, 12, 1).value < 1.3
    assert "100 outer iterations" in nonconvex_converges_slower(data).note


def test_the_head_part_separates_the_geometries() -> None:
    data = measured().sweeps
    convex, bent = (average_gradient(run, "head") for run in (data.ridge, data.deep))
    assert convex[0] / convex[-1] > 10
    assert bent.max() / bent.min() < 4


def test_smoothness_of_the_convex_case_is_bounded_but_not_monotone() -> None:
    pool = draw_pool(Setup(), repeats=8, seed=0)
    meta = {
        n: meta_smoothness(
            ridge_meta_gradient(pool, ridge=0.4, alpha=1 / 4.4, steps=n),
            pool.body,
            pool.ridge_head,
        ).meta
        for n in (1, 40, 80)
    }
    assert np.median(meta[80] / meta[40]) < 1.03
    against_one = meta[80] / meta[1]
    assert against_one.min() < 1 < against_one.max()


def test_few_steps_never_reach_what_a_moderate_number_reaches() -> None:
    found = measured().budgets
    for budget in found:
        assert not np.isfinite(budget.evaluations[:3]).any()
    claim = moderate_steps_are_cheapest(found)
    assert claim.estimate is not None
    assert claim.estimate >= 1.5
    assert best_steps_table(found)["share where cheapest"].sum() == pytest.approx(2)
