"""C5, C6: how fast the meta-loss can bend.

The safe outer rate is the inverse of the meta-loss's curvature. If that curvature stops
growing with N, more inner steps cost nothing in outer steps; if it grows like
``(1 + αL)^{2N}``, every added inner step slows meta-training, unless the inner rate is
cut like 1/N. Here the curvature is measured, not bounded, at the starting point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..study import Claim, Verdict
from .ledger import DERIVED, Estimate, Sizes, estimate, median, numbers, verdict
from .problems import Array, MetaGradient, Pool, Setup, deep_losses, draw_pool, meta_gradient
from .ridge import ridge_meta_gradient
from .simulation import Smoothness, meta_smoothness

RIDGE = 0.4
RATE = 1 / 4.4  # 1 / (c² + λ); used for both geometries, so that only the head differs
RIDGE_STEPS = (1, 2, 5, 12, 20, 40, 80)
DEEP_STEPS = (1, 2, 5, 12, 20)
RESCUE_STEPS = (1, 3, 6, 10, 16)


@dataclass(frozen=True)
class Curves:
    """Meta-smoothness against the number of inner steps.

    Args:
        ridge: ``{N: Smoothness}`` of the strongly convex head.
        deep: The same for the two-layer head, at the same rate and on the same tasks.
        fixed: ``{N: (S,)}`` of the two-layer head at ``α = 0.5``.
        shrinking: The same at ``α = 1.5/N``.
        far: `deep` at N = 1 and 20 from a start as wide as the ridge head's.
    """

    ridge: dict[int, Smoothness]
    deep: dict[int, Smoothness]
    fixed: dict[int, Array]
    shrinking: dict[int, Array]
    far: dict[int, Smoothness]


def curves(size: Sizes) -> Curves:
    """Measures `Curves`."""
    pool = draw_pool(Setup(), repeats=size.smooth, seed=size.seed)
    wide = draw_pool(Setup(deep_start=1.0), repeats=size.smooth, seed=size.seed)

    def deep(where: Pool, alpha: float, steps: int) -> Smoothness:
        return meta_smoothness(deep_gradient(where, alpha, steps), where.body, where.deep_head)

    def ridge(steps: int) -> Smoothness:
        gradient = ridge_meta_gradient(pool, ridge=RIDGE, alpha=RATE, steps=steps)
        return meta_smoothness(gradient, pool.body, pool.ridge_head)

    return Curves(
        ridge={n: ridge(n) for n in RIDGE_STEPS},
        deep={n: deep(pool, RATE, n) for n in DEEP_STEPS},
        fixed={n: deep(pool, 0.5, n).meta for n in RESCUE_STEPS},
        shrinking={n: deep(pool, 1.5 / n, n).meta for n in RESCUE_STEPS},
        far={n: deep(wide, RATE, n) for n in (1, 20)},
    )


def deep_gradient(pool: Pool, alpha: float, steps: int) -> MetaGradient:
    """The two-layer head's meta-gradient on a pool."""
    return meta_gradient(pool, deep_losses(pool), alpha=alpha, steps=steps)


@dataclass(frozen=True)
class Limit:
    """A ratio of curvatures, one for each problem, and the limit stated for it.

    Args:
        label: What over what.
        values: ``(S,)``.
        limit: The number stated beforehand.
        above: Whether the ratio must lie above the limit, not below.
    """

    label: str
    values: Array
    limit: float
    above: bool

    @property
    def within(self) -> int:
        """Problems that keep the limit."""
        kept = self.values >= self.limit if self.above else self.values <= self.limit
        return int(kept.sum())

    @property
    def median(self) -> Estimate:
        """Median over problems."""
        return estimate(self.values, median)

    @property
    def typically(self) -> Verdict:
        """The verdict of the median's interval on the limit."""
        low, high = self.median.interval
        if self.above:
            return verdict(supported=low >= self.limit, refuted=high < self.limit)
        return verdict(supported=high <= self.limit, refuted=low > self.limit)

    @property
    def rule(self) -> str:
        """The limit in words."""
        return f"{self.label} {'≥' if self.above else '≤'} {self.limit:g}"


def everywhere(limits: Sequence[Limit]) -> Verdict:
    """SUPPORTED if every problem keeps every limit, REFUTED if typical problems do not."""
    return verdict(
        supported=all(limit.within == len(limit.values) for limit in limits),
        refuted=any(limit.typically == "REFUTED" for limit in limits),
    )


def typically(limits: Sequence[Limit]) -> Verdict:
    """The same of medians alone."""
    verdicts = [limit.typically for limit in limits]
    return verdict(supported=all(v == "SUPPORTED" for v in verdicts), refuted="REFUTED" in verdicts)


def counts(limits: Sequence[Limit]) -> str:
    """How many problems keep each limit."""
    return "; ".join(f"{x.rule} on {x.within} of {len(x.values)} problems" for x in limits)


def medians(limits: Sequence[Limit]) -> str:
    """The median of each ratio with its interval."""
    return "; ".join(f"{x.label}: {x.median}" for x in limits)


EACH_RULE = (
    "SUPPORTED if every problem keeps ({limits}); REFUTED if the interval of a median lies wholly on "
    "the other side; else NOT SHOWN"
)
MEDIAN_RULE = (
    "SUPPORTED if the whole intervals of the medians over problems keep ({limits}); REFUTED if one "
    "lies wholly on the other side; else NOT SHOWN"
)
AFTERWARDS = "Judged by medians after the rule of {id}, which asks for every problem, was not met."


def smoothness_limits(data: Curves) -> tuple[Limit, ...]:
    """What C5 asks of the curvatures."""
    return (
        Limit("strongly convex, N = 80 / N = 40", data.ridge[80].meta / data.ridge[40].meta, 1.03, False),
        Limit("N = 40 / N = 20", data.ridge[40].meta / data.ridge[20].meta, 1.15, False),
        Limit("nonconvex, N = 20 / N = 1", data.deep[20].meta / data.deep[1].meta, 3, True),
        Limit("N = 20 / N = 12", data.deep[20].meta / data.deep[12].meta, 1.2, True),
    )  # fmt: skip


def curvature_saturates_or_grows(data: Curves) -> tuple[Claim, Claim]:
    """C5 on every problem, and C5b on typical ones."""
    limits = smoothness_limits(data)
    growth = limits[2].median
    wide = estimate(data.far[20].meta / data.far[1].meta, median)
    spread = data.ridge[80].meta / data.ridge[1].meta
    asked = "; ".join(limit.rule for limit in limits)
    statement = (
        "The largest curvature of the meta-loss stops growing with N when the inner loss is "
        "strongly convex, and keeps growing when it is not"
    )
    first = Claim(
        id="C5",
        statement=f"{statement}, on every problem.",
        source=f"{DERIVED}; it is what makes the paper's two rates differ",
        published="bounded in N against O((1 + αL)^{2N})",
        published_status="derived",
        measured=counts(limits),
        estimate=min(limit.within / len(limit.values) for limit in limits),
        rule=EACH_RULE.format(limits=asked),
        verdict=everywhere(limits),
        note=f"Bounded is not monotone: strongly convex, N = 80 over N = 1 ranges from "
        f"{spread.min():.2f} to {spread.max():.2f} over problems. The estimate is the smallest "
        "share of problems that keep a limit.",
    )
    second = Claim(
        id="C5b",
        statement=f"{statement}, on typical problems.",
        source=DERIVED,
        published=first.published,
        published_status="derived",
        measured=medians(limits),
        estimate=growth.value,
        interval=growth.interval,
        rule=MEDIAN_RULE.format(limits=asked),
        verdict=typically(limits),
        note=f"{AFTERWARDS.format(id='C5')} From a start of the two-layer head as wide as the "
        f"ridge head's the growth is {wide}.",
    )
    return first, second


def shrinking_the_rate_rescues(data: Curves) -> tuple[Claim, Claim]:
    """C6 on every problem, and C6b on typical ones."""
    stack = np.stack([data.shrinking[n] for n in RESCUE_STEPS])
    limits = (
        Limit("fixed α = 0.5, N = 16 / N = 1", data.fixed[16] / data.fixed[1], 5, True),
        Limit(
            "α = 1.5/N, largest / smallest",
            stack.max(0) / stack.min(0), 1.8, False,
        ),
    )  # fmt: skip
    range_ = limits[1].median
    asked = "; ".join(limit.rule for limit in limits)
    statement = (
        "With a nonconvex inner loss an inner rate proportional to 1/N keeps the meta-loss's "
        "curvature bounded and a fixed one does not"
    )
    first = Claim(
        id="C6",
        statement=f"{statement}, on every problem.",
        source="Ji, Yang & Liang, JMLR 2022 (multi-step MAML), abstract; the same rule derived "
        "here for ANIL",
        published="inner rate inversely proportional to N",
        published_status="read",
        measured=counts(limits),
        estimate=min(limit.within / len(limit.values) for limit in limits),
        rule=EACH_RULE.format(limits=asked),
        verdict=everywhere(limits),
        note=f"Largest and smallest are over N = {numbers(RESCUE_STEPS)}. The estimate is the smallest "
        "share of problems that keep a limit.",
    )
    second = Claim(
        id="C6b",
        statement=f"{statement}, on typical problems.",
        source=first.source,
        published=first.published,
        published_status="read",
        measured=medians(limits),
        estimate=range_.value,
        interval=range_.interval,
        rule=MEDIAN_RULE.format(limits=asked),
        verdict=typically(limits),
        note=AFTERWARDS.format(id="C6"),
    )
    return first, second
