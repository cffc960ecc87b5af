"""The study as one value: every claim measured, judged and shown."""

from __future__ import annotations

from ..study import Settings, Study
from .claims_convex import convergence, guarantees, identities
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
)


def run(settings: Settings) -> Study:
    """Re-run the paper's claims: C1 to C14 of the derivation, and its Figure 1 at desk scale.

    Args:
        settings: ``quick`` uses fewer seeds and a shorter few-shot training, under the same rules.
    """
    sections = [section(settings) for section in SECTIONS]
    return Study(
        name="flennerhag2023",
        title="Optimistic Meta-Gradients",
        citation="Flennerhag, Zahavy, O'Donoghue, van Hasselt, György and Singh, NeurIPS 2023, "
        "https://arxiv.org/abs/2301.03236",
        question="Can a learner that learns its own update rule converge faster than ordinary "
        "gradient descent, and what does it need for that?",
        answer="Yes, if it is optimistic. Plain meta-gradients are gradient descent with momentum, "
        "exactly, and are guaranteed no more than its 1/T; a better update rule buys a constant "
        "factor. A guess of the next meta-gradient makes the method Nesterov's, with 1/T² "
        "guaranteed, and bootstrapping towards a target supplies that guess. On easy (quadratic) "
        "problems plain meta-gradients look just as fast, and there is a one-dimensional function "
        "on which they diverge. For learning inner rates we did not see optimism pay: Meta-SGD's "
        "plain meta-gradient was the better learner at this scale.",
        meaning="Inner rates in a checkpoint were moved by an outer optimiser, and momentum there "
        "is itself a meta-learned step: report it with the rates. A bootstrapped learner with a "
        "target one step away and a squared distance is Meta-SGD to the last digit, so its "
        "checkpoints can be audited by the same measures; with farther targets its rates differ "
        "and are not better by themselves. A rate profile (which layers adapt) belongs to the "
        "learner as much as to the task.",
        claims=tuple(claim for section in sections for claim in section.claims),
        tables={k: v for section in sections for k, v in section.tables.items()},
        figures={k: v for section in sections for k, v in section.figures.items()},
        captions={k: v for section in sections for k, v in section.captions.items()},
    )
