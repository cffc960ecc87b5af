"""Runs the study: measurements, claims, tables, figures, and the answer they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..study import Claim, Settings, Study
from ..threads import small_work
from . import figures
from .budget import (
    BATCHES,
    Budget,
    Floor,
    best_steps_table,
    budgets,
    moderate_steps_are_cheapest,
    noise_falls_with_batch,
    noise_levels,
)
from .captions import CAPTIONS
from .checkpoints import (
    NAMES,
    Inner,
    group_table,
    head_is_convex_and_layers_are_not,
    head_table,
    inner_loops,
)
from .contraction import (
    Forgetting,
    HeadSmoothness,
    forgetting,
    head_curvature,
    head_curvature_contracts,
    head_gradient_contracts,
)
from .convergence import (
    Sweeps,
    average_gradient,
    convex_converges_faster,
    geometry_alone_does_not_decide,
    loss_is_not_worse,
    nonconvex_converges_slower,
    running_average_decays,
    sweeps,
)
from .demo import Comparison, compare_bodies
from .divergence import blow_up
from .exactness import claims as exact_claims
from .exactness import cost_table
from .hypergradient import (
    Hypergradient,
    body_gradient_obeys_its_bound,
    body_gradient_reaches_the_limit,
    hypergradient,
)
from .ledger import Sizes, sizes
from .smoothness import (
    Curves,
    curvature_saturates_or_grows,
    curves,
    shrinking_the_rate_rescues,
)

TITLE = "Convergence of Meta-Learning with Task-Specific Adaptation over Partial Parameters"
CITATION = (
    "Kaiyi Ji, Jason D. Lee, Yingbin Liang, H. Vincent Poor. NeurIPS 2020. "
    "https://arxiv.org/abs/2006.09486"
)
QUESTION = (
    "If only the last layer of a network is adapted to each new task, do more adaptation steps "
    "make learning-to-adapt faster or slower, and what decides which?"
)


@dataclass(frozen=True)
class Measured:
    """Everything that was measured; claims, tables and figures are drawn from it alone."""

    size: Sizes
    forgetting: Forgetting
    hypergradient: Hypergradient
    head: HeadSmoothness
    curves: Curves
    sweeps: Sweeps
    budgets: list[Budget]
    floor: Floor
    bodies: Comparison
    encoders: list[Inner]


def run(settings: Settings) -> Study:
    """Re-runs the paper's claims on controlled problems, C1 to C14, two warnings and the encoders' geometry.

    Args:
        settings: Quick uses fewer repeats and the same rules; one seed draws everything.
    """
    return report(measure(sizes(settings)))


@small_work()
def measure(size: Sizes, encoders: Sequence[str] = NAMES) -> Measured:
    """All measurements that more than one claim, table or figure needs."""
    return Measured(
        size=size,
        forgetting=forgetting(size),
        hypergradient=hypergradient(size),
        head=head_curvature(size),
        curves=curves(size),
        sweeps=sweeps(size),
        budgets=budgets(size),
        floor=noise_levels(size),
        bodies=compare_bodies(size.seed),
        encoders=inner_loops(size, encoders),
    )


@small_work()
def report(data: Measured) -> Study:
    """The study that the measurements support."""
    ledger = [
        *exact_claims(data.size),
        head_gradient_contracts(data.forgetting),
        body_gradient_reaches_the_limit(data.hypergradient),
        body_gradient_obeys_its_bound(data.hypergradient),
        head_curvature_contracts(data.head),
        *curvature_saturates_or_grows(data.curves),
        *shrinking_the_rate_rescues(data.curves),
        convex_converges_faster(data.sweeps),
        nonconvex_converges_slower(data.sweeps),
        blow_up(data.size),
        moderate_steps_are_cheapest(data.budgets),
        running_average_decays(data.size),
        noise_falls_with_batch(data.floor),
        head_is_convex_and_layers_are_not(data.encoders),
        loss_is_not_worse(data.sweeps),
        geometry_alone_does_not_decide(data.sweeps),
    ]
    claims = tuple(
        sorted(ledger, key=lambda claim: (claim.id[0], int(claim.id[1:].rstrip("b")), claim.id))
    )
    return Study(
        name="ji2020",
        title=TITLE,
        citation=CITATION,
        question=QUESTION,
        answer=answer(claims),
        meaning=meaning(data.bodies, data.encoders),
        claims=claims,
        tables={
            "meta-smoothness": smoothness_table(data.curves),
            "gradient norms": training_table(data.sweeps),
            "best number of steps": best_steps_table(data.budgets),
            "costs": cost_table(),
            "noise floor": floor_table(data.floor),
            "two bodies": bodies_table(data.bodies),
            "inner loops of shipped encoders: the head": head_table(data.encoders),
            "inner loops of shipped encoders: by layer": group_table(data.encoders),
        },
        figures={
            "meta-smoothness": figures.smoothness(data.curves),
            "gradient norms": figures.gradient_norms(data.sweeps),
            "training": figures.training(data.budgets[0]),
            "best number of steps": figures.best_steps(data.budgets),
            "approach to the limit": figures.hypergradient(data.hypergradient, data.forgetting),
            "costs": figures.costs(),
            "noise floor": figures.noise_floor(data.floor),
            "two bodies": figures.two_bodies(data.bodies),
            "shipped encoders": figures.shipped_encoders(data.encoders),
        },
        captions=CAPTIONS,
    )


def answer(claims: tuple[Claim, ...]) -> str:
    """The answer in words, each part only as strong as its verdict."""
    is_ = {claim.id: claim.verdict for claim in claims}
    first = {
        "SUPPORTED": "The shape of the adapted part's loss decides. If it is strongly convex, the "
        "meta-loss's curvature typically stops growing with the number of steps; if not, it keeps "
        "growing",
        "REFUTED": "The curvature of the meta-loss did not separate the two shapes of inner loss",
        "NOT SHOWN": "Whether the meta-loss's curvature separates the two shapes stayed open",
    }[is_["C5b"]]
    both = {is_["C7"], is_["C8"]}
    second = (
        "its gradient shrank with more steps in the first case and grew in the second, as the "
        "paper says"
        if both == {"SUPPORTED"}
        else "the size of its gradient contradicted the paper's statement"
        if "REFUTED" in both
        else "the size of its gradient left the paper's statement open"
    )
    sentences = [f"{first}; {second}."]
    if is_["W2"] == "REFUTED":
        sentences.append(
            "That last contrast also depends on where the head starts, so alone it proves nothing "
            "about the shape."
        )
    if is_["W1"] == "REFUTED":
        sentences.append("At a safe rate the loss itself improved with more steps in both cases.")
    return " ".join(sentences)


def meaning(bodies: Comparison, encoders: list[Inner]) -> str:
    """What to do with an encoder, with the measured examples."""
    flat, steep = (f(encoders, key=Inner.largest_head) for f in (min, max))
    low, high = sorted(shape.reached for shape in bodies.geometry.values())
    steps = next(iter(bodies.geometry.values())).steps
    return (
        "Measure the curvature of the head's loss on an encoder's features before comparing "
        f"encoders at one inner rate: {steps} steps at rate {bodies.rate:g} made {low:.0%} of the "
        f"possible adaptation on one small digit encoder and {high:.0%} on another, and the head's "
        f"loss is {steep.largest_head() / flat.largest_head():.0f} times as curved on {steep.name} "
        f"as on {flat.name}. Normalise the rate by the largest curvature L; take about κ log(1/δ) "
        "steps where only a penalised "
        "linear head adapts; where anything nonlinear adapts, keep rate times steps bounded. The "
        "growth of the meta-loss's curvature with N tells the two cases apart; the size of the "
        "meta-gradient alone does not."
    )


def smoothness_table(data: Curves) -> pd.DataFrame:
    """Medians over problems of the meta-loss's curvature, whole and by block."""
    rows = []
    for name, curve in (("strongly convex", data.ridge), ("nonconvex", data.deep)):
        for steps, value in curve.items():
            rows.append(
                {
                    "inner loss": name,
                    "inner steps": steps,
                    "largest curvature": float(np.median(value.meta)),
                    "in the head": float(np.median(value.head)),
                    "in the body": float(np.median(value.body)),
                }
            )
    return pd.DataFrame(rows)


def training_table(data: Sweeps) -> pd.DataFrame:
    """Average squared meta-gradients, geometric means over problems, and final losses."""
    rows = []
    for name, sweep in (
        ("strongly convex, long", data.long),
        ("strongly convex", data.ridge),
        ("nonconvex", data.deep),
        ("strongly convex, head from zero", data.ridge_small),
        ("nonconvex, head from afar", data.deep_wide),
        ("nonconvex, later", data.deep_later),
    ):
        totals, heads = average_gradient(sweep), average_gradient(sweep, "head")
        for (steps, training), total, head in zip(sweep.items(), totals, heads, strict=True):
            rows.append(
                {
                    "run": name,
                    "inner steps": steps,
                    "outer iterations": len(training.total),
                    "average squared meta-gradient": float(total),
                    "head part": float(head),
                    "mean final loss": float(training.loss[-1].mean()),
                }
            )
    return pd.DataFrame(rows)


def floor_table(data: Floor) -> pd.DataFrame:
    """Median level over problems for each batch size."""
    levels = np.median(data.level, axis=1)
    return pd.DataFrame({"tasks per batch": BATCHES, "squared meta-gradient": levels})


def bodies_table(data: Comparison) -> pd.DataFrame:
    """The inner-loop geometry of the two small bodies, one row for each adapted group."""
    frames = []
    for name, shape in data.geometry.items():
        frame = shape.table()
        frame.insert(0, "encoder", name)
        frame["bound on the head's L"] = shape.head.smoothness
        frame["condition number of the head"] = shape.head.condition
        frame["share of decrease reached"] = shape.reached
        frame["query accuracy (class means)"] = data.accuracy[name]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
