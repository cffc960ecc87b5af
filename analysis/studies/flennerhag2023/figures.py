"""The pictures of the study: each answers one question, drawn without pyplot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .layer_rates import Trained
from .oracle import Vector

COLOURS: Mapping[str, tuple[float, float, float]] = dict(
    zip(
        ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey"),
        sns.color_palette("colorblind", 8),
        strict=True,
    )
)
STYLE: Mapping[str, tuple[str, str]] = {
    "GD": ("grey", "-"),
    "MG, constant weights": ("orange", "-"),
    "MG, growing weights": ("orange", ":"),
    "OMG": ("blue", "-"),
    "FISTA": ("green", "--"),
    "AdaOMG": ("purple", "-."),
}


@contextmanager
def _canvas(
    columns: int, width: float = 4.2, height: float = 3.6
) -> Iterator[tuple[Figure, list[Axes]]]:
    with sns.axes_style("whitegrid", {"grid.color": ".9", "axes.edgecolor": ".4"}):
        figure = Figure(figsize=(width * columns, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False)[0]
        yield figure, list(axes)
    for axis in axes:
        sns.despine(ax=axis)


def _end(axis: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title, fontsize=10, loc="left")


def draw_rates(
    quadratic: Mapping[str, Vector],
    logistic: Mapping[str, Vector],
    bounds: Mapping[str, Vector],
) -> Figure:
    """Gap against steps on both problems, log-log, with the two proved bounds on the first."""
    with _canvas(2, 4.6, 3.9) as (figure, axes):
        for axis, curves, title in zip(
            axes,
            (quadratic, logistic),
            ("Quadratic, curvatures 1e-9 to 1", "Logistic regression, soft labels"),
            strict=True,
        ):
            for label, values in curves.items():
                if label in STYLE:
                    colour, dash = STYLE[label]
                    steps = np.arange(1, len(values) + 1)
                    axis.loglog(steps, values, dash, color=COLOURS[colour], label=label, lw=1.6)
            _end(axis, "steps T", "f(average) − f*", title)
        for label, values in bounds.items():
            steps = np.arange(1, len(values) + 1)
            axes[0].loglog(steps, values, color=".3", lw=0.8, ls=(0, (1, 2)))
            axes[0].annotate(
                label, (steps[-1], values[-1]), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=8, color=".3",
            )  # fmt: skip
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8
        )
    return figure


def draw_counterexample(
    growing: Vector, optimistic: Vector, constant: Vector, lessard: Mapping[str, Vector]
) -> Figure:
    """Left: f over steps on the one-sided parabola. Right: iterates on Lessard's function."""
    with _canvas(2, 4.6, 3.6) as (figure, axes):
        for label, values, colour in (
            ("growing weights, no hint", growing, "orange"),
            ("growing weights and hint (OMG)", optimistic, "blue"),
            ("constant weights, no hint", constant, "grey"),
        ):
            blocks = values[: len(values) // 50 * 50].reshape(-1, 50).max(axis=1)
            steps = 50 * np.arange(1, len(blocks) + 1)
            axes[0].semilogy(steps, blocks, color=COLOURS[colour], lw=1.6, label=label)
        axes[0].legend(frameon=False, fontsize=8, loc="center right")
        _end(
            axes[0],
            "steps",
            "f, largest in each 50 steps",
            "Parabola with two curvatures, 1 and 0.3327",
        )
        for label, colour in (("momentum", "orange"), ("optimism", "blue")):
            points = lessard[label][:60]
            axes[1].plot(points, "o-", color=COLOURS[colour], ms=3, lw=0.8, label=label)
        axes[1].legend(frameon=False, fontsize=8)
        _end(axes[1], "steps", "x", "Lessard's function, best constant momentum")
    return figure


def draw_conditioning(counts: pd.DataFrame, hints: Mapping[float, Vector]) -> Figure:
    """Left: steps to 1e-8 against the condition number. Right: how good the hint must be."""
    colours = {
        "GD, step 1/L": "grey", "GD, step 2/(L+m)": "brown",
        "heavy ball = MG": "orange", "Nesterov = OMG": "blue",
    }  # fmt: skip
    with _canvas(2, 4.6, 3.6) as (figure, axes):
        for name, rows in counts.groupby("method", sort=False):
            mean = rows.groupby("kappa")["steps"].mean()
            axes[0].loglog(
                mean.index, mean.to_numpy(), "o-", color=COLOURS[colours[str(name)]],
                label=str(name), ms=4,
            )  # fmt: skip
        axes[0].legend(frameon=False, fontsize=8)
        _end(axes[0], "condition number κ", "steps to f ≤ 1e-8", "Strongly convex quadratics")
        shades = sns.color_palette("crest", len(hints) - 1)
        tones = iter(shades)
        for scale, values in sorted(hints.items()):
            colour = COLOURS["red"] if scale < 0 else next(tones)
            shown = np.where((values < 1e3) & np.isfinite(values), values, np.nan)
            axes[1].loglog(
                np.arange(1, len(values) + 1),
                shown,
                color=colour,
                lw=1.4,
                label=f"{scale:g}".replace("-", "−"),
            )
        axes[1].legend(
            title="hint = … × last gradient", frameon=False, fontsize=8, title_fontsize=8
        )
        _end(axes[1], "steps T", "f(average)", "Log-uniform quadratic, growing weights")
    return figure


def draw_element_wise(quadratics: pd.DataFrame, digits: pd.DataFrame) -> Figure:
    """Left, middle: cumulative loss against the tuned fixed rate. Right: digits, online loss."""
    names = {"mg": "standard (MG)", "omg": "hinted (OMG)", "bmg": "bootstrapped (BMG)"}
    colours = {"fixed": "grey", "mg": "orange", "omg": "green", "bmg": "blue"}
    with _canvas(3, 3.9, 3.7) as (figure, axes):
        for axis, (orientation, rows) in zip(
            axes, quadratics.groupby("orientation", sort=False), strict=False
        ):
            for offset, kind in zip((0.85, 1.0, 1.18), names, strict=True):
                axis.plot(
                    rows["kappa"] * offset, rows[kind] / rows["fixed"], "o", ms=4, alpha=0.6,
                    color=COLOURS[colours[kind]], label=names[kind],
                )  # fmt: skip
            axis.axhline(1, color=".3", lw=0.8)
            axis.set(xscale="log", ylim=(0, 1.15))
            _end(axis, "condition number κ", "loss / loss of the best fixed rate",
                 f"Quadratics, {orientation}")  # fmt: skip
        smooth = digits.assign(block=(digits["step"] - 1) // 20 * 20 + 10)
        for name, rows in smooth.groupby("kind", sort=False):
            per_seed = rows.groupby(["block", "seed"])["loss"].mean().unstack()
            mean = per_seed.mean(axis=1)
            tone = COLOURS[colours[str(name)]]
            axes[2].plot(mean.index, mean, color=tone, label=names.get(str(name), "fixed rate"))
            axes[2].fill_between(
                mean.index, per_seed.min(axis=1), per_seed.max(axis=1), color=tone, alpha=0.15, lw=0
            )
        axes[2].set_yscale("log")
        _end(axes[2], "steps", "loss on the next batch, nats", "Digits, small network")
        handles, labels = axes[2].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8
        )
    return figure


def draw_few_shot(table: pd.DataFrame, tensors: Sequence[str]) -> Figure:
    """Left: test error by learner and seed. Right: the learned rate of every tensor."""
    learners = list(dict.fromkeys(table["learner"]))
    tones = dict(zip(learners, sns.color_palette("colorblind", len(learners)), strict=True))
    last = max(c for c in table.columns if c.startswith("k="))
    with _canvas(2, 5.0, 3.7) as (figure, axes):
        for row, name in enumerate(learners):
            errors = table.loc[table["learner"] == name, last].to_numpy(dtype=np.float64)
            shown = np.minimum(errors, 10)
            axes[0].plot(shown, np.full(errors.size, row), "o", color=tones[name], alpha=0.5)
            axes[0].plot(np.median(shown), row, "|", color=tones[name], ms=18, mew=2)
        axes[0].set_yticks(range(len(learners)), learners)
        axes[0].set(ylim=(len(learners) - 0.5, -0.5), xscale="log")
        axes[0].set_xticks([1.5, 2, 3, 5, 10], ["1.5", "2", "3", "5", "10+"])
        axes[0].set_xticks([], minor=True)
        _end(axes[0], "test error after adaptation, squared", "", "Sinusoid tasks, unseen")
        for name in learners:
            rates = table.loc[table["learner"] == name, list(tensors)]
            middle = rates.median()
            axes[1].semilogy(middle.to_numpy(), "o-", color=tones[name], label=name, ms=4, lw=1)
        axes[1].set_xticks(range(len(tensors)), tensors, rotation=30, ha="right")
        axes[1].legend(frameon=False, fontsize=7)
        _end(axes[1], "", "learned inner rate", "Which layers adapt")
    return figure


def draw_layer_rates(found: Sequence[Trained]) -> Figure:
    """Left: accuracy of each pair. Middle: learning curves. Right: the rate of every tensor."""
    tones = {"LSLR": COLOURS["orange"], "BMG": COLOURS["blue"]}
    names = {"LSLR": "plain meta-gradient (LSLR)", "BMG": "bootstrapped, L = 5 (BMG)"}
    tensors = list(found[0].rates)
    with _canvas(3, 4.3, 4.2) as (figure, axes):
        for seed in sorted({one.seed for one in found}):
            pair = {one.learner: one.accuracy for one in found if one.seed == seed}
            axes[0].plot([0, 1], [pair["LSLR"], pair["BMG"]], color=".7", lw=1, zorder=1)
            for place, (learner, tone) in enumerate(tones.items()):
                axes[0].plot(place, pair[learner], "o", color=tone, ms=6)
        axes[0].set_xticks([0, 1], list(tones))
        axes[0].set_xlim(-0.4, 1.4)
        _end(axes[0], "", "query accuracy, %", "Unseen scripts, after adaptation")
        for learner, tone in tones.items():
            ours = [one for one in found if one.learner == learner]
            curves = np.stack([one.curve for one in ours])
            _with_range(axes[1], ours[0].looks, curves, tone, names[learner])
            rates = np.array([[one.rates[n] for n in tensors] for one in ours])
            places = np.arange(len(tensors)) + (0.12 if learner == "BMG" else -0.12)
            middle = rates.mean(axis=0)
            spread = np.abs(np.stack([rates.min(axis=0), rates.max(axis=0)]) - middle)
            axes[2].errorbar(middle, places, xerr=spread, fmt="o", color=tone, ms=4, lw=1.2)
        _end(axes[1], "updates", "validation accuracy, %", "While training")
        axes[2].axvline(0, color=".3", lw=0.8)
        axes[2].axvline(found[0].first_rate, color=".3", lw=0.8, ls=(0, (1, 2)))
        axes[2].set_yticks(
            range(len(tensors)), [n.removeprefix("body.") for n in tensors], fontsize=8
        )
        axes[2].invert_yaxis()
        _end(axes[2], "learned inner rate (dotted: at the start)", "", "Which layers adapt")
        handles, labels = axes[1].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8
        )
    return figure


def _with_range(
    axis: Axes, at: Vector, values: Vector, tone: tuple[float, float, float], label: str
) -> None:
    """The mean over rows (S, V) as a line, their range as a band."""
    axis.plot(at, values.mean(axis=0), color=tone, label=label)
    axis.fill_between(at, values.min(axis=0), values.max(axis=0), color=tone, alpha=0.15, lw=0)
