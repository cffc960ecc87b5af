"""The headline: the best training rate is negative, in both regimes, at settings nobody chose.

Settings are drawn at random. At each, every rate is tried on the same inputs with the exact
solution; the best negative rate, chosen on half of the runs, must beat both zero and the best
positive rate on the other half. The closed forms only place the grid of rates. Over-parameterised,
the part due to label noise is compared alone: the other two do not depend on the rate (F2,
which C-A7 checks) and would only add chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..study import Claim, Settings
from .closed_form import parts
from .evidence import Finding, random_over, random_under, share_interval, sign_test, verdict
from .moments import Array
from .rates import best_train_rate
from .setting import Setting
from .simulation import simulate

SIGN_RULE = (
    "SUPPORTED if at every setting the best negative rate beats zero and the best positive rate by "
    "3 paired standard errors, on runs that did not choose it; REFUTED if it loses by as much at "
    "any; else NOT SHOWN"
)


def over(settings: Settings) -> Finding:
    """C-A8: random over-parameterised settings."""
    rng = np.random.default_rng(settings.seed + 300)
    drawn = [random_over(rng) for _ in range(8 if settings.quick else 30)]
    runs = [80 if settings.quick else 150] * len(drawn)
    table, curves = _tried(drawn, _wide_grid, runs=runs, seed=settings.seed + 301)
    bias = np.abs(table["leading"] / table["best"])
    return Finding(
        (
            _claim(
                table,
                id="C-A8",
                regime="over-parameterised (n_val·tasks < dim)",
                extra=f"the paper's formula puts it at {bias.min():.2f} to {bias.max():.2f} times "
                "the exact rate",
            ),
        ),
        {"best rates, over-parameterised": table},
        {"over-parameterised": curves},
    )


def under(settings: Settings) -> Finding:
    """C-A11: the formula at many random under-parameterised settings, simulation at some."""
    rng = np.random.default_rng(settings.seed + 320)
    many = [random_under(rng) for _ in range(500 if settings.quick else 3000)]
    negative = sum(_formula_is_negative(setting) for setting in many)
    drawn = [_small_under(rng) for _ in range(5 if settings.quick else 12)]
    numbers = 8e5 if settings.quick else 4e6
    runs = [int(np.clip(numbers / _numbers_drawn(setting), 60, 20000)) for setting in drawn]
    table, curves = _tried(drawn, _near_grid, runs=runs, seed=settings.seed + 321)
    return Finding(
        (
            _claim(
                table,
                id="C-A11",
                regime="under-parameterised (n_val·tasks > dim)",
                extra=f"the leading form's lowest point is negative at {negative} of {len(many)} "
                "random settings",
                rule=f"{SIGN_RULE}; SUPPORTED also needs the leading form's lowest point to be "
                "negative at every random setting",
                also=negative == len(many),
            ),
        ),
        {"best rates, under-parameterised": table},
        {"under-parameterised": curves},
    )


def _claim(
    table: pd.DataFrame,
    *,
    id: str,
    regime: str,
    extra: str,
    rule: str = SIGN_RULE,
    also: bool = True,
) -> Claim:
    hits, of = int((table["best"] < 0.0).sum()), len(table)
    return Claim(
        id=id,
        statement=f"The best training rate is negative, {regime}.",
        source="abstract",
        published="α_t* < 0",
        published_status="read",
        measured=f"exact best rate negative at {hits} of {of} random settings; paired z against "
        f"zero {table['z against 0'].max():.0f} to {table['z against 0'].min():.0f}, against the "
        f"best positive rate {table['z against positive'].max():.0f} to "
        f"{table['z against positive'].min():.0f}; {extra}",
        estimate=hits / of,
        interval=share_interval(hits, of),
        rule=rule,
        verdict=verdict(
            supported=bool(table["negative wins"].all()) and also,
            refuted=bool(table["negative loses"].any()),
        ),
        note="With the test rate fixed or tuned apart, inputs of equal variance, and noisy labels; "
        "see L1 to L3 for what happens otherwise.",
    )


def _tried(
    drawn: list[Setting], grid: Callable[[Setting], Array], *, runs: list[int], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per setting (prediction, exact rate, sign test); and ``V`` over the rates."""
    rows: list[dict[str, Any]] = []
    curves = []
    for place, setting in enumerate(drawn):
        rates = grid(setting)
        solved = simulate(setting, rates, runs=runs[place], seed=seed + place).parts
        moved = solved.displacement(setting)
        if setting.regime == "over":
            moved = setting.noise**2 * solved.noise
        test = sign_test(rates, moved)
        predicted = best_train_rate(setting, form="leading")
        change = moved.mean(axis=0) - moved[:, rates == 0.0].mean()
        curves.append(
            pd.DataFrame(
                {
                    "setting": place,
                    "rate": rates / abs(predicted),
                    "change": change / (-float(change.min()) or 1.0),
                }
            )
        )
        rows.append(
            {
                "n_train": setting.n_train,
                "n_val": setting.n_val,
                "tasks": setting.tasks,
                "dim": setting.dim,
                "noise": setting.noise,
                "spread": setting.spread,
                "leading": predicted,
                "best": test.best,
                "gain in V": test.gain,
                "z against 0": test.z_zero,
                "z against positive": test.z_positive,
                "negative wins": test.negative_wins,
                "negative loses": test.negative_loses,
            }
        )
    return pd.DataFrame(rows), pd.concat(curves, ignore_index=True)


def _wide_grid(setting: Setting) -> Array:
    """61 rates of both signs: dense near the predicted rate, out to 14 times its size."""
    sizes = -best_train_rate(setting, form="leading") * np.tan(np.linspace(0.05, 1.5, 30))
    return np.concatenate([-sizes[::-1], [0.0], sizes])


def _near_grid(setting: Setting) -> Array:
    """Rates of both signs around the predicted one, and large ones of ordinary size."""
    predicted = -best_train_rate(setting, form="leading")
    near = predicted * np.array([0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0])
    sizes = np.unique(np.concatenate([near, [0.1, 0.3, 1.0, 3.0]]))
    return np.concatenate([-sizes[::-1], [0.0], sizes])


def _small_under(rng: np.random.Generator) -> Setting:
    """A random setting small enough to simulate, with noise and spread of like size."""
    while True:
        setting = random_under(rng, largest=40, contrast=3.0)
        if setting.rows <= 1200 and setting.tasks * setting.n_train <= 4000:
            return setting


def _numbers_drawn(setting: Setting) -> int:
    """Random numbers one run needs: the price of a run."""
    return setting.tasks * (setting.n_train + setting.n_val) * setting.dim


def _formula_is_negative(setting: Setting) -> bool:
    """Is the leading form's lowest point, over twelve decades of rates of both signs, negative?"""
    sizes = np.logspace(-6, 2, 241)
    rates = np.concatenate([-sizes[::-1], [0.0], sizes])
    moved = parts(setting, rates, form="leading").displacement(setting)
    return bool(rates[np.argmin(moved)] < 0.0)
