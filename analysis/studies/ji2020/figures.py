"""The study's figures: one question each, drawn from measured values only.

Blue is the strongly convex inner loss, orange the nonconvex one, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .budget import BATCHES, GRID, Budget, Floor
from .checkpoints import Inner
from .contraction import Forgetting, geometric_fall
from .convergence import Sweep, Sweeps, average_gradient
from .demo import Comparison
from .exactness import EXAMPLE, METHODS
from .flops import flops
from .hypergradient import Hypergradient
from .ledger import geometric_mean
from .problems import Array
from .smoothness import Curves

CONVEX, NONCONVEX, THIRD, QUIET = "#0072b2", "#d55e00", "#00795a", "#6e7781"


@contextmanager
def style() -> Iterator[None]:
    """This study's look, whatever the user's settings, restored afterwards."""
    look: dict[Any, Any] = {
        **sns.axes_style("ticks"),
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.6,
        "lines.markersize": 4,
        "figure.facecolor": "white",
        "svg.hashsalt": "metaprobe",
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(look)
        yield


def new_figure(panels: int, height: float = 3.1) -> tuple[Figure, Sequence[Axes]]:
    """A row of panels on a canvas of its own."""
    figure = Figure(figsize=(8.0 if panels > 1 else 5.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis in axes:
        sns.despine(ax=axis)
    return figure, list(axes)


def band(axis: Axes, x: Sequence[float], values: Array, colour: str, label: str, mark: str) -> None:
    """Median over repeats (columns) with the middle half shaded."""
    axis.plot(x, np.median(values, axis=1), mark, color=colour, label=label)
    low, high = np.quantile(values, [0.25, 0.75], axis=1)
    axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def smoothness(data: Curves) -> Figure:
    """Meta-smoothness against N: the signature of the two geometries, and the rescue."""
    with style():
        figure, (left, right) = new_figure(2)
        for curve, colour, label, mark in (
            (data.ridge, CONVEX, "strongly convex", "o-"),
            (data.deep, NONCONVEX, "nonconvex", "s-"),
        ):
            stack = np.stack([s.meta for s in curve.values()])
            band(left, list(curve), stack, colour, label, mark)
        left.set(title="Same inner rate, two heads", ylabel="largest curvature of the meta-loss")
        for values, colour, label, mark in (
            (data.fixed, NONCONVEX, "fixed rate 0.5", "s-"),
            (data.shrinking, THIRD, "rate 1.5 / N", "D-"),
        ):
            band(right, list(values), np.stack(list(values.values())), colour, label, mark)
        right.set(title="Nonconvex: cutting the rate like 1/N")
        for axis in (left, right):
            axis.set(xscale="log", yscale="log", xlabel="inner steps N")
            plain_ticks(axis, [1, 2, 5, 10, 20, 40, 80] if axis is left else [1, 3, 6, 10, 16])
            plain_heights(axis)
            axis.legend()
    return figure


def gradient_norms(data: Sweeps) -> Figure:
    """Average squared meta-gradient against N, with the controls, and its head part."""
    with style():
        figure, (left, middle, right) = new_figure(3)
        draw_average(left, data.ridge, "total", CONVEX, "strongly convex", "o-")
        draw_average(left, data.deep, "total", NONCONVEX, "nonconvex", "s-")
        left.set(title="Same rates, same tasks (C8)", ylabel="average squared meta-gradient")
        draw_average(
            middle, data.ridge_small, "total", CONVEX, "strongly convex,\nfrom zero", "o--"
        )
        draw_average(middle, data.deep_wide, "total", NONCONVEX, "nonconvex,\nfrom afar", "s--")
        middle.set(title="Starts exchanged (W2)", ylim=left.get_ylim())
        middle.sharey(left)
        draw_average(right, data.ridge, "head", CONVEX, "strongly convex", "o-")
        draw_average(right, data.deep, "head", NONCONVEX, "nonconvex", "s-")
        right.set(title="Head part only")
        for axis in (left, middle, right):
            axis.set(xscale="log", yscale="log", xlabel="inner steps N")
            plain_ticks(axis, [1, 2, 3, 5, 8, 12])
            if axis is not right:
                plain_heights(axis)
            axis.legend()
    return figure


def draw_average(axis: Axes, sweep: Sweep, part: str, colour: str, label: str, mark: str) -> None:
    """Geometric mean over repeats with its interval of ± two standard errors."""
    logs = np.log(np.stack([getattr(t, part).mean(0) for t in sweep.values()]))
    error = 2 * logs.std(1, ddof=1) / np.sqrt(logs.shape[1])
    steps = list(sweep)
    axis.plot(steps, average_gradient(sweep, part), mark, color=colour, label=label)
    low, high = np.exp(logs.mean(1) - error), np.exp(logs.mean(1) + error)
    axis.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)


def training(budget: Budget) -> Figure:
    """Meta-loss against outer iterations and against gradient evaluations."""
    shown = [n for n in (1, 3, 8, 20, 80) if n in budget.loss]
    with style():
        figure, (left, right) = new_figure(2)
        for n, colour in zip(shown, sns.color_palette("viridis", len(shown)), strict=True):
            loss = budget.loss[n]
            count = np.arange(len(loss))
            left.plot(count, loss, color=colour, label=f"N = {n}")
            right.plot(count * (n + 2), loss, color=colour)
        left.set(title="Per outer iteration", xlabel="outer iterations")
        left.set(ylabel="meta-loss (mean over problems)", yscale="log")
        right.set(title="Per gradient evaluation", xlabel="gradient evaluations")
        right.set(yscale="log", xscale="log", xlim=(10, None))
        plain_heights(left)
        plain_heights(right)
        left.legend()
    return figure


def best_steps(found: Sequence[Budget]) -> Figure:
    """Which number of inner steps is cheapest, for two condition numbers."""
    with style():
        figure, (axis,) = new_figure(1)
        width = 0.38
        for shift, budget, colour in zip((-0.5, 0.5), found, (CONVEX, THIRD), strict=True):
            share = [float((budget.best == n).mean()) for n in GRID]
            x = np.arange(len(GRID)) + shift * width
            axis.bar(x, share, width, color=colour, label=f"κ at most {budget.condition:.0f}")
        axis.set_xticks(range(len(GRID)), [str(n) for n in GRID])
        axis.set(xlabel="inner steps N", ylabel="share of problems where N is cheapest")
        axis.set(title="Cheapest number of inner steps")
        axis.legend()
    return figure


def hypergradient(data: Hypergradient, head: Forgetting) -> Figure:
    """Geometric approach to the limit: the body's meta-gradient and the head's."""
    with style():
        figure, (left, right) = new_figure(2)
        steps = np.arange(1.0, len(data.error))
        for error, q, colour, label in (
            (data.error, data.factor, CONVEX, "α = 1/L"),
            (data.faster, data.faster_factor, THIRD, "α = 2/(L+μ)"),
        ):
            band(left, steps.tolist(), np.maximum(error[1:], 1e-12), colour, label, "-")
            left.plot(steps, steps * q**steps, ":", color=colour, label=f"N q^N, q = {q:.3f}")
        left.set(title="Body: distance to a head solved exactly", xlabel="inner steps N")
        left.set(yscale="log", ylim=(1e-9, 20), ylabel="relative error of the meta-gradient")
        left.legend()
        right.plot(head.steps, geometric_fall(head), "o-", color=CONVEX, label="measured")
        bound = geometric_mean((head.norm / head.ratio).T)
        right.plot(head.steps, bound, ":", color=CONVEX, label="bound q^N")
        right.set(title="Head: size of its meta-gradient", xlabel="inner steps N")
        right.set(yscale="log", ylabel="norm of the meta-gradient")
        right.legend()
    return figure


def costs() -> Figure:
    """Operations of one meta-gradient against N, for three methods."""
    names = {"anil": "ANIL", "maml": "MAML", "fomaml": "first-order MAML"}
    steps = np.arange(1, 21)
    with style():
        figure, (axis,) = new_figure(1)
        for method, colour in zip(METHODS, (CONVEX, NONCONVEX, QUIET), strict=True):
            cost = [flops(method, **EXAMPLE, steps=int(n)) / 1e6 for n in steps]
            axis.plot(steps, cost, color=colour)
            axis.annotate(
                names[method], (20, cost[-1]), xytext=(0, 4), textcoords="offset points",
                ha="right", color=colour,
            )  # fmt: skip
        axis.set(xlabel="inner steps N", ylabel="million operations per task", ylim=(0, None))
        axis.set(title="ANIL runs the body once, whatever N is")
        axis.set_xticks([1, 5, 10, 15, 20])
    return figure


def noise_floor(data: Floor) -> Figure:
    """Stationary squared meta-gradient against tasks per batch."""
    with style():
        figure, (axis,) = new_figure(1)
        band(axis, list(BATCHES), data.level, CONVEX, "measured", "o-")
        first = float(np.median(data.level[0]))
        axis.plot(BATCHES, first / np.array(BATCHES), ":", color=QUIET, label="1/B")
        axis.set(xscale="log", yscale="log", xlabel="tasks per batch B")
        axis.set(ylabel="squared meta-gradient, levelled off")
        axis.set(title="Sampling noise sets a floor")
        plain_ticks(axis, BATCHES)
        axis.legend()
    return figure


def two_bodies(data: Comparison) -> Figure:
    """The same rate on two encoders, and each at the rate its curvature asks for."""
    with style():
        figure, (left, right) = new_figure(2)
        for axis, curves in ((left, data.copied), (right, data.scaled)):
            for (name, curve), colour in zip(curves.items(), (QUIET, CONVEX), strict=True):
                axis.plot(curve, color=colour, label=name)
            axis.axhline(0.9, color=QUIET, linewidth=0.7, linestyle=":")
            axis.set(xlabel="inner steps N", ylim=(-0.05, 1.05))
            axis.legend(loc="lower right")
        left.set(title=f"Rate {data.rate:g} copied to both")
        left.set(ylabel="share of the possible decrease")
        right.set(title="Each at its own 1/L")
    return figure


def shipped_encoders(found: Sequence[Inner]) -> Figure:
    """The head's curvature against what its rate allows, and how each layer bends."""
    names = [inner.name.replace("-glyphs-s0", "") for inner in found]
    with style():
        figure, (left, right) = new_figure(2)
        for place, inner in enumerate(found):
            values = [spectrum[-1] for spectrum in inner.spectra]
            left.plot([place] * len(values), values, "o", color=CONVEX, alpha=0.5, mew=0)
            left.plot([place - 0.3, place + 0.3], [2 / inner.alpha] * 2, color=NONCONVEX, lw=2)
        left.set(yscale="log", ylabel="largest curvature L of the head's loss")
        left.set(title="The head, and the limit 2/α of its rate")
        left.set_xticks(range(len(names)), names, rotation=30, ha="right")
        groups = [g for g in found[0].geometry[0].groups if g not in ("head", "body")]
        for inner, name, marker in zip(found, names, "osD^vx", strict=False):
            ends = [inner.curvatures(group) for group in groups]
            right.plot([-low / top for top, low in ends], marker=marker, label=name, lw=1)
        right.set(yscale="log", ylabel="−smallest / largest curvature")
        right.set(title="How much each part's loss bends down")
        right.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
        right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def plain_ticks(axis: Axes, values: Sequence[int]) -> None:
    """Whole numbers at chosen places on a logarithmic x axis."""
    axis.set_xticks(list(values), [str(v) for v in values])
    axis.xaxis.set_minor_locator(NullLocator())


def plain_heights(axis: Axes) -> None:
    """Readable numbers on a logarithmic y axis that spans little more than a decade."""
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.yaxis.set_minor_locator(NullLocator())
