"""Phases and rates of every run, as tables and figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...audit_parts import RateLayer
from ...figure_parts import INK, style
from ...rate_densities import drawn_layers, ridge
from ...result import Audit
from ...verdicts import SESOI
from ..study import Claim
from ..writing import claim_interval
from .evidence import WHICH, Changes, block_rates, estimate, parts_with_rates


def phase_table(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> pd.DataFrame:
    """The four cells and three effects of every run, shares."""
    rows = []
    for learner, audits in (("MAML", maml), ("Meta-SGD", meta_sgd)):
        for a in audits:
            cells = {name: cell.value for name, cell in a.cells}
            told = {f"{name} effect": effect.value for name, effect in a.effects}
            head = a.head_accuracy.adapted.value if a.head_accuracy else np.nan
            rows.append(
                {"learner": learner, "checkpoint": a.checkpoint.name, **cells, **told, "head": head}
            )
    return pd.DataFrame(rows)


def rate_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """Mean, spread and share of negative live rates by block, over runs."""
    rows = []
    for part in parts_with_rates(audits):
        found = np.array([block_rates(a, part) for a in audits])
        rows.append(
            {
                "part": part,
                "mean": found[:, 0].mean(),
                "lowest run": found[:, 0].min(),
                "highest run": found[:, 0].max(),
                "share negative": found[:, 1].mean(),
            }
        )
    return pd.DataFrame(rows)


def gallery_table(support: Sequence[Claim], fresh: Sequence[Claim]) -> pd.DataFrame:
    """The same claims with either gallery, points: estimates, intervals and verdicts."""
    rows = []
    for one, other in zip(support, fresh, strict=True):
        row: dict[str, object] = {"claim": one.id}
        for name, claim in (("support", one), ("fresh images", other)):
            row[f"{name}: measured"] = claim.measured.partition("; runs")[0]
            row[f"{name}: 95 % interval"] = claim_interval(claim)
            row[f"{name}: verdict"] = claim.verdict
        rows.append(row)
    return pd.DataFrame(rows)


def phase_figure(maml: Changes, meta_sgd: Changes) -> Figure:
    """On- and off-task effects of every run, and their means with intervals."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    colours = {"MAML": "#0072B2", "Meta-SGD": "#D55E00"}
    marks = {"MAML": "o", "Meta-SGD": "s"}
    for i, (learner, changes) in enumerate((("MAML", maml), ("Meta-SGD", meta_sgd))):
        for j, which in enumerate(WHICH):
            values, classes = changes.part(which)
            found = estimate([(100 * values, classes)])
            runs = 100 * values.mean(axis=(1, 2))
            ci = found.interval(0.95)
            y = -(3 * j + i)
            axes.plot(
                runs, np.full(len(runs), y - 0.22), marks[learner],
                color=colours[learner], alpha=0.45, markersize=4, markeredgewidth=0,
            )  # fmt: skip
            axes.errorbar(
                found.value, y, xerr=[[found.value - ci.low], [ci.high - found.value]],
                fmt=marks[learner], color=colours[learner], markersize=8, capsize=4, linewidth=2,
                label=learner if j == 0 else None,
            )  # fmt: skip
    axes.axvline(0, color="0.3", linewidth=1)
    axes.axvspan(-100 * SESOI, 100 * SESOI, color="0.9", zorder=0)
    axes.set_yticks([-0.5, -3.5], ["on the task\nadapted to", "on another\ntask"])
    axes.set_ylim(-4.9, 0.7)
    axes.set_xlabel("change of nearest-neighbour accuracy, points")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="best")
    return figure


MOST_RUNS = 5
"""Runs whose rates are drawn side by side."""


def rate_figure(audits: Sequence[Audit]) -> Figure | None:
    """Densities of the learned rates of the weights, run beside run; None where there are none."""
    shown = [(a.checkpoint.name, _weights(a)) for a in audits[:MOST_RUNS]]
    if not all(layers for _, layers in shown):
        return None
    # Rows are labelled once where all runs have the same, else beside each run.
    alike = len({tuple(x.name for x in layers) for _, layers in shown}) == 1
    with style():
        rows, columns = max(len(layers) for _, layers in shown), len(shown)
        width = 2.1 * columns + 1.4 if alike else 3.4 * columns
        figure = Figure(figsize=(max(4.6, width), 1.1 + 0.42 * rows), layout="constrained")
        for axis, (name, layers) in zip(
            figure.subplots(1, columns, squeeze=False)[0], shown, strict=True
        ):
            ridge(axis, layers)
            # The pad leaves room for the heading of the shares.
            axis.set_title(
                _fitting(name, 24 if columns > 1 else 60), fontsize=8.5, color=INK, pad=14
            )
            axis.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
            axis.set_xlabel("learned rate" if columns < 3 else "")
        if columns > 2:
            figure.supxlabel("learned rate", fontsize=9)
        if alike:
            for axis in figure.axes[1:]:
                axis.set_yticklabels([])
    return figure


def _weights(audit: Audit) -> list[RateLayer]:
    """The tensors that the paper draws: a matrix or kernel for each layer."""
    layers = drawn_layers(audit)
    return [x for x in layers if x.name.endswith("weight") and "norm" not in x.name] or layers


def _fitting(name: str, most: int) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"
