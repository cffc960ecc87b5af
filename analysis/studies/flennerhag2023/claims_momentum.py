"""C7 to C11: where momentum fails, what conditioning costs, what a hint and a rule are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..study import Settings
from .claims_convex import ABSTRACT
from .counterexample import (
    K_RESONANT,
    distance_to_cycle,
    lessard_paths,
    race,
    reach,
    resonance_table,
)
from .figures import draw_conditioning, draw_counterexample
from .ledger import Section, around, between, claim
from .oracle import Vector
from .problems import log_uniform_quadratic
from .rates import (
    conditioning_exponents,
    conditioning_table,
    curves,
    hint_values,
    loglog_slope,
    preconditioned_curves,
    stability_limit,
)


def failures(settings: Settings) -> Section:
    """C7, C8: convex functions on which momentum does not converge and optimism does."""
    del settings  # nothing random
    runs = race()
    ends = {key: float(run.values[-1]) for key, run in runs.items()}
    early = max(run.values[499] for (name, _), run in runs.items() if name == "growing")
    t = np.arange(1, len(runs["constant", 1.0].values) + 1)
    b1 = max(float((runs["constant", s].values * 2 * t).max()) for s in (1.0, -1.0))
    around_k = reach(np.linspace(0.3323, 0.3331, 9))
    paths = lessard_paths()
    points = runs["growing", 1.0].points
    assert points is not None
    claims = (
        claim(
            "C7",
            "A learned update rule alone does not accelerate: some form of optimism is needed. "
            "There is a smooth convex function on which growing weights without a hint diverge, "
            "while the same weights and step with the hint converge",
            (
                between("no hint, smaller f after 8000 steps",
                        min(ends["growing", 1.0], ends["growing", -1.0]), low=1e6),
                between("no hint, smallest f for k in [0.3323, 0.3331]", around_k.min(), low=1e4),
                between("OMG, larger f",
                        max(ends["optimistic", 1.0], ends["optimistic", -1.0]), high=1e-30),
                between("MG constant weights, largest measured / bound of 1/T", b1, high=1 + 1e-9),
            ),
            source=ABSTRACT,
            published="'not sufficient for acceleration … some form of optimism is required'",
            status="read",
            note=f"The function (k = {K_RESONANT}) is ours, not the paper's. At 500 steps the "
            f"diverging run still looks solved (f = {early:.1e}): judge it at 6000 or more.",
        ),
        claim(
            "C8",
            "With the momentum that is best on quadratics, plain meta-gradients circle for ever on "
            "Lessard's function; the optimistic form converges",
            (
                between("momentum, distance to the cycle 792, -2208, 2592 over 1225",
                        distance_to_cycle(paths["momentum"]), high=1e-12),
                between("optimism, |x| at the end", abs(paths["optimism"][-1]), high=1e-12),
            ),
            source="derived; the function and its cycle: Lessard, Recht and Packard 2016",
            published="cycle 792/1225, -2208/1225, 2592/1225",
        ),
    )  # fmt: skip
    return Section(
        claims,
        {"resonance": resonance_table()},
        {
            "counter_example": draw_counterexample(
                runs["growing", 1.0].values,
                runs["optimistic", 1.0].values,
                runs["constant", 1.0].values,
                paths,
            )
        },
        {
            "counter_example": "Left: on a parabola with two curvatures, growing weights without a "
            "hint first fall, then diverge by resonance, while the hinted run goes to zero. Right: "
            "constant momentum circles between three points, the optimistic form settles at zero."
        },
    )


def conditioning(settings: Settings) -> Section:
    """C9, C10: the exponent of the condition number, and how good the hint must be."""
    seeds = 3 if settings.quick else 10
    kappas = (100, 1000, 10000, 100000)
    counts = conditioning_table(kappas, seeds, settings.seed)
    exponents = conditioning_exponents(counts)
    hints = hint_values((-1.0, 0.0, 0.5, 1.0, 2.0), 2000)
    kept = [float(values[-1]) for scale, values in hints.items() if scale >= 0]

    def row(name: str) -> Vector:
        return exponents.loc[name].to_numpy(dtype=np.float64)

    claims = (
        claim(
            "C9",
            "On strongly convex problems of condition number κ, steps grow as κ for gradient "
            "descent and as √κ for momentum and for optimism",
            (
                around("exponent, OMG", row("Nesterov = OMG"), 0.5, 0.03),
                around("heavy ball", row("heavy ball = MG"), 0.5, 0.06),
                around("GD 1/L", row("GD, step 1/L"), 1.0, 0.05),
                around("GD 2/(L+m)", row("GD, step 2/(L+m)"), 1.0, 0.05),
            ),
            published="1/2, 1/2, 1, 1",
            note=f"κ from 100 to 100000, {seeds} random starts; heavy ball is tuned for "
            "quadratics, where it is safe.",
        ),
        claim(
            "C10",
            "The hint need not be good, only not opposed: none, half, one or two last gradients "
            "end within 5 %, minus one diverges; and hints cost step size (stable below 2/(3L) "
            "instead of 2/L)",
            (
                between("largest / smallest f at T = 2000", max(kept) / min(kept), high=1.05),
                between("hint -1, f at T = 1000", hints[-1.0][999], low=1e3),
                around("largest stable βL without hint", stability_limit("mg", 0.5, 3), 2, 0.02),
                between("with hint", stability_limit("omg", 0.1, 2), 0.66, 0.675),
            ),
            published="within 5 %; 2/L and 2/(3L)",
            note="On the log-uniform quadratic, where even no hint does well (C2d).",
        ),
    )
    table = counts.pivot_table(index="method", columns="kappa", values="steps", sort=False)
    return Section(
        claims,
        {"conditioning": table.reset_index().rename(columns=str)},
        {"conditioning": draw_conditioning(counts, hints)},
        {
            "conditioning": "Left: steps to a gap of 1e-8 against the condition number; gradient "
            "descent grows in proportion, momentum and optimism with its root. Right: any hint "
            "from none to twice the last gradient ends alike; an opposed one (red) diverges."
        },
    )


def learned_rule(settings: Settings) -> Section:
    """C11: a better rule buys a constant factor."""
    del settings  # nothing random
    steps, labels = 2000, ("MG, constant weights", "OMG")
    plain = curves(log_uniform_quadratic(), steps, labels)
    ruled, smoothness = preconditioned_curves(steps)
    at = np.array([100, 500, 2000]) - 1
    factor = smoothness * (1 + 1 / 0.25) / 2
    optimistic = ruled["OMG"][at] / plain["OMG"][at]
    slow = ruled["MG"][at] / plain["MG, constant weights"][at]
    slopes = {name: loglog_slope(values, 100, steps) for name, values in ruled.items()}
    table = pd.DataFrame(
        {"T": at + 1, "predicted": factor, "OMG, f ratio": optimistic, "MG, f ratio": slow}
    )
    return Section(
        (
            claim(
                "C11",
                "Another update rule changes the speed by a constant factor and never the rate",
                (
                    around("slope, OMG through the rule", slopes["OMG"], -2, 0.08),
                    around("slope, MG", slopes["MG"], -1, 0.05),
                    between("OMG, largest distance of the f ratio from the predicted factor",
                            np.abs(optimistic - factor).max(), high=1e-3),
                    between("MG, largest relative distance", np.abs(slow / factor - 1).max(),
                            high=0.05),
                ),
                source=ABSTRACT,
                published="'faster convergence up to constant factor', no number; "
                "predicted factor λL (1 + 4) / 2",
                status="read",
                note=f"Rule φ = d·w with d = 1, 1/2, 1, …; predicted factor {factor:.4f}. A rule "
                "whose spectrum is a power law changes the problem itself and would not test this.",
            ),
        ),
        {"constant factor": table},
    )  # fmt: skip
