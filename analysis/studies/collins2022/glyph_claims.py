"""I-B1 to I-B3 on glyphs: what the ledger, the tables and the figure say of the measured tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from ..study import Claim
from .figures import EASY, HARD, study_style
from .glyph_tasks import NAL, GlyphRun, ScriptTasks
from .images import rank_claim, script_gain_claim, script_hardness_claim
from .mixture import Array


def glyph_claims(run: GlyphRun) -> tuple[Claim, ...]:
    """I-B1 to I-B3; hardness is judged on the embeddings of plain training."""
    same, mixed = run.rates[NAL]
    trained = (
        f" MAML is the mean of {run.runs} run(s), plain training one run of more steps, so only how "
        "the advantage changes with hardness is judged, not its level; near full accuracy there is "
        "little left to gain on either side."
    )
    hardness = np.concatenate([by_family(run, same.rate), by_family(run, mixed.rate, "mixed")])
    gains = [a - b for a, b in zip(run.maml, run.nal, strict=True)]
    advantage = np.concatenate([by_family(run, gains[0]), by_family(run, gains[1], "mixed")])
    gained = script_gain_claim(
        run.maml[0], run.nal[0], run.maml[1], run.nal[1], scripts=run.same.family
    )
    ranked = rank_claim(
        hardness,
        advantage,
        statement="Families of tasks (each script by itself, each mixture that leaves one out) "
        "that are harder are those where MAML gains more accuracy.",
    )
    return (
        script_hardness_claim(same, mixed, encoder=NAL, scripts=run.same.family),
        replace(gained, note=gained.note + trained),
        replace(
            ranked,
            note="The theory's own predicted gain is zero in head space, since labels are shuffled "
            "between tasks (W-B2), so families are ranked by measured hardness. Six families are "
            "of one script and six of mixed ones: the kind explains most of the rank.",
        ),
    )


def by_family(run: GlyphRun, values: Array, kind: str = "same") -> Array:
    """Mean of a value over the tasks of each family, ``(families,)``."""
    tasks: ScriptTasks = run.same if kind == "same" else run.mixed
    return np.array([values[tasks.family == f].mean() for f in range(len(run.scripts))])


def family_table(run: GlyphRun) -> pd.DataFrame:
    """One row a family: its hardness, and the accuracy of both trainings after adaptation."""
    rows = []
    for at, (kind, tasks) in enumerate((("same", run.same), ("mixed", run.mixed))):
        rate = by_family(run, run.rates[NAL][at].rate, kind)
        maml, nal = by_family(run, run.maml[at], kind), by_family(run, run.nal[at], kind)
        for f, script in enumerate(run.scripts):
            rows.append(
                {
                    "tasks of": script if kind == "same" else f"all scripts but {script}",
                    "tasks": int((tasks.family == f).sum()),
                    "error left by one head step": rate[f],
                    "accuracy, MAML": maml[f],
                    "accuracy, NAL": nal[f],
                    "advantage of MAML": maml[f] - nal[f],
                }
            )
    return pd.DataFrame(rows)


def hardness_table(run: GlyphRun) -> pd.DataFrame:
    """One row an encoder: how hard each kind of task is on its frozen embeddings."""
    rows = []
    for name, (same, mixed) in run.rates.items():
        order = stats.mannwhitneyu(same.rate, mixed.rate).statistic
        rows.append(
            {
                "encoder": name,
                "one head step leaves, same script": same.rate.mean(),
                "mixed scripts": mixed.rate.mean(),
                "same is the slower of a pair": order / len(same.rate) / len(mixed.rate),
                "effective dimensions, same script": same.effective_dim.mean(),
                "effective dimensions, mixed": mixed.effective_dim.mean(),
                "gap at the best division": run.splits[name].gap,
                "variance it explains": run.splits[name].explained,
            }
        )
    return pd.DataFrame(rows)


def glyph_figure(run: GlyphRun) -> tuple[Figure, str]:
    """Hardness of each family, and MAML's advantage against it."""
    same, mixed = run.rates[NAL]
    with study_style():
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _spread(left, run, same.rate, mixed.rate)
        for at, (kind, colour, label) in enumerate(
            (("same", HARD, "one script"), ("mixed", EASY, "mixed scripts"))
        ):
            gains = run.maml[at] - run.nal[at]
            tasks = run.same if kind == "same" else run.mixed
            errors = [
                2 * stats.sem(gains[tasks.family == f], ddof=1) for f in range(len(run.scripts))
            ]
            right.errorbar(
                by_family(run, run.rates[NAL][at].rate, kind),
                100 * by_family(run, gains, kind),
                100 * np.array(errors),
                fmt="o", color=colour, ms=5, elinewidth=1, label=label,
            )  # fmt: skip
        right.axhline(0, color="0.4", lw=1)
        right.set(title="Does MAML win where tasks are harder?", ylabel="MAML − NAL, points")
        right.set_xlabel("error left by one head step (mean of a family)")
        right.legend(frameon=True)
    return figure, (
        "Tasks of glyphs. Left: the share of the error that one step of head descent leaves on "
        "frozen embeddings of plain training, each dot a task: characters of one script by script, "
        "and of five different ones. Right: accuracy of MAML minus that of plain training after "
        "adaptation, by family of tasks (two standard errors over tasks), against hardness."
    )


def _spread(axes: Axes, run: GlyphRun, same: Array, mixed: Array) -> None:
    rng = np.random.default_rng(0)
    names: Sequence[str] = [*run.scripts, "mixed"]
    groups = [same[run.same.family == f] for f in range(len(run.scripts))] + [mixed]
    for place, values in enumerate(groups):
        colour = EASY if place == len(groups) - 1 else HARD
        axes.plot(
            place + rng.uniform(-0.25, 0.25, len(values)), values, "o", color=colour, ms=2.5,
            alpha=0.45, mew=0,
        )  # fmt: skip
        axes.plot([place - 0.32, place + 0.32], [values.mean()] * 2, color="0.15", lw=2)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(title="Are tasks of one script harder?", ylabel="error left by one head step")
