"""The study: every claim, the figures, and what they mean."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..study import Claim, Settings, Study
from . import claims_limits, claims_signs
from .claims_accuracy import figure_three, figure_two, noise_part, under_order
from .claims_identities import IDENTITIES
from .evidence import Finding
from .figures import draw_limits, draw_signs, draw_sweep, sweep
from .published import CITATION, FIGURE_2, FIGURE_3, TITLE
from .simulation import one_thread

FIGURE_2_RATES = np.linspace(-2.0, 2.0, 41)
FIGURE_3_RATES = np.linspace(-0.5, 0.5, 41)

CAPTIONS = {
    "figure-2": "Loss on a new task when the judged rows (validation rows of all training tasks "
    "together) are fewer than the weights, figure 2 of the paper: lowest at a positive rate on the "
    "new task (a), at a negative rate in meta-training (b). Exact simulation lies on the refined "
    "form, a little above the paper's leading order, whose best rate is dotted.",
    "figure-3": "The same with more judged rows than weights (figure 3 of the paper, with σ = ν = "
    "1; the 0.2 of its caption would give a loss 25 times smaller than its axis shows): the best "
    "rate in meta-training is still negative, but small.",
    "signs": "Displacement V of the learnt start over the training rate by exact simulation, a "
    "curve for each random setting, 0 at rate 0 and −1 at its lowest point (triangle); rates in "
    "units of the leading order's prediction, which is −1. Large positive rates may gain too, less.",
    "limits": "Where the headline stops; triangles mark lowest points. L1: the same rate in "
    "training and testing is best positive. L2: with unequal inputs noise wants a negative rate, "
    "task differences a positive one. L3: in a tangent network with little label noise negative "
    "rates hurt.",
}


def figure_2(settings: Settings) -> pd.DataFrame:
    """Numbers of figure 2 at the paper's parameters."""
    return sweep(
        FIGURE_2,
        FIGURE_2_RATES,
        (-0.1, 0.2, 0.4),
        runs=300 if settings.quick else 1000,
        literal_runs=30 if settings.quick else 100,
        seed=settings.seed + 500,
    )


def figure_3(settings: Settings) -> pd.DataFrame:
    """Numbers of figure 3 at the paper's parameters, with σ = ν = 1."""
    return sweep(
        FIGURE_3,
        FIGURE_3_RATES,
        (-0.1, 0.2, 0.4),
        runs=50 if settings.quick else 200,
        literal_runs=20 if settings.quick else 60,
        seed=settings.seed + 520,
    )


def run(settings: Settings) -> Study:
    """Re-run the paper: all claims C-A1 to C-A12, figure 3's caption, and the limits L1 to L3."""
    with one_thread():
        second, third = figure_2(settings), figure_3(settings)
        findings = [
            Finding(tuple(claim(settings) for claim in IDENTITIES)),
            noise_part(settings),
            under_order(settings),
            claims_signs.over(settings),
            claims_signs.under(settings),
            Finding((figure_two(second), figure_three(third))),
            claims_limits.tied_rates(settings),
            claims_limits.unequal_inputs(settings),
            claims_limits.tangent_network(settings),
        ]
    tables = {"figure 2": second, "figure 3": third}
    curves: dict[str, pd.DataFrame] = {}
    for finding in findings:
        tables.update(finding.tables)
        curves.update(finding.curves)
    claims = {claim.id: claim for finding in findings for claim in finding.claims}
    ordered = tuple(sorted(claims.values(), key=_position))
    return Study(
        name="bernacchia2021",
        title=TITLE,
        citation=CITATION,
        question="A model is trained on many small tasks so that one gradient step adapts it to a "
        "new one: which sign should the learning rate of that inner step have during training?",
        answer=_answer(claims),
        meaning=MEANING,
        claims=ordered,
        tables=tables,
        figures={
            "figure-2": draw_sweep(FIGURE_2, second),
            "figure-3": draw_sweep(FIGURE_3, third),
            "signs": draw_signs(
                {
                    "fewer judged rows than weights": curves["over-parameterised"],
                    "more judged rows than weights": curves["under-parameterised"],
                }
            ),
            "limits": draw_limits(curves),
        },
        captions=CAPTIONS,
    )


MEANING = (
    "The sign of a learnt inner rate is no diagnosis by itself. A learnt rate descends the "
    "meta-training loss and serves training and testing at once, which favours positive values "
    "(L1); on features of unequal variance the best sign is a balance of label noise, distance of "
    "the start and differences between tasks (L2); near a real network's start it need not be "
    "negative (L3). So report the sign of learnt rates with their spread, and do not read a theory "
    "into it. What carries over: compare the number of judged rows with the head's dimension "
    "before trusting any result, because where they meet the loss explodes; and a rate for new "
    "tasks can be computed from noise and displacement, and is always positive (C-A9)."
)


def _answer(claims: dict[str, Claim]) -> str:
    """Two or three sentences, chosen by the verdicts."""
    over, under = claims["C-A8"], claims["C-A11"]
    if over.verdict == under.verdict == "SUPPORTED":
        headline = (
            "Negative, for a linear model whose inputs all have the same variance: at every random "
            "setting tried some negative rate beats zero and every positive rate, whether the rows "
            "that judge training (the validation rows of all tasks together) are fewer than the "
            "weights or more. It makes the learnt start less sensitive to label noise."
        )
    else:
        headline = (
            "For a linear model whose inputs all have the same variance, that it is negative is "
            f"{over.verdict} with fewer judged rows than weights and {under.verdict} with more."
        )
    stops = []
    if claims["L1"].verdict == "SUPPORTED":
        stops.append("a rate shared by training and testing is best positive")
    if claims["L2"].verdict == "SUPPORTED":
        stops.append("with inputs of unequal variance differences between tasks want it positive")
    if claims["L3"].verdict != "SUPPORTED":
        stops.append(
            "that a negative rate is best for a network near its start is "
            f"{claims['L3'].verdict} at the sizes tried"
        )
    return f"{headline} It stops there: {'; '.join(stops)}." if stops else headline


def _position(claim: Claim) -> tuple[int, int]:
    """C-A1 … C-A12, then the figure, then the limits."""
    for place, prefix in enumerate(("C-A", "FIG", "L")):
        if claim.id.startswith(prefix):
            return place, int(claim.id.removeprefix(prefix))
    raise AssertionError(f"claim {claim.id} has no place in the ledger")
