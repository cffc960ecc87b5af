"""Figures 2 and 3 of the paper re-made, and two of our own: the sign, and where it stops.

``sweep`` makes the numbers, ``draw_*`` the pictures; a picture is a function of its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .closed_form import displacement, loss_from_displacement
from .experiment import literal_test_loss
from .moments import Array
from .published import FIXED_RATE
from .rates import best_test_rate, best_train_rate
from .setting import Form, Setting
from .simulation import mean_and_error, simulate

LEADING, REFINED, EXACT, LITERAL = sns.color_palette("colorblind", 4)
STEP_LABEL = r"$\alpha_t$ times the largest variance"
TEST_RATES = np.linspace(-0.1, 0.5, 25)


def sweep(
    setting: Setting,
    train_rates: Array,
    literal_at: tuple[float, ...],
    *,
    runs: int,
    literal_runs: int,
    seed: int,
) -> pd.DataFrame:
    """Loss over ``α_r`` (panel a, ``α_t`` fixed) and over ``α_t`` (panel b, ``α_r`` fixed).

    Args:
        setting: The figure's sizes and scales.
        train_rates: Rates of panel b.
        literal_at: Rates of both panels at which the literal experiment is run too.
        runs: Meta-training runs of the exact simulation.
        literal_runs: Runs of the literal experiment.
        seed: Of both.

    Returns:
        A row per panel and rate: leading and refined form, simulation and its standard error,
        literal experiment and its standard error (missing where it was not run).
    """
    fixed = np.array([FIXED_RATE])
    pieces = []
    for panel, train, test in (("a", fixed, TEST_RATES), ("b", train_rates, fixed)):
        solved = simulate(setting, train, runs=runs, seed=seed + (panel == "b")).parts.displacement(
            setting
        )
        losses = loss_from_displacement(setting, test, solved)
        columns = [mean_and_error(column) for column in losses.T]
        piece = pd.DataFrame(
            {
                "panel": panel,
                "rate": test if panel == "a" else train,
                "leading": formula(setting, train, test, form="leading"),
                "refined": formula(setting, train, test, form="refined"),
                "simulated": [mean for mean, _ in columns],
                "standard error": [error for _, error in columns],
            }
        )
        literal = pd.DataFrame(
            [
                literal_test_loss(
                    setting,
                    alpha_train=FIXED_RATE if panel == "a" else rate,
                    alpha_test=rate if panel == "a" else FIXED_RATE,
                    runs=literal_runs,
                    seed=seed + 10 + place,
                )
                for place, rate in enumerate(literal_at)
            ],
            columns=["literal", "literal standard error"],
        )
        nearest = [int(np.argmin(np.abs(piece["rate"].to_numpy() - rate))) for rate in literal_at]
        pieces.append(piece.join(literal.set_index(pd.Index(nearest))))
    return pd.concat(pieces, ignore_index=True)


def formula(setting: Setting, train: Array, test: Array, *, form: Form) -> Array:
    """The closed form over either rate; the arrays broadcast."""
    return loss_from_displacement(setting, test, displacement(setting, train, form=form))


def draw_sweep(setting: Setting, table: pd.DataFrame) -> Figure:
    """Figure 2 or 3 from its table."""
    with _style():
        figure = Figure(figsize=(10.0, 4.2), layout="constrained")
        axes = figure.subplots(1, 2)
        fixed = np.array(FIXED_RATE)
        moved = displacement(setting, fixed, form="leading")
        best = {
            "a": float(best_test_rate(setting, moved)),
            "b": best_train_rate(setting, form="leading"),
        }
        for ax, panel in zip(axes, "ab", strict=True):
            rows = table[table["panel"] == panel]
            fine = np.linspace(rows["rate"].min(), rows["rate"].max(), 301)
            train, test = (fixed, fine) if panel == "a" else (fine, fixed)
            _line(ax, fine, formula(setting, train, test, form="leading"), LEADING, "leading order")
            _line(
                ax,
                fine,
                formula(setting, train, test, form="refined"),
                REFINED,
                "refined form",
                "--",
            )
            ax.plot(
                rows["rate"], rows["simulated"], "o", ms=4, color=EXACT, label="exact simulation"
            )
            drawn = rows.dropna(subset=["literal"])
            ax.errorbar(
                drawn["rate"],
                drawn["literal"],
                yerr=1.96 * drawn["literal standard error"],
                fmt="D",
                ms=6,
                mfc="none",
                capsize=3,
                color=LITERAL,
                label="literal experiment, 95 % interval",
            )
            ax.axvline(0.0, color="0.8", lw=1, zorder=0)
            ax.axvline(best[panel], color=LEADING, lw=1, ls=":", zorder=0)
            ax.annotate(
                f"best {best[panel]:+.3f}".replace("-", "−"),
                (best[panel], 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(5, 0),
                textcoords="offset points",
                va="top",
                color=LEADING,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
            ax.set_ylabel("expected loss on a new task")
        axes[0].set(
            title="(a) the rate used on the new task",
            xlabel=rf"$\alpha_r$  (with $\alpha_t$ = {FIXED_RATE})",
        )
        axes[1].set(
            title="(b) the rate used in meta-training",
            xlabel=rf"$\alpha_t$  (with $\alpha_r$ = {FIXED_RATE})",
        )
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return figure


def draw_signs(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Every random setting as one curve: what the training rate gains or costs, and where.

    Args:
        curves: By title of the panel: columns ``setting``, ``rate`` in units of the predicted best
            rate's size, ``change`` in units of the largest gain.
    """
    with _style():
        figure = Figure(figsize=(10.0, 4.2), layout="constrained")
        for ax, (title, table) in zip(figure.subplots(1, 2), curves.items(), strict=True):
            table = table[table["rate"].abs() <= 4.0]
            for _, part in table.groupby("setting"):
                ax.plot(part["rate"], part["change"], color=EXACT, lw=1, alpha=0.6)
                _mark_lowest(ax, part["rate"], part["change"], EXACT)
            ax.axvline(0.0, color="0.8", lw=1, zorder=0)
            ax.axhline(0.0, color="0.8", lw=1, zorder=0)
            ax.set(title=title, xlim=(-4.0, 4.0), ylim=(-1.15, 2.0))
            ax.set(
                xlabel=r"$\alpha_t$ / |predicted best $\alpha_t$|",
                ylabel="change of V, in largest gains",
            )
    return figure


def draw_limits(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """L1, L2 and L3 side by side: relative change of the loss from rate 0."""
    with _style():
        figure = Figure(figsize=(13.0, 5.0), layout="constrained")
        tied, unequal, network = figure.subplots(1, 3)
        _draw_tied(tied, curves["tied rates"])
        rows = curves["unequal inputs"]
        rows = rows[rows["exponent"] == rows["exponent"].max()]
        for (cause, part), color in zip(
            rows.groupby("cause", sort=False), (LEADING, REFINED, EXACT), strict=True
        ):
            _line(unequal, part["step"], 100 * part["change"], color, str(cause))
            _mark_lowest(unequal, part["step"], 100 * part["change"], color)
        unequal.set(title="L2  unequal inputs, one cause at a time", xlabel=STEP_LABEL)
        rows = curves["tangent network"]
        for (noise, part), color in zip(
            rows.groupby("label noise"), (LEADING, REFINED), strict=True
        ):
            _line(network, part["step"], 100 * part["change"], color, f"label noise {noise:g}")
            low, high = part["change"] - part["half width"], part["change"] + part["half width"]
            network.fill_between(part["step"], 100 * low, 100 * high, color=color, alpha=0.2, lw=0)
        network.set(title="L3  two-layer network near its start", xlabel=STEP_LABEL)
        for ax in (tied, unequal, network):
            ax.axvline(0.0, color="0.8", lw=1, zorder=0)
            ax.axhline(0.0, color="0.8", lw=1, zorder=0)
            ax.set_ylabel("change of the loss from rate 0, %")
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False, fontsize=9)
    return figure


def _draw_tied(ax: Axes, curves: pd.DataFrame) -> None:
    rows = curves[(curves["setting"] == "figure 3") & curves["rate"].between(-0.2, 0.3)]
    names = {
        "alpha_test fixed": r"$\alpha_t$ alone, $\alpha_r$ fixed",
        "tied": "one rate for both",
        "meta-training": "meta-training loss",
    }
    for (quantity, name), color in zip(names.items(), (LEADING, REFINED, EXACT), strict=True):
        part = rows[rows["quantity"] == quantity]
        at_zero = float(part.loc[part["rate"] == 0.0, "loss"].iloc[0])
        change = 100 * (part["loss"] / at_zero - 1.0)
        _line(ax, part["rate"], change, color, name, "--" if quantity == "meta-training" else "-")
        _mark_lowest(ax, part["rate"], change, color)
    ax.set(title=r"L1  tied rates are not $\alpha_t$", xlabel="rate", ylim=(-15, 35))


def _line(
    ax: Axes,
    x: Array | pd.Series[float],
    y: Array | pd.Series[float],
    color: object,
    label: str,
    style: str = "-",
) -> None:
    ax.plot(np.asarray(x), np.asarray(y), style, color=color, lw=2, label=label)


def _mark_lowest(ax: Axes, x: pd.Series[float], y: pd.Series[float], color: object) -> None:
    place = int(np.argmin(y.to_numpy()))
    ax.plot(x.iloc[place], y.iloc[place], "v", ms=9, color=color, mec="white")


@contextmanager
def _style() -> Iterator[None]:
    """Seaborn's plain ticks, for as long as one figure is made."""
    with sns.axes_style("ticks", {"axes.spines.top": False, "axes.spines.right": False}):
        yield
