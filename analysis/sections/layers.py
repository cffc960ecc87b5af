"""In which layer do features change, and how much of their structure is kept?

Every block's features go through the 2×2 cells, and those at meta-init are compared with the
adapted ones on the same queries. The similarities are averages over episodes, each beside the
same measure with one side's rows dealt anew, and with the share of such orders that are as alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...data.errors import ProbeError
from ...probes.cells import Bits
from ...probes.rows import Floats, Integers
from ..similarity.cka import cka, cka_reordered
from ..similarity.drift import drift_change, drift_cosine
from ..similarity.overlap import mutual_knn, mutual_knn_reordered
from ..similarity.procrustes import procrustes, procrustes_reordered
from .context import Context
from .values import Line, Section, effect_line
from .words import mean_interval, said

Pair = Callable[[Floats, Floats], float]

NEIGHBOURS = 10

MEASURES: dict[str, Pair] = {
    "debiased CKA": cka,
    "Procrustes distance": procrustes,
    "mutual kNN": lambda x, y: mutual_knn(
        x, y, min(NEIGHBOURS, len(x) - 2), ids=np.arange(len(x)), zeros="orthogonal"
    ),
    "cosine θ→θ_T": drift_cosine,
    "relative change": drift_change,
}
"""Similarities θ → θ_T of one task's queries `(N, D)`."""

Orders = Callable[[Floats, Floats, Integers], Floats]

REORDERED: dict[str, Orders] = {
    "debiased CKA": cka_reordered,
    "Procrustes distance": procrustes_reordered,
    "mutual kNN": lambda x, y, orders: mutual_knn_reordered(
        x, y, orders, min(NEIGHBOURS, len(x) - 2), ids=np.arange(len(x)), zeros="orthogonal"
    ),
    "cosine θ→θ_T": lambda x, y, orders: np.array([drift_cosine(x, y[o]) for o in orders]),
}
"""The same with the second side's rows in many orders `(R, N)`, for those that have a null."""

ORDERS = 99
"""Orders of rows dealt anew behind a p-value, which is never below 1 / 100."""

DEALT_EPISODES = 10
"""Episodes whose rows are dealt anew so often: the first of the section's."""


def run(context: Context) -> Section:
    """Cells and similarities, layer by layer."""
    found, rule = context.trajectory, context.found.measurement.rule
    bits: Bits = found["bits"].astype(bool)
    lines: list[Line] = []
    moved: dict[str, float] = {}
    raised = []
    for at, tap in enumerate(context.taps):
        cells = {
            f"{moment}_{task}": bits[:, step, at, t]
            for moment, step in (("init", 0), ("adapted", rule.steps))
            for t, task in enumerate(("on", "off"))
        }
        effects = context.effects(cells)  # type: ignore[arg-type]
        for task in ("on", "off"):
            effect = getattr(effects, task)
            lines.append(effect_line(f"effect {task}-task", tap.name, effect, x=float(at)))
            if effect.verdict in ("RAISED", "LOWERED"):
                raised.append(f"{tap.name} {task}-task {said(effect)}")
    for name, measure in MEASURES.items():
        for at, tap in enumerate(context.taps):
            before, after = (
                found[f"{moment}.{tap.name}"][:, 1].astype(float) for moment in ("init", "adapted")
            )
            value = over_episodes(measure, before, after)
            p = None if name == "relative change" else p_value(name, before, after)
            lines.append(_line(name, tap.name, value, at, p))
            if name == "relative change":
                moved[tap.name] = float(np.nanmean(value)) if np.isfinite(value).any() else 0.0
            else:
                lines.append(_line(f"{name}, rows dealt anew", tap.name,
                                   over_episodes(measure, before, dealt(after)), at))  # fmt: skip
    most = max(moved, key=lambda name: moved[name])
    if moved[most] == 0:
        finding = "Adaptation moves no layer's features at all."
    else:
        finding = (
            f"Features of T′ move most in {most}: by {100 * moved[most]:.1f} % of their length on "
            "average over episodes. "
        )
        finding += (
            f"Accuracy changes materially in {'; '.join(raised)}."
            if raised
            else "In no layer is a material change of accuracy resolved."
        )
    return Section(
        title="Layers",
        question="In which layer do features change, and is their structure kept?",
        finding=finding,
        notes=(
            "Maps are averaged over space; the embedding is taken as it is. Similarities compare "
            f"the {bits.shape[-1]} queries of T′ at meta-init with the same queries adapted, and "
            "are averages over episodes from features kept in float16.",
            "Rows dealt anew: the same measure with one side's rows in another order, which is "
            "what unrelated features of this shape would give.",
            f"p: share of {ORDERS + 1} orders of rows, the real one among them, that are as alike on "
            f"average over the first {min(DEALT_EPISODES, len(bits))} episodes.",
        ),
        episodes=len(bits),
        axis="layer",
        lines=tuple(lines),
    )


def p_value(name: str, before: Floats, after: Floats) -> float | None:
    """Share of orders whose mean over episodes is as alike, from ``(E, N, D)`` of both sides.

    None where an episode has no such similarity.
    """
    measure, up = REORDERED[name], -1 if name == "Procrustes distance" else 1
    found = []
    for e, (x, y) in enumerate(zip(before[:DEALT_EPISODES], after[:DEALT_EPISODES], strict=True)):
        rng = np.random.default_rng([4, e])
        dealt_anew = [rng.permutation(len(x)) for _ in range(ORDERS)]
        try:
            found.append(measure(x, y, np.stack([np.arange(len(x)), *dealt_anew])))
        except ProbeError:
            return None
    mean = up * np.mean(found, axis=0)
    return float((mean >= mean[0] - 1e-12).mean())


def _line(group: str, label: str, values: Floats, at: int, p: float | None = None) -> Line:
    value, low, high, n = mean_interval(values)
    return Line(
        group=group, label=label, x=float(at), value=value, ci_low=low, ci_high=high,
        unit="number", n=n, p=p,
    )  # fmt: skip


def over_episodes(measure: Pair, before: Floats, after: Floats) -> Floats:
    """``(E,)``; NaN where features have no such similarity, all rows being the same."""
    out = np.full(len(before), np.nan)
    for e, (x, y) in enumerate(zip(before, after, strict=True)):
        try:
            out[e] = measure(x, y)
        except ProbeError:
            continue
    return out


def dealt(rows: Floats) -> NDArray[np.float64]:
    """Each episode's rows in an order of its own."""
    orders = [np.random.default_rng([3, e]).permutation(rows.shape[1]) for e in range(len(rows))]
    return np.stack([r[order] for r, order in zip(rows, orders, strict=True)])
