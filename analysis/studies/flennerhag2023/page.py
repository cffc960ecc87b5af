"""The study as one value: every claim measured, judged and shown."""

from __future__ import annotations

from collections.abc import Sequence

from ..study import Claim, Settings, Study
from ..threads import small_work
from .claims_convex import convergence, guarantees, identities
from .claims_layers import layer_rates
from .claims_learned import bootstrapping, element_wise, few_shot
from .claims_momentum import conditioning, failures, learned_rule

SECTIONS = (
    identities,
    convergence,
    guarantees,
    failures,
    conditioning,
    learned_rule,
    bootstrapping,
    element_wise,
    few_shot,
    layer_rates,
)


ANSWER = (
    ("C1", "plain meta-gradients are gradient descent with momentum, exactly"),
    ("C5", "they are guaranteed 1/T, and 1/T² with a hint of the next meta-gradient"),
    ("C11", "a better update rule buys a constant factor and not a rate"),
    ("C2d", "on easy problems growing weights alone look just as fast as optimism"),
    ("C7", "but there is a one-dimensional function on which they diverge and optimism does not"),
    ("C12", "bootstrapping towards a target supplies the hint"),
    ("C14d", "for learning inner rates in few-shot tasks it did not pay at this scale: the plain "
             "meta-gradient (Meta-SGD) was the better learner"),
    ("O1", "on a convolutional encoder, rates learned by bootstrapping beat the plain "
           "meta-gradient's"),
)  # fmt: skip


def answer(claims: Sequence[Claim]) -> str:
    """The findings that were SUPPORTED as one paragraph; the others named as what they are."""
    verdicts = {claim.id: claim.verdict for claim in claims}
    held = [f"{sentence} ({name})" for name, sentence in ANSWER if verdicts[name] == "SUPPORTED"]
    open_ones = [
        f"{sentence.removeprefix('but ')} ({name} {verdicts[name]})"
        for name, sentence in ANSWER
        if verdicts[name] != "SUPPORTED"
    ]
    text = "; ".join(held) + "."
    text = text[:1].upper() + text[1:]
    return text + (f" Not confirmed: {'; '.join(open_ones)}." if open_ones else "")


@small_work()
def run(settings: Settings) -> Study:
    """Re-run the paper's claims: C1 to C14 of the derivation, and its Figure 1 at desk scale.

    Args:
        settings: ``quick`` uses fewer seeds and a shorter few-shot training, under the same rules.
    """
    sections = [section(settings) for section in SECTIONS]
    claims = tuple(claim for section in sections for claim in section.claims)
    return Study(
        name="flennerhag2023",
        title="Optimistic Meta-Gradients",
        citation="Flennerhag, Zahavy, O'Donoghue, van Hasselt, György and Singh, NeurIPS 2023, "
        "https://arxiv.org/abs/2301.03236",
        question="Can a method that learns its own update rule while it runs converge faster than "
        "ordinary gradient descent, and what does it need for that?",
        answer=answer(claims),
        meaning="Inner rates in a checkpoint were moved by an outer optimiser, and momentum there "
        "is itself a meta-learned step: report it with the rates. A bootstrapped learner with a "
        "target one step away and a squared distance is Meta-SGD to the last digit, so its "
        "checkpoints can be audited by the same measures; with farther targets its rates differ, "
        "so say which learner made them. A rate profile (which layers adapt) belongs to the "
        "learner as much as to the task: from the same weights and tasks, two learners of one rate "
        "per tensor end with different profiles.",
        claims=claims,
        tables={k: v for section in sections for k, v in section.tables.items()},
        figures={k: v for section in sections for k, v in section.figures.items()},
        captions={k: v for section in sections for k, v in section.captions.items()},
    )
