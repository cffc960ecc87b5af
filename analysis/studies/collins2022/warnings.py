"""Where the headline stops: four ways to misread the theory, each shown to be one.

They are claims like the others, with a rule and a verdict; SUPPORTED means that the warning is due.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..study import Claim, Settings
from .claims import DERIVED
from .closed_form import gain, ratio, ratio_bound, starts, with_samples
from .examples import BASE
from .hardness import (
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
from .rules import every, exact, inside
from .simulation import simulate_risks


def warning_claims(settings: Settings) -> tuple[Claim, ...]:
    """W-B1 to W-B4."""
    return (
        harder_is_not_always_more(settings),
        shuffled_labels_hide_the_landscape(settings),
        maml_can_lose(settings),
        far_is_not_enough(),
    )


def harder_is_not_always_more(settings: Settings) -> Claim:
    """W-B1: at a fixed share the ratio peaks at an intermediate hardness."""
    variances = (0.9, 0.6, 0.3, 0.1, 0.03, 0.01)
    land = replace(BASE, noise=0.0)
    few, many = (
        [ratio(replace(with_samples(land, n), rho_hard=rho)) for rho in variances]
        for n in (200, math.inf)
    )
    peaked = all(0 < int(np.argmax(line)) < len(line) - 1 for line in (few, many))
    at = variances[int(np.argmax(few))]
    middle, end = (
        simulate_risks(replace(land, rho_hard=rho), tasks=4_000, seed=settings.seed).nal.mean
        / simulate_risks(replace(land, rho_hard=rho), tasks=4_000, seed=settings.seed).maml.mean
        for rho in (at, variances[-1])
    )
    return Claim(
        id="W-B1",
        statement="Harder is not always better for MAML: the ratio peaks at an intermediate gap.",
        source=DERIVED,
        published=None,
        published_status="derived",
        measured="ratio "
        + ", ".join(f"{g:.2f}" for g in few)
        + " at ρ_H = "
        + ", ".join(str(v) for v in variances)
        + f" (n = 200); simulated {middle:.2f} at the peak, {end:.2f} at the end",
        estimate=at,
        rule="the largest ratio lies strictly inside the range for 200 and for infinitely many "
        "samples, and simulation agrees that the end is lower",
        verdict=exact(peaked and end < middle),
        note="Very hard tasks carry little loss, before adaptation and after, so no start matters.",
    )


@dataclass(frozen=True)
class _Classes:
    """Tasks with planted classes and what is predicted for their heads."""

    fixed: float
    shuffled: float


def shuffled_labels_hide_the_landscape(settings: Settings) -> Claim:
    """W-B2: with class names shuffled between episodes, heads show no gain by construction."""
    found = _planted_gains(settings.seed)
    return Claim(
        id="W-B2",
        statement="With class labels shuffled from episode to episode the predicted gain of a head "
        "is zero by construction, whatever the tasks are.",
        source=DERIVED,
        published=None,
        published_status="derived",
        measured=f"predicted gain {found.fixed:.2e} with classes named alike in all tasks, "
        f"{found.shuffled:.1e} over all orders of the same classes",
        estimate=found.shuffled,
        rule="positive with fixed names, and at most 1e-12 of that over all orders",
        verdict=exact(found.fixed > 0 and found.shuffled <= 1e-12 * found.fixed),
        note="The mean head is then the same for every class, so R = 0. In N-way episodes hardness "
        "can still be measured, but this module predicts no gain from it: a gain must come through "
        "the features.",
    )


def _planted_gains(seed: int) -> _Classes:
    """Easy tasks share one set of class means; hard tasks another, on a smaller scale."""
    rng = np.random.default_rng(seed)
    way, rows, dim, tasks = 3, 20, 12, 12
    embeddings, labels = planted_classes(
        tasks=tasks, way=way, rows=2 * rows, dim=dim, gap=0.5, seed=seed
    )
    hard = np.arange(tasks) % 2 == 1
    shared = rng.standard_normal((2, way, dim))
    embeddings = embeddings + shared[hard.astype(int)[:, None], labels]
    embeddings[hard] *= 0.3
    features = centred_features(embeddings)
    targets = centred_targets(labels)
    first = np.arange(features.shape[1]) % 2 == 0
    step = safe_step(features)

    def predicted(orders: bool) -> float:
        aim = class_orders(targets) if orders else targets
        repeat = len(aim) // tasks
        inner = np.tile(features[:, first], (repeat, 1, 1))
        outer = np.tile(features[:, ~first], (repeat, 1, 1))
        rates = head_rates(inner, aim[:, first], step=step)
        heads = fit_heads(inner, aim[:, first])
        hard = split_by_rate(rates.rate).hard
        return measure_landscape(inner, outer, heads, hard, alpha=step).gain

    return _Classes(fixed=predicted(False), shuffled=predicted(True))


def maml_can_lose(settings: Settings) -> Claim:
    """W-B3: trained to adapt on few samples, MAML can be worse than NAL when given many."""
    land = replace(BASE, n_train=5, n_test=400)
    a, b = starts(land)
    tasks = 2_000 if settings.quick else 20_000
    simulated = simulate_risks(land, tasks=tasks, seed=settings.seed).gain
    return Claim(
        id="W-B3",
        statement="MAML can lose to NAL when it is tested with more samples than it was trained "
        "for.",
        source=DERIVED,
        published=None,
        published_status="derived",
        measured=f"trained with 5 samples, tested with 400: gain {gain(land):.5f}, simulated "
        f"{simulated.mean:.5f}; MAML at {b:.3f}, NAL at {a:.3f}",
        estimate=simulated.mean,
        interval=simulated.interval,
        rule="the whole interval of the simulated gain below 0",
        verdict=inside(simulated.interval, high=0.0),
        note="Five samples in ten dimensions make the step itself harmful on easy tasks, so MAML "
        "stays nearer to them than NAL does.",
    )


def far_is_not_enough() -> Claim:
    """W-B4: distance alone cannot make the ratio large."""
    land = replace(BASE, noise=0.0)
    ratios = [ratio(replace(land, distance=r)) for r in (1.0, 2.0, 4.0, 100.0)]
    bound = ratio_bound(land)
    scattered = [ratio(replace(land, r_easy=r)) for r in (0.0, 0.5, 2.0)]
    return Claim(
        id="W-B4",
        statement="Distance alone is not enough: the ratio is bounded by how well adaptation "
        "solves the easy tasks, and scattered easy tasks are harmless only then.",
        source=DERIVED,
        published=None,
        published_status="derived",
        measured="ratio "
        + ", ".join(f"{g:.3f}" for g in ratios)
        + f" at R = 1, 2, 4, 100, bound {bound:.3f}; "
        + ", ".join(f"{g:.2f}" for g in scattered)
        + " at r_E = 0, 0.5, 2",
        estimate=bound,
        rule="ratio rising with R, never above 1 + (1+κ)²(b−a)²/κ and within 1 % of it at R = 100; "
        "falling with r_E while κ is not small",
        verdict=every(
            exact(ratios == sorted(ratios) and ratios[-1] <= bound <= 1.01 * ratios[-1]),
            exact(scattered == sorted(scattered, reverse=True)),
        ),
    )
