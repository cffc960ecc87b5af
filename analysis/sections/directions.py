"""Which way do steps go: down the support loss, up, or across, and does that predict effects?

First-order change −Σ α g², cosine of the update with −g and the share of g² under steps that go
uphill, for each layer and step; and their correlation over episodes with the episode's effects.
It needs no network: the inner loop's sums are kept with the adapted features.
"""

from __future__ import annotations

import re

import numpy as np
from scipy import stats

from ...probes.rows import Floats
from ..statistics.significance import holm
from .context import Context
from .values import Line, Section
from .words import mean_interval

ALPHA = 0.05

CONSTANT = 1e-9
"""Values that differ by less than this share of their size do not differ: rounding."""


def run(context: Context) -> Section:
    """Directions by layer and step, and what they have to do with the effects."""
    found = context.found
    trace, moved = found.trace, found.measurement.moved
    if trace is None or not trace[..., 3].any():
        return Section(
            title="Directions",
            question="Which way do the steps go, and does that predict the effects?",
            finding="Nothing moved, so there is no direction.",
            episodes=len(found.measurement.episodes),
            lines=(),
        )
    lines: list[Line] = []
    layers = _layers(moved)
    for name, which in layers.items():
        for step in range(trace.shape[1]):
            for quantity, values in quantities(trace[:, step, which].sum(axis=1)).items():
                value, low, high, n = mean_interval(values)
                lines.append(Line(group=f"{quantity} · {name}", label=str(step + 1), x=step + 1.0,
                                  value=value, ci_low=low, ci_high=high, unit="number",
                                  n=n))  # fmt: skip
    cells = found.cells["support"]
    effects = {
        task: cells[f"adapted_{task}"].mean(axis=1) - cells[f"init_{task}"].mean(axis=1)  # type: ignore[index]
        for task in ("on", "off")
    }
    for name, which in layers.items():
        for quantity, values in quantities(trace[:, :, which].sum(axis=(1, 2))).items():
            for task, effect in effects.items():
                label = f"{quantity}, {task}-task"
                lines.append(correlation(f"correlation with effects · {name}", label, values,
                                          effect))  # fmt: skip
    overall = []
    for quantity, values in quantities(trace.sum(axis=(1, 2))).items():
        for task, effect in effects.items():
            line = correlation("correlation with effects · all layers", f"{quantity}, {task}-task", values,
                                effect)  # fmt: skip
            lines.append(line)
            if line.p is not None:
                overall.append((f"{quantity} goes with the effect {task}-task", line))
    corrected = holm([line.p or 0.0 for _, line in overall])
    said = [
        f"{words} (r = {line.value:+.2f}, {line.ci_low:+.2f} to {line.ci_high:+.2f})"
        for (words, line), p in zip(overall, corrected, strict=True)
        if p < ALPHA
    ]
    whole = quantities(trace.sum(axis=(1, 2)))
    cosine = mean_interval(whole["cosine with −g"])[0] or 0.0
    uphill = mean_interval(whole["g² uphill"])[0] or 0.0
    finding = (
        f"Over all steps the update has cosine {cosine:+.2f} with the way straight down; "
        f"{100 * uphill:.0f} % of g² lies under steps uphill. "
    )
    finding += f"Over episodes, {'; '.join(said)}." if said else (
        "Over episodes, no direction is seen to go with an effect."
    )  # fmt: skip
    return Section(
        title="Directions",
        question="Which way do the steps go, and does that predict the effects?",
        finding=re.sub(r"-(?=[\dg])", "−", finding.replace("+-", "-")),
        notes=(
            "Correlations are Pearson's over episodes, with p and Fisher's 95 % interval, not corrected "
            "for their number; the sentence names those over all layers whose p is below "
            f"{ALPHA:g} after Holm's correction. A correlation shows no cause.",
        ),
        episodes=len(trace),
        axis="inner step",
        lines=tuple(lines),
    )


def _layers(moved: tuple[str, ...]) -> dict[str, list[int]]:
    """The moving tensors by the part they belong to."""
    layers: dict[str, list[int]] = {}
    for p, name in enumerate(moved):
        part = name.removeprefix("body.").split(".")[0]
        layers.setdefault(part, []).append(p)
    return layers


def quantities(sums: Floats) -> dict[str, Floats]:
    """From ``(E, 4)`` sums g·Δ, g², g² uphill and Δ² to three numbers an episode."""
    along, squared, uphill, length = (sums[:, i] for i in range(4))
    norm = np.sqrt(squared * length)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "first-order change": along,
            "cosine with −g": np.where(norm > 0, -along / norm, np.nan),
            "g² uphill": np.where(squared > 0, uphill / squared, np.nan),
        }


def correlation(group: str, label: str, x: Floats, y: Floats) -> Line:
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if len(x) < 4 or any(np.ptp(v) <= CONSTANT * np.abs(v).max() for v in (x, y)):
        return Line(group=group, label=label, value=None, unit="number", n=len(x))
    r = stats.pearsonr(x, y)
    low, high = r.confidence_interval(0.95)
    return Line(group=group, label=label, value=float(r.statistic), ci_low=float(low),
                ci_high=float(high), unit="number", n=len(x), p=float(r.pvalue))  # fmt: skip
