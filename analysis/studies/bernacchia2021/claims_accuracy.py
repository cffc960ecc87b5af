"""Claims about the formulas: how far each lies from the exact answer, and from the paper's figures.

The paper's formulas are leading orders. What they leave out is small in its figures and grows
towards the interpolation threshold; the refined forms, derived here, take most of it back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..study import Claim, Settings
from .closed_form import displacement, loss_from_displacement, parts
from .evidence import FOUR_ERRORS, Finding, Order, order_of, second_order, verdict
from .published import (
    CAPTION_SCALE_3,
    FIGURE_2,
    FIGURE_2B_FLOOR,
    FIGURE_2B_PEAK,
    FIGURE_3,
    FIGURE_3B_AT_ZERO,
    FIGURE_3B_AXIS,
    FIGURE_3B_ENDS,
    FIXED_RATE,
    READING_ERROR,
)
from .rates import best_train_rate
from .setting import Setting
from .simulation import mean_and_error, simulate

NOISE_RATES = np.array([-2.0, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 2.0])

TRUSTED_CROWDING = 0.17
"""The refined form is trusted where ``(n_v+1)/(p−(m−1)n_v)`` is at most this and ``n_t ≥ p/2``."""


def noise_part(settings: Settings) -> Finding:
    """C-A3 and C-A4: the noise part of the over-parameterised ``V``, leading and refined."""
    shapes = [
        (30, 1, 6),
        (30, 2, 3),
        (30, 3, 2),
        (30, 6, 1),
        (30, 6, 4),
        (30, 10, 3),
        (5, 4, 5),
        (5, 8, 3),
    ]
    rows: list[dict[str, Any]] = []
    for place, (n_train, n_val, tasks) in enumerate(shapes):
        setting = Setting(n_train, n_val, 20, tasks, 60, 1.0, 0.0)
        solved = simulate(
            setting,
            NOISE_RATES,
            runs=1000 if settings.quick else 6000,
            seed=settings.seed + 200 + place,
        ).parts.noise
        mean = solved.mean(axis=0)
        error = solved.std(axis=0, ddof=1) / np.sqrt(len(solved)) / mean
        leading = parts(setting, NOISE_RATES, form="leading").noise / mean - 1.0
        refined = parts(setting, NOISE_RATES, form="refined").noise / mean - 1.0
        crowding = (n_val + 1) / (setting.dim - (tasks - 1) * n_val)
        worst = int(np.argmax(np.abs(refined)))
        rows.append(
            {
                "n_train": n_train,
                "n_val": n_val,
                "tasks": tasks,
                "N/p": setting.rows / setting.dim,
                "crowding": crowding,
                "trusted": crowding <= TRUSTED_CROWDING and n_train >= setting.dim / 2,
                "leading: least missing": float(-leading.max()),
                "leading: most missing": float(-leading.min()),
                "refined: largest error": float(abs(refined[worst])),
                "simulation error": float(error[worst]),
            }
        )
    table = pd.DataFrame(rows)
    return Finding(
        (_leading_order(settings, table), _refined_accuracy(table)), {"noise part": table}
    )


def _leading_order(settings: Settings, table: pd.DataFrame) -> Claim:
    sizes = (1, 2) if settings.quick else (1, 2, 4)
    rates = np.array([-1.0, 0.5])
    errors: list[list[tuple[float, float]]] = []
    for size in sizes:
        setting = replace(FIGURE_2, n_train=30 * size, n_test=20 * size, dim=60 * size)
        runs = (3000 if settings.quick else 8000) // (1 if size == 1 else 2)
        solved = simulate(setting, rates, runs=runs, seed=settings.seed + 220 + size)
        loss = solved.loss(setting, np.array(FIXED_RATE))
        formula = loss_from_displacement(
            setting, np.array(FIXED_RATE), displacement(setting, rates, form="leading")
        )
        errors.append([mean_and_error(each) for each in (loss - formula).T])
    orders = [
        order_of(coarse, fine, growth=2.0)
        for coarse, fine in zip(errors[-2], errors[-1], strict=True)
    ]
    missing = float(table["leading: least missing"].min())
    most = float(table["leading: most missing"].max())
    return Claim(
        id="C-A3",
        statement="The paper's over-parameterised formula is a leading order: its error in the "
        "loss falls as 1/ξ² when dim, n_train and n_test all grow as ξ.",
        source="closed form F4, the paper's; its order is derived, the theorem's own bound was not obtainable",
        published=None,
        published_status="not obtainable",
        measured=f"order {_orders(orders)} between ξ = {sizes[-2]} and {sizes[-1]} (α_t = −1; "
        f"0.5); at ξ = 1 it is low by {errors[0][0][0]:.4f} and {errors[0][1][0]:.4f}; of the "
        f"noise part alone it misses {missing:.0%} to {most:.0%} over eight shapes",
        estimate=orders[0].value,
        interval=(orders[0].low, orders[0].high),
        rule="SUPPORTED if doubling ξ divides the error by 3.3 to 4.8 at both rates (order log₂ 3.3 "
        "= 1.72 to log₂ 4.8 = 2.26) with the whole 95 % interval, REFUTED if one interval lies "
        "wholly outside, else NOT SHOWN",
        verdict=second_order(orders, low=np.log2(3.3), high=np.log2(4.8)),
    )


def _refined_accuracy(table: pd.DataFrame) -> Claim:
    trusted = table[table["trusted"]]
    error, doubt = trusted["refined: largest error"], trusted["simulation error"]
    outside = float(table.loc[~table["trusted"], "refined: largest error"].max())
    return Claim(
        id="C-A4",
        statement="The refined formula for fewer judged rows than weights is within 3 % of the exact noise part "
        f"where (n_v+1)/(p−(m−1)n_v) ≤ {TRUSTED_CROWDING} and n_t ≥ p/2.",
        source="derived (closed form F6)",
        published=None,
        published_status="derived",
        measured=f"largest error in the trusted zone {error.max():.1%} "
        f"({len(trusted)} shapes, eight rates each); outside it up to {outside:.0%}",
        estimate=float(error.max()),
        rule="SUPPORTED if every error plus 2 standard errors is at most 3 %, REFUTED if one minus "
        "4 standard errors is above 3 %, else NOT SHOWN",
        verdict=verdict(
            supported=bool(np.all(error + 2 * doubt <= 0.03)),
            refuted=bool(np.any(error - 4 * doubt > 0.03)),
        ),
        note="It degrades for few inner rows with many judged rows; there, simulate.",
    )


def under_order(settings: Settings) -> Finding:
    """C-A10: the error of F8 falls as 1/m², and F9 takes most of it away."""
    counts = (20, 40, 80) if settings.quick else (40, 80, 160)
    rates = np.array([-0.4, 0.4])
    rows: list[dict[str, Any]] = []
    errors: list[list[tuple[float, float]]] = []
    for count in counts:
        setting = replace(FIGURE_3, tasks=count)
        runs = 6400 // count if settings.quick else 24000 // count
        solved = simulate(setting, rates, runs=runs, seed=settings.seed + 240 + count)
        moved = solved.parts.displacement(setting)
        leading = displacement(setting, rates, form="leading")
        refined = displacement(setting, rates, form="refined")
        each = [mean_and_error(column) for column in moved.T]
        errors.append([(mean - value, se) for (mean, se), value in zip(each, leading, strict=True)])
        for place, rate in enumerate(rates):
            mean, error = each[place]
            rows.append(
                {
                    "tasks": count,
                    "alpha_train": float(rate),
                    "V simulated": mean,
                    "standard error": error,
                    "V leading": float(leading[place]),
                    "V refined": float(refined[place]),
                    "leading error · m²": (mean - float(leading[place])) * count**2,
                }
            )
    table = pd.DataFrame(rows)
    orders = [
        order_of(coarse, fine, growth=counts[-1] / counts[0])
        for coarse, fine in zip(errors[0], errors[-1], strict=True)
    ]
    at_paper = table[table["tasks"] == FIGURE_3.tasks]
    gaps = "; ".join(
        f"α_t = {row['alpha_train']:+.1f}: "
        f"leading {row['V leading'] / row['V simulated'] - 1:+.1%}, "
        f"refined {row['V refined'] / row['V simulated'] - 1:+.1%}"
        for _, row in at_paper.iterrows()
    )
    claim = Claim(
        id="C-A10",
        statement="The formula for more judged rows than weights is exact at order 1/m: its error in V "
        "falls as 1/m² with the number m of tasks.",
        source="derived (closed forms F8 and F9)",
        published=None,
        published_status="not obtainable",
        measured=f"order {_orders(orders)} between m = {counts[0]} and {counts[-1]} (α_t = −0.4; "
        f"0.4); at m = 40, {gaps}",
        estimate=orders[0].value,
        interval=(orders[0].low, orders[0].high),
        rule="SUPPORTED if the 95 % interval of the order lies within [1.7, 2.3] at both rates, "
        "REFUTED if one lies wholly outside, else NOT SHOWN",
        verdict=second_order(orders),
        note="The refined form is poor where n_val·tasks is below twice dim.",
    )
    return Finding((claim,), {"order in tasks": table})


def figure_two(table: pd.DataFrame) -> Claim:
    """C-A12: figure 2b from the formulas and from simulation; ``table`` is the figure's own."""
    panel = table[table["panel"] == "b"]
    leading = panel["leading"].to_numpy()
    rate = panel["rate"].to_numpy()
    floor, peak = int(np.argmin(leading)), int(np.argmax(leading))
    miss = max(abs(leading[floor] - FIGURE_2B_FLOOR), abs(leading[peak] - FIGURE_2B_PEAK))
    placed = abs(rate[floor] + 1.0) <= 0.15 and abs(rate[peak] - 0.5) <= 0.15
    gap = np.abs(panel["simulated"] - panel["refined"])
    excess = float(np.max(gap - FOUR_ERRORS * panel["standard error"]))
    holds = miss <= READING_ERROR and placed and excess <= 0
    return Claim(
        id="C-A12",
        statement="Figure 2b is reproduced: the leading form is the paper's theory curve, and "
        "exact simulation lies on the refined form.",
        source="figure 2b",
        published=f"floor {FIGURE_2B_FLOOR} near α_t = −1, peak {FIGURE_2B_PEAK:.3f} near 0.5",
        published_status="digitised",
        measured=f"floor {leading[floor]:.4f} at {rate[floor]:+.2f}, peak {leading[peak]:.4f} at "
        f"{rate[peak]:+.2f}; simulation minus refined at most {gap.max():.5f} "
        f"({np.max(gap / panel['standard error']):.1f} standard errors), minus leading up to "
        f"{np.max(panel['simulated'] - panel['leading']):.4f}",
        estimate=float(miss),
        rule=f"SUPPORTED if floor and peak are within {READING_ERROR} in height and 0.15 in place "
        "and every simulated point is within 4 standard errors of the refined form, else REFUTED",
        verdict=verdict(supported=bool(holds), refuted=not holds),
        note="The paper's dots lie above its curve; that is the leading form's error, not chance.",
    )


def figure_three(table: pd.DataFrame) -> Claim:
    """FIG3: figure 3b needs σ = ν = 1, not its caption's 0.2; ``table`` is the figure's own."""
    panel = table[table["panel"] == "b"].set_index("rate")
    ends = [float(panel["simulated"].iloc[place]) for place in (0, -1)]
    doubt = float(panel["standard error"].max())
    middle = float(panel["leading"].iloc[int(np.argmin(np.abs(panel.index.to_numpy())))])
    miss = max(
        abs(a - b)
        for a, b in zip([*ends, middle], [*FIGURE_3B_ENDS, FIGURE_3B_AT_ZERO], strict=True)
    )
    captioned = replace(FIGURE_3, noise=CAPTION_SCALE_3, spread=CAPTION_SCALE_3)
    stated = float(
        loss_from_displacement(
            captioned, np.array(FIXED_RATE), displacement(captioned, np.zeros(1), form="leading")
        )[0]
    )
    off_axis = not FIGURE_3B_AXIS[0] <= stated <= FIGURE_3B_AXIS[1]
    holds = miss <= READING_ERROR + FOUR_ERRORS * doubt and off_axis
    best = best_train_rate(FIGURE_3, form="leading")
    return Claim(
        id="FIG3",
        statement="Figure 3b is reproduced with σ = ν = 1; the σ = ν = 0.2 of its caption cannot "
        "give the plotted axis.",
        source="figure 3b and its caption",
        published=f"{FIGURE_3B_AT_ZERO} at α_t = 0, ends {FIGURE_3B_ENDS[0]} and "
        f"{FIGURE_3B_ENDS[1]}; axis {FIGURE_3B_AXIS[0]} to {FIGURE_3B_AXIS[1]}",
        published_status="digitised",
        measured=f"with 1: {middle:.4f} at 0, ends {ends[0]:.4f} and {ends[1]:.4f} (± "
        f"{doubt:.4f}), lowest at α_t = {best:+.3f}; with 0.2: {stated:.4f} at 0",
        estimate=float(miss),
        rule=f"SUPPORTED if all three are within {READING_ERROR} + 4 standard errors with 1 and "
        "the caption's value is off the axis, else REFUTED",
        verdict=verdict(supported=holds, refuted=not holds),
        note="The published theory curve rises above the leading form by up to 0.0045 at α_t = "
        "0.5, for a reason not found; the formula was not tuned to the picture.",
    )


def _orders(orders: list[Order]) -> str:
    return "; ".join(f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in orders)
