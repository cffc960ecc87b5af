"""C12 to C14 and F1: bootstrapping, element-wise rates, and who learns inner rates best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..study import Settings
from .bootstrapping import (
    divergence_gradient,
    first_order_ratio,
    optimistic_target,
    target_of_one_step,
)
from .claims_convex import ABSTRACT
from .element_wise import digits_curves, quadratic_table
from .few_shot import LEARNERS, TENSORS, Protocol, few_shot_table, largest_parting
from .figures import draw_element_wise, draw_few_shot
from .layer_rates import encoder_parting
from .ledger import Check, Section, around, between, claim, share_interval
from .oracle import Vector


def bootstrapping(settings: Settings) -> Section:
    """C12."""
    seeds = range(settings.seed, settings.seed + (2 if settings.quick else 10))
    same = max(gap for seed in seeds for gap in target_of_one_step(seed).values())
    ratios = [first_order_ratio(seed, steps) for seed in seeds for steps in (1, 5, 10)]
    return Section(
        (
            claim(
                "C12",
                "Bootstrapped meta-gradients capture optimism: with an optimistic target they are "
                "optimistic meta-gradients, and with a target one step away plain ones",
                (
                    between("BMG against OMG, largest relative difference of iterates",
                            max(optimistic_target(seed) for seed in seeds), high=1e-12),
                    between("BMG L=1 squared distance against Meta-SGD's gradient, K = 1, 5, 10",
                            same, high=1e-14),
                    around("fall of f / (β|meta-gradient|²), smallest", min(ratios), 1, 1e-3),
                    around("largest", max(ratios), 1, 1e-3),
                    between("KL match: gradient minus (softmax student - softmax target)",
                            max(divergence_gradient(seed) for seed in seeds), high=1e-12),
                ),
                source=ABSTRACT,
                published="'optimism … can be captured through Bootstrapped Meta-Gradients', "
                "no number",
                status="read",
                note=f"Random networks, rules and data, {len(seeds)} draws; the exact forms are "
                "derived.",
            ),
        )
    )  # fmt: skip


def element_wise(settings: Settings) -> Section:
    """C13 and F1: rates per coordinate, learned while training."""
    seeds = 10 if settings.quick else 20
    table = quadratic_table(seeds, settings.seed)
    digits = digits_curves(
        3 if settings.quick else 8, settings.seed, 200 if settings.quick else 400
    )

    def ratios(kind: str, other: str, orientation: str) -> list[tuple[int, Vector]]:
        rows = table[table["orientation"] == orientation]
        return [
            (
                int(str(kappa)),
                np.log(part[kind].to_numpy(np.float64) / part[other].to_numpy(np.float64)),
            )
            for kappa, part in rows.groupby("kappa")
        ]

    def below(kind: str, other: str, orientation: str) -> list[Check]:
        return [
            between(f"mean log ratio, {orientation}, κ={kappa}", draws, high=0)
            for kappa, draws in ratios(kind, other, orientation)
        ]

    def wins(kind: str, other: str, orientation: str) -> str:
        counts = [int((draws < 0).sum()) for _, draws in ratios(kind, other, orientation)]
        return f"{orientation}: {', '.join(map(str, counts))} of {seeds}"

    mean = digits.groupby(["kind", "seed"])["loss"].mean().unstack("kind")
    online = np.log(mean)
    claims = (
        claim(
            "C13",
            "Element-wise rates learned online by meta-gradients beat the best fixed rate on "
            "quadratics",
            below("mg", "fixed", "axis-aligned") + below("mg", "fixed", "rotated"),
            published="MG below fixed in 5 of 5 seeds at κ = 10, 100, 1000, both orientations",
            note="Cumulative loss over 200 steps, each method tuned on one grid. "
            f"Seeds won, {wins('mg', 'fixed', 'axis-aligned')}; "
            f"{wins('mg', 'fixed', 'rotated')}.",
        ),
        claim(
            "C13b",
            "Bootstrapping (L = 3) improves on plain meta-gradients when curvature is aligned with "
            "the coordinates",
            below("bmg", "mg", "axis-aligned"),
            published="BMG below MG in 5 of 5 seeds",
            note=f"Seeds won, {wins('bmg', 'mg', 'axis-aligned')}.",
        ),
        claim(
            "C13c",
            "When curvature is not aligned, bootstrapping (L = 3) improves on nothing: plain "
            "meta-gradients do at least as well",
            below("mg", "bmg", "rotated"),
            published="BMG below MG in 1 to 2 of 5 seeds",
            note="The log ratio is plain over bootstrapped. "
            f"Seeds won by bootstrapping, {wins('bmg', 'mg', 'rotated')}.",
        ),
        claim(
            "C13d",
            "For this rule a single hint does not help but hurts: the hinted update is worse than "
            "the plain one",
            below("mg", "omg", "axis-aligned") + below("mg", "omg", "rotated"),
            published="hinted better in 0 of 5 seeds; its rates rest at half of Newton's",
            note="The log ratio is plain over hinted. Optimism helps the averaged method of C2; "
            "here it makes the rule more careful, and that costs.",
        ),
        claim(
            "F1",
            "On a small network too, optimistic (bootstrapped) tuning of element-wise rates trains "
            "faster than standard tuning",
            (
                between("mean log ratio of online loss, BMG / MG", online["bmg"] - online["mg"],
                        high=0),
            ),
            source="Flennerhag et al. 2023, Figure 1 (caption read; curves not digitised)",
            published="ResNet-50 on ImageNet, 3 seeds; values not obtainable",
            status="not obtainable",
            note="A stand-in at desk scale: digits, one hidden layer of 32, minibatches of 64, "
            "L = 3, tuned on one grid. It cannot refute the figure, only fail to echo it. "
            "Mean online loss, nats: "
            + ", ".join(f"{kind} {value:.3f}" for kind, value in mean.mean().items())
            + ".",
        ),
    )  # fmt: skip
    summary = table.drop(columns="seed").groupby(["orientation", "kappa"], sort=False).mean()
    return Section(
        claims,
        {"element-wise rates": summary.reset_index()},
        {"element_wise": draw_element_wise(table, digits)},
        {
            "element_wise": "Left and middle: cumulative loss of learned element-wise rates as a "
            "share of the best fixed rate's, a dot per random problem; below the line, learning "
            "paid. Right: online loss on digits, mean and range over seeds."
        },
    )


def few_shot(settings: Settings) -> Section:
    """C14: rates learned by bootstrapping, beside Meta-SGD and a fixed rate."""
    protocol = Protocol(iterations=320, test_tasks=300) if settings.quick else Protocol()
    repeats = 8 if settings.quick else 24
    table = few_shot_table(protocol, repeats, settings.seed)
    last = f"k={protocol.inner_steps}"
    error = np.log(table.pivot_table(index="repeat", columns="learner", values=last))
    start = table.pivot_table(index="repeat", columns="learner", values="k=0")
    spoilt = int((start["BMG, L=5, moves init"] > start["BMG, L=5"]).sum())
    size = f"{repeats} repeats, {protocol.iterations} outer steps"

    def log_ratio(label: str, left: str, right: str, low: float = -np.inf) -> Check:
        high = np.inf if low == 0 else 0.0
        return between(label, error[left] - error[right], low, high)

    claims = (
        claim(
            "C14",
            "In few-shot learning, inner rates learned by bootstrapping (L = 5, matched on "
            "parameters) beat a fixed rate",
            (log_ratio("mean log error ratio, BMG L=5 / fixed", "BMG, L=5", "fixed rate"),),
            published="test error 2.06 and 1.84 against 2.53 and 2.25 (2 seeds)",
            note=f"{size}; squared error after {protocol.inner_steps} inner steps on unseen "
            "sinusoids. The protocol behind the two earlier seeds is not fully known.",
        ),
        claim(
            "C14b",
            "So do rates learned by bootstrapping matched on outputs",
            (log_ratio("mean log error ratio, BMG L=5 outputs / fixed",
                       "BMG, L=5, outputs", "fixed rate"),),
            published="2.22 and 2.03 against 2.53 and 2.25 (2 seeds)",
            note=size,
        ),
        claim(
            "C14c",
            "Bootstrapping with L = 1 and a squared distance is Meta-SGD, step for step",
            (
                between("largest relative difference of all learned numbers",
                        largest_parting(settings.seed, 25 if settings.quick else 100), high=1e-10),
                between("on a convolutional encoder (glyphs), largest difference",
                        encoder_parting(3 if settings.quick else 20, settings.seed), high=1e-8),
            ),
            published="identical",
            note="Adam on both, in float64; the encoder is trained as any recipe is, here with a "
            "rate per tensor.",
        ),
        claim(
            "C14d",
            "At this scale Meta-SGD's rates do better than bootstrapped ones (L = 5), whichever "
            "way the target is matched",
            (
                log_ratio("mean log error ratio, BMG L=5 / Meta-SGD", "BMG, L=5", "Meta-SGD", 0),
                log_ratio("matched on outputs", "BMG, L=5, outputs", "Meta-SGD", 0),
            ),
            published="2.06 and 1.84, matched on outputs 2.22 and 2.03, against 1.82 and 1.73",
            note=size,
        ),
        claim(
            "C14e",
            "Meta-SGD's rates, one per tensor, beat a fixed rate",
            (log_ratio("mean log error ratio, Meta-SGD / fixed", "Meta-SGD", "fixed rate"),),
            published="1.82 and 1.73 against 2.53 and 2.25 (2 seeds)",
            note=size,
        ),
        claim(
            "C14f",
            "Letting the target move the initialisation as well spoils the unadapted network",
            (
                Check("share of repeats whose error before adaptation is higher for it",
                      spoilt / repeats, low=0.5, interval=share_interval(spoilt, repeats)),
            ),
            published="error 270 before adaptation (one run)",
            note=f"{size}; median error {np.median(start['BMG, L=5, moves init']):.3g} against "
            f"{np.median(start['BMG, L=5']):.3g}. Hence the recommended learner: "
            "initialisation by the query loss, rates by the target.",
        ),
    )  # fmt: skip
    shown = [name for name in LEARNERS if name in set(table["learner"])]
    summary = table.drop(columns="repeat").groupby("learner", sort=False).median()
    return Section(
        claims,
        {"few-shot learners, medians": pd.DataFrame(summary.loc[shown].reset_index())},
        {"few_shot": draw_few_shot(table, TENSORS)},
        {
            "few_shot": "Left: test error of each learner after adaptation, a dot per repeat, a "
            "bar at the median. Right: the learned inner rate of each parameter tensor, median "
            "over repeats; layers are counted from the input."
        },
    )
