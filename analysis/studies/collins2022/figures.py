"""What the study looks like: five figures, made without pyplot so that nothing stays open.

Lines are closed forms, points with bars are simulations (mean ± 2 standard errors).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..study import Settings
from .beyond import NOISES, TASK_COUNTS, FeatureRun, Meeting
from .closed_form import ratio, ratio_bound, risk_at, samples_needed, starts, with_samples
from .examples import BASE, SAMPLES
from .setting import Landscape
from .simulation import fitted_position, simulate_risks
from .two_layer import Outcome, median_interval

EASY, HARD, NAL, MAML = "#4C78A8", "#E45756", "#7F7F7F", "#2CA02C"


@contextmanager
def study_style() -> Iterator[None]:
    """This study's look, restored afterwards."""
    with (
        sns.axes_style("whitegrid", {"axes.edgecolor": "0.6", "grid.color": "0.92"}),
        sns.plotting_context("notebook", font_scale=0.85),
    ):
        yield


def landscape_figure() -> tuple[Figure, str]:
    """P5: the losses of an easy and a hard task along the line, before and after one step."""
    land = replace(BASE, noise=0.0, r_easy=0.0, r_hard=0.0)
    a, b = starts(land)
    at = np.linspace(-0.25, 1.25, 301)
    easy_only, hard_only = replace(land, p_hard=0.0), replace(land, p_hard=1.0)
    before = replace(land, alpha=0.0)
    with study_style():
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, when, title in (
            (left, before, "Before adaptation"),
            (right, land, "After one step of adaptation"),
        ):
            for kind, colour, name in ((easy_only, EASY, "easy"), (hard_only, HARD, "hard")):
                one = replace(kind, alpha=when.alpha)
                axes.plot(at, [risk_at(one, t) for t in at], color=colour, label=f"{name} task")
            mean = [risk_at(when, t) for t in at]
            axes.plot(at, mean, color="0.2", ls="--", label="mean of both")
            for where, colour, name in ((a, NAL, "NAL"), (b, MAML, "MAML")):
                axes.axvline(where, color=colour, lw=1, zorder=1)
                axes.plot([where], [risk_at(when, where)], "o", color=colour, zorder=5)
                axes.annotate(
                    name,
                    (where, 0.93),
                    xycoords=("data", "axes fraction"),
                    xytext=(4, 0),
                    textcoords="offset points",
                    color=colour,
                    weight="bold",
                )
            axes.set(
                title=title,
                xlabel="start, from the easy (0) to the hard centre (1)",
                ylabel="excess risk",
                ylim=(0, None),
            )
        left.set_ylim(0, 2.0)
        right.set_ylim(0, 0.22)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure, (
        "Excess risk of an easy task (blue) and a hard one (red) along the line between their "
        "optima. Before adaptation the steep easy task dominates the mean, so NAL stops near it "
        f"(at {a:.2f}); after one step the easy task is nearly flat and the hard one is not, so "
        f"MAML moves toward the hard task (to {b:.2f})."
    )


def gain_figure(settings: Settings) -> tuple[Figure, str]:
    """P1 to P4: what the gain depends on."""
    clean = replace(BASE, noise=0.0)
    tasks = 2_000 if settings.quick else 20_000

    def line(axes: Axes, xs: Sequence[float], make: Callable[[float], Landscape]) -> None:
        axes.plot(xs, [ratio(make(x)) for x in xs], color=MAML, zorder=2)

    def points(axes: Axes, xs: Sequence[float], make: Callable[[float], Landscape]) -> None:
        for i, x in enumerate(xs):
            found = simulate_risks(make(x), tasks=tasks, seed=settings.seed + i)
            value = found.nal.mean / found.maml.mean
            # G − 1 is the paired gain over maml; adding both errors bounds the quotient's.
            error = (found.gain.error + abs(value - 1) * found.maml.error) / found.maml.mean
            axes.errorbar(x, value, 2 * error, fmt="o", color="0.2", ms=4, zorder=3)

    with study_style():
        figure = Figure(figsize=(9, 7), layout="constrained")
        figure.set_layout_engine("constrained", h_pad=0.12)
        (scatter, distance), (gap, samples) = figure.subplots(2, 2)
        radii = list(np.linspace(0, 4, 81))
        line(scatter, radii, lambda x: replace(clean, r_hard=x))
        points(scatter, (0.0, 0.5, 1.0, 2.0, 4.0), lambda x: replace(clean, r_hard=x))
        scatter.set(title="Hard optima must be packed", xlabel="scatter of hard optima, $r_H$")

        line(distance, radii, lambda x: replace(clean, distance=x))
        points(distance, (0.0, 1.0, 2.0, 4.0), lambda x: replace(clean, distance=x))
        distance.axhline(ratio_bound(clean), color="0.5", ls=":", zorder=1)
        distance.annotate("bound for any distance", (0.05, ratio_bound(clean) + 0.03), color="0.4")
        distance.set(title="…and far from the easy ones", xlabel="distance of the centres, $R$")
        distance.set_ylim(top=2.35)

        variances = list(np.geomspace(0.005, 0.9, 120))
        line(gap, variances, lambda x: replace(clean, rho_hard=x))
        exact = [ratio(replace(with_samples(clean, math.inf), rho_hard=x)) for x in variances]
        gap.plot(variances, exact, color=MAML, ls="--", label="n = ∞")
        points(gap, (0.03, 0.1, 0.3, 0.9), lambda x: replace(clean, rho_hard=x))
        gap.plot([], [], color=MAML, label="n = 200")
        gap.axvline(clean.rho_easy, color=EASY, lw=1, ls=":")
        gap.annotate("$ρ_E$", (0.93 * clean.rho_easy, 5.3), ha="right", color=EASY)
        gap.set(xscale="log", title="A gap in hardness, but not too wide")
        gap.set_xlabel("input variance of hard tasks, $ρ_H$ (harder ←)")
        gap.legend(loc="upper left", frameon=True)
        for axes in (scatter, distance, gap):
            axes.set_ylabel("risk of NAL / risk of MAML")

        counts = np.unique(np.geomspace(2, 20_000, 100).round())
        samples.plot(counts, [starts(with_samples(SAMPLES, n))[1] for n in counts], color=MAML)
        for n in (30, 100, 300, 1_000):
            fit = fitted_position(with_samples(SAMPLES, n), tasks=600, seed=settings.seed)
            samples.errorbar(n, fit.mean, 2 * fit.error, fmt="o", color="0.2", ms=4)
        samples.axhline(starts(SAMPLES)[0], color=NAL, lw=1)
        samples.annotate("NAL", (20_000, starts(SAMPLES)[0] + 0.02), color=NAL, ha="right")
        needed = samples_needed(SAMPLES)
        samples.axvline(needed, color="0.5", ls=":")
        samples.annotate(f" n* = {needed:.0f}", (needed, 0.93), color="0.4")
        samples.set(xscale="log", title="Samples decide where MAML ends", ylim=(0, 1.02))
        samples.set(xlabel="samples per task, $n$", ylabel="position of MAML (1 = hard centre)")
    return figure, (
        "How much lower MAML's risk is than NAL's, by the scatter of hard optima, the distance of "
        "the centres and the input variance of hard tasks, and where MAML ends by the number of "
        "samples per task. Lines are closed forms, points are simulations with two standard "
        "errors. The gain grows with distance up to a bound, falls with scatter, and peaks at an "
        "intermediate gap."
    )


def network_figure(outcomes: Sequence[Outcome]) -> tuple[Figure, str]:
    """P6: the two-layer network, every geometry a point."""
    with study_style():
        figure = Figure(figsize=(9, 0.45 * len(outcomes) + 2.2), layout="constrained")
        ratios, where = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
        rng = np.random.default_rng(0)
        for row, outcome in enumerate(outcomes):
            jitter = row + rng.uniform(-0.16, 0.16, len(outcome.ratio))
            ratios.plot(outcome.ratio, jitter, "o", color="0.7", ms=3.5)
            middle, low, high = median_interval(outcome.ratio)
            ratios.plot([low, high], [row, row], color=MAML, lw=2.5)
            ratios.plot([middle], [row], "o", color=MAML, ms=7)
            if outcome.scenario.distance > 0:
                nal, maml = np.median(outcome.nal_position), np.median(outcome.maml_position)
                where.annotate(
                    "", (maml, row), (nal, row), arrowprops={"arrowstyle": "->", "color": "0.4"}
                )
                where.plot([nal], [row], "o", color=NAL, label="NAL" if row == 0 else None)
                where.plot([maml], [row], "o", color=MAML, label="MAML" if row == 0 else None)
        ratios.axvline(1, color="0.4", lw=1)
        ratios.set_xscale("log")
        ratios.set_xticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"])
        ratios.minorticks_off()
        ratios.set_yticks(range(len(outcomes)), [o.scenario.name for o in outcomes])
        ratios.invert_yaxis()
        ratios.set(xlabel="risk of NAL / risk of MAML", title="Gain in a two-layer network")
        where.set(xlim=(-0.05, 1.05), xlabel="easy centre (0) to hard centre (1)")
        where.set_title("Where the starts end (medians)")
        where.legend(loc="upper right", frameon=True)
    return figure, (
        "A two-layer network trained by NAL and by MAML. Left: ratio of their risks after "
        f"adaptation in {len(outcomes[0].ratio)} random geometries (grey), median with 95 % "
        "interval (green). Right: median position of both starts. The gain is large only where "
        "hard tasks are harder, distant and packed."
    )


def hardness_figure(runs: Sequence[FeatureRun]) -> tuple[Figure, str]:
    """C-B10: rates of head descent, and gain predicted against gain realised."""
    with study_style():
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        rates, gains = figure.subplots(1, 2)
        values = np.concatenate([r.rates for r in runs])
        hard = np.concatenate([r.truly_hard for r in runs])
        bins = np.linspace(values.min() - 0.005, values.max() + 0.005, 50).tolist()
        rates.hist(values[~hard], bins=bins, color=EASY, label="easy (planted)")
        rates.hist(values[hard], bins=bins, color=HARD, label="hard (planted)")
        rates.set(title="Hardness read from head descent", ylabel="tasks")
        rates.set_xlabel("share of the error left by one step")
        rates.legend(frameon=True)
        predicted = [r.predicted for r in runs]
        realised = [r.realised.mean for r in runs]
        errors = [2 * r.realised.error for r in runs]
        ends = [0, max(predicted + realised) * 1.1]
        gains.plot(ends, ends, color="0.4", lw=1)
        gains.errorbar(predicted, realised, errors, fmt="o", color=MAML, ms=4, elinewidth=1)
        gains.set(title="Gain of MAML over NAL", xlabel="predicted from 60 tasks")
        gains.set_ylabel("on fresh tasks")
    return figure, (
        "Left: how much error one gradient step on a linear head leaves, for planted easy and hard "
        "tasks; the two kinds separate. Right: the gain of MAML over NAL predicted from 60 tasks "
        f"against the gain on fresh tasks (two standard errors), in {len(runs)} populations that "
        "differ in hardness, distance and scatter; the line is equality."
    )


def meeting_figure(meeting: Meeting) -> tuple[Figure, str]:
    """C-B11: the best training rate over noise and number of tasks."""
    with study_style():
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, distance in zip(panels, (0.0, 2.0), strict=True):
            cells = [[meeting.best[distance, m, s] for m in TASK_COUNTS] for s in NOISES]
            best = np.array([[cell.rate for cell in row] for row in cells])
            axes.pcolormesh(
                best, cmap="RdBu_r", vmin=-1.5, vmax=1.5, edgecolors="white", linewidth=0.5
            )
            for i, row in enumerate(cells):
                for j, cell in enumerate(row):
                    text = f"{cell.rate:+.1f}" if cell.rate else "0"
                    text = ("≤" if cell.rate < 0 else "≥") + text if cell.at_edge else text
                    axes.text(
                        j + 0.5,
                        i + 0.5,
                        text if cell.sign else f"({text})",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if abs(cell.rate) > 0.9 else "0.15",
                    )
            axes.set_xticks(np.arange(len(TASK_COUNTS)) + 0.5, [str(m) for m in TASK_COUNTS])
            axes.set_yticks(np.arange(len(NOISES)) + 0.5, [str(s) for s in NOISES])
            axes.set(xlabel="training tasks, $m$")
            limit = meeting.many_tasks[distance]
            many = "any rate" if math.isnan(limit) else f"{limit:+.1f}"
            axes.set_title(f"R = {distance:g}   (m → ∞: {many})")
            axes.grid(False)
        panels[0].set_ylabel("label noise, $σ$")
        scale = ScalarMappable(Normalize(-1.5, 1.5), "RdBu_r")
        bar = figure.colorbar(scale, ax=list(panels), shrink=0.9)
        bar.set_label("best training rate $α_t$")
    return figure, (
        "The best training rate (test rate held at 1) by label noise and number of training tasks, "
        "with one common centre (left) and with hard tasks at distance 2 (right). In brackets "
        "where the rate is not better than 0 by three standard errors; ≤ at the edge of the rates tried. Noise and few tasks make it "
        "negative, distant hard tasks and many tasks make it positive."
    )
