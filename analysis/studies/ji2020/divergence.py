"""C9: when the inner loop explodes, and when it cannot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

from ..study import Claim
from .contraction import extremes
from .ledger import DERIVED, Sizes, verdict
from .problems import Array, Pool, Setup, draw_pool
from .ridge import adapted_heads, ridge_meta_gradient
from .simulation import meta_train
from .smoothness import RIDGE, deep_gradient


def blow_up(size: Sizes) -> Claim:
    """C9: what diverges, and what cannot."""
    pool = draw_pool(Setup(), repeats=size.blow_up, seed=size.seed)
    _, top = extremes(pool, RIDGE)
    inside = largest_distance(pool, alpha=1 / top)
    first, last = (
        ridge_meta_gradient(pool, ridge=RIDGE, alpha=2.5 / top, steps=n)(
            pool.body, pool.ridge_head
        )[0]
        for n in (0, 50)
    )
    growth = float(np.median(last / first))
    counts = {n: int(diverged(pool, steps=n).sum()) for n in (1, 3, 12, 20)}
    share = binomtest(counts[20], size.blow_up).proportion_ci(0.95)
    early, later = counts[1] + counts[3], counts[12] + counts[20]
    theory = inside <= 1 + 1e-9 and growth >= 1e3
    return Claim(
        id="C9",
        statement="Many inner steps can blow meta-training up when the inner loss is nonconvex "
        "and the rate large; a strongly convex inner loop with α ≤ 1/L cannot, at any N.",
        source=DERIVED,
        published="distance to the optimum never grows for α ≤ 1/L, grows geometrically for "
        "α > 2/L",
        published_status="derived",
        measured=f"α = 1/L: largest distance over its start {inside:.3f} up to N = 400; "
        f"α = 2.5/L: loss grows {growth:.2g} times by N = 50; two-layer head at α = 1: "
        f"{', '.join(f'{c} at N = {n}' for n, c in counts.items())} of {size.blow_up} runs diverge",
        estimate=counts[20] / size.blow_up,
        interval=(float(share.low), float(share.high)),
        rule="SUPPORTED if the distance never exceeds its start, the loss at α = 2.5/L grows at "
        "least 1000 times, no two-layer run diverges at N ≤ 3 and some do at N ≥ 12; REFUTED if "
        "either of the first two fails; else NOT SHOWN",
        verdict=verdict(supported=theory and early == 0 and later > 0, refuted=not theory),
        note="A run counts as diverged when its loss exceeds 100 times its start or is no longer "
        "a number. The estimate is the share at N = 20.",
    )


def largest_distance(pool: Pool, *, alpha: Array) -> float:
    """Largest ``‖w_N − w*‖/‖w_0 − w*‖`` over problems, tasks and N up to 400."""

    def away(steps: int | None) -> Array:
        return adapted_heads(
            pool, pool.body, pool.ridge_head, ridge=RIDGE, alpha=alpha, steps=steps
        )

    optimum = away(None)
    start = np.linalg.norm(away(0) - optimum, axis=-1)
    return max(
        float((np.linalg.norm(away(n) - optimum, axis=-1) / start).max())
        for n in (1, 2, 5, 20, 100, 400)
    )


def diverged(pool: Pool, *, steps: int, iterations: int = 40) -> Array:
    """Which repeats of the two-layer head diverge at ``α = 1, β = 0.1``; bools ``(S,)``."""
    gradient: Callable[[Array, Array], tuple[Array, Array, Array]]
    gradient = deep_gradient(pool, 1.0, steps)
    loss = meta_train(gradient, pool.body, pool.deep_head, beta=0.1, iterations=iterations).loss
    with np.errstate(invalid="ignore"):
        return np.asarray(~np.all(loss <= 100 * loss[0], axis=0))
