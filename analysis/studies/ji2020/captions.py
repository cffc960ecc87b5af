"""What each figure of the study shows, in words; also its text alternative."""

from __future__ import annotations

from collections.abc import Mapping

CAPTIONS: Mapping[str, str] = {
    "meta-smoothness": "Largest curvature of the meta-loss at the start against the number of "
    "inner steps (median and middle half of problems). Left, both heads at the same inner rate: "
    "does the curve level off? Right, the nonconvex head with a fixed rate and one cut like 1/N.",
    "gradient norms": "Squared meta-gradient averaged over 40 outer iterations, against the number "
    "of inner steps (geometric mean ± 2 standard errors). Left, both heads at the same rates on "
    "the same tasks; middle, the same with the heads' starting points exchanged, to see what the "
    "geometry alone explains; right, the head's part of the gradient.",
    "training": "Meta-loss of the strongly convex head during meta-training for several numbers "
    "of inner steps, once per outer iteration and once per gradient evaluation, where an outer "
    "iteration costs N + 2.",
    "best number of steps": "Share of problems in which each number of inner steps reaches the "
    "target with the fewest gradient evaluations, for inner problems of two condition numbers κ.",
    "approach to the limit": "Left, relative error of the body's meta-gradient after N inner steps "
    "against a head solved exactly (median and middle half of problems), with the derived rate "
    "N q^N; right, the norm of the head's own meta-gradient with its derived bound.",
    "costs": "Operations of one task's meta-gradient against inner steps: in ANIL only the head is "
    "run again at each step, in MAML and first-order MAML the whole network is.",
    "noise floor": "Squared meta-gradient at which meta-training with sampled tasks levels off, "
    "against tasks per batch (median and middle half of problems), with the line 1/B.",
    "shipped encoders": "Inner loops of the shipped encoders on 5-way 1-shot episodes of unseen "
    "scripts. Left, the largest curvature of the head's loss, a dot an episode; above the orange "
    "bar, 2/α, a step of the encoder's own rate overshoots (BOIL never moves its head). Right, "
    "downward curvature when one block of the body adapts, or everything: the head alone has none.",
    "two bodies": "How far a linear head adapts in N steps on digit features of a random and of a "
    "trained body: left at one rate copied to both, right each at its own 1/L. The dotted line is "
    "90 % of the possible decrease.",
}
