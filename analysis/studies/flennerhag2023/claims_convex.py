"""C1 to C6: momentum is a meta-gradient, and how fast meta-gradients converge."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..study import Settings
from .figures import draw_rates
from .identities import identity_table
from .ledger import Check, Section, around, between, claim, share_interval
from .problems import log_uniform_quadratic, rate_constant, soft_label_logistic
from .rates import (
    SETUPS,
    ada_values,
    bound_ratios,
    curves,
    logistic_runs,
    loglog_slope,
    scale_values,
)

ABSTRACT = "Flennerhag et al. 2023, abstract"


def identities(settings: Settings) -> Section:
    """C1."""
    table = identity_table(
        {
            "quadratic": log_uniform_quadratic(),
            "logistic": soft_label_logistic(np.random.default_rng(settings.seed)),
        }
    )
    worst = table[["quadratic", "logistic"]].max(axis=1)
    to_torch = table["equals"].str.startswith("torch")
    hinted = table["meta-learner"].str.startswith("omg")

    def exact(label: str, rows: pd.Series[bool]) -> Check:
        return between(label, float(worst[rows].max()), high=1e-12)

    return Section(
        (
            claim(
                "C1",
                "Gradient descent with momentum is a special case of meta-gradients, and with a "
                "hint of the last gradient it is Nesterov's method",
                (
                    exact("heavy ball, largest relative difference", ~to_torch & ~hinted),
                    exact("Nesterov and FISTA", ~to_torch & hinted),
                    exact("torch.optim.SGD, momentum and nesterov", to_torch),
                ),
                source=ABSTRACT,
                published="momentum: stated, no number; Nesterov: in a secondary summary",
                status="read",
                note="300 iterates each on a quadratic and a logistic problem. The settings under "
                "which the methods coincide are derived.",
            ),
        ),
        {"identities": table},
    )


def convergence(settings: Settings) -> Section:
    """C2, C3, C4: slopes and constants, and the warning that goes with them."""
    steps, problem = 2000, log_uniform_quadratic()
    gaps = curves(problem, steps, tuple(SETUPS))
    slope = {label: loglog_slope(values, 30, steps) for label, values in gaps.items()}
    ada = {
        f"AdaMG, R = {factor}|x*|": loglog_slope(ada_values(problem, steps, factor), 30, steps)
        for factor in (2, 1)
    }
    constant = rate_constant()
    end = {label: float(values[-1]) / constant for label, values in gaps.items()}
    seeds = 3 if settings.quick else 8
    runs = logistic_runs(seeds, settings.seed, steps)

    def fits(label: str) -> list[float]:
        return [loglog_slope(run[label], 30, 1000) for run in runs]

    on_logistic = fits("MG, growing weights")
    claims = (
        claim(
            "C2",
            "Plain meta-gradients converge as 1/T, optimistic ones as 1/T²",
            (
                around("slope, MG 1/L", slope["MG, constant weights"], -1, 0.05),
                around("GD", slope["GD"], -1, 0.05),
                around(
                    "MG growing weights, step 1/(Lt)",
                    slope["MG, growing weights, falling step"], -1, 0.05,
                ),
                around("OMG 1/(4L)", slope["OMG"], -2, 0.08),
                around("OMG (t-1)/(2tL)", slope["OMG, rising step"], -2, 0.08),
                around("FISTA", slope["FISTA"], -2, 0.1),
                around("AdaOMG", slope["AdaOMG"], -2, 0.1),
            ),
            source=ABSTRACT + "; rates from a summary of the paper",
            published="rates proved (abstract); O(λ/T²) with optimism (summary)",
            status="secondary",
            note="Log-log slopes of f(average) - f* over T in [30, 2000] on the log-uniform quadratic.",
        ),
        claim(
            "C2b",
            "Optimism without growing weights does not accelerate either",
            (around("slope, OMG with constant weights", slope["OMG, constant weights"], -1, 0.06),),
        ),
        claim(
            "C2c",
            "AdaGrad step sizes without optimism land between: faster than 1/T, slower than T^-1.5",
            tuple(between(f"slope, {label}", value, -1.5, -1.0) for label, value in ada.items()),
            note="The slope depends on the radius R; only its being short of 2 is general.",
        ),
        claim(
            "C2d",
            "A warning: growing weights alone, without optimism, also show 1/T² on quadratics and "
            "soft-label logistic regression",
            (
                around("slope on the quadratic", slope["MG, growing weights"], -2, 0.05),
                around("slope on logistic regression", on_logistic, -2, 0.1),
            ),
            note="So 'OMG is faster than MG' at equal weights is the wrong test on these problems. "
            "The difference is in what is guaranteed: see C7, where the same method diverges.",
        ),
        claim(
            "C3",
            "Not only the slopes: the constants are those of the closed forms",
            (
                around("MG, f T / C", end["MG, constant weights"] * steps, 1, 0.02),
                around("GD, f T / C", end["GD"] * steps, 0.5, 0.02),
                between("OMG 1/4, f T² / C", end["OMG"] * steps**2, 7.52, 8.0),
                between("OMG (t-1)/(2t), f T² / C", end["OMG, rising step"] * steps**2, 3.76, 4.0),
            ),
            published="1, 1/2, 8 and 4 (the last two approached from below, within 6 %)",
            note="C = n / (2 ln(1/h_min)), T = 2000.",
        ),
        claim(
            "C4",
            "The same rates on logistic regression",
            (
                around("slope, MG 1/L", fits("MG, constant weights"), -1, 0.06),
                around("OMG 1/(4L)", fits("OMG"), -2, 0.1),
                around("AdaOMG", fits("AdaOMG"), -2, 0.1),
                between(
                    "gap MG / gap OMG at T = 2000",
                    [run["MG, constant weights"][-1] / run["OMG"][-1] for run in runs],
                    100,
                ),
            ),
            published="slopes -1, -2, -2",
            note=f"{seeds} random data sets, T in [30, 1000]; labels are soft, because with hard "
            "random labels the minimiser lies along noise and no method keeps its rate.",
        ),
    )  # fmt: skip
    t = np.arange(1, steps + 1)
    reach = problem.distance**2
    bounds = {"bound 1/T": reach / (2 * t), "bound 1/T²": 4 * reach / (t * (t + 1))}
    return Section(
        claims,
        {
            "slopes": pd.DataFrame(
                {
                    "method": list(slope),
                    "slope on the quadratic": list(slope.values()),
                    "gap at T=2000": [float(values[-1]) for values in gaps.values()],
                }
            )
        },
        {"rates": draw_rates(gaps, runs[0], bounds)},
        {
            "rates": "Gap to the minimum against steps, both on log scales: plain meta-gradients "
            "(orange) fall as 1/T, optimistic ones (blue) as 1/T² beside Nesterov's method; the "
            "dotted orange line is the warning, growing weights without optimism look as good here."
        },
    )  # fmt: skip


def guarantees(settings: Settings) -> Section:
    """C5, C6: the bounds hold everywhere; AdaGrad needs no scale."""
    draws, steps = 80 if settings.quick else 150, 300
    ratios = bound_ratios(settings.seed, draws, steps)
    broken = int(((ratios["B1"] > 1 + 1e-9) | (ratios["B2"] > 1)).sum())
    factors = (1e-3, 1.0, 1e3)
    values = scale_values(factors, 2000)
    return Section(
        (
            claim(
                "C5",
                "The bounds λL|w*-w1|²/(2T) and 4λL|w*-w1|²/(T(T+1)) hold at every step for random "
                "convex functions and random linear rules",
                (
                    Check("share of draws above a bound", broken / draws, high=0.05,
                          interval=share_interval(broken, draws)),
                    between("largest measured / bound, 1/T", ratios["B1"].max(), high=1 + 1e-9),
                    between("1/T²", ratios["B2"].max(), high=1.0),
                ),
                published="never above 1; the first is tight at the first step",
                note=f"{draws} draws of (f, P), {steps} steps each.",
            ),
            claim(
                "C6",
                "With AdaGrad step sizes the iterates do not depend on the scale of f",
                (between("largest relative difference", np.ptp(values) / min(values), high=1e-9),),
                published="exact invariance",
                note="f multiplied by 1/1000, 1 and 1000; no smoothness constant is given.",
            ),
        )
    )  # fmt: skip
