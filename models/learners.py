"""What meta-training minimises: the loss of a meta-batch as a function of the meta-parameters.

- MAML, Meta-SGD, ANIL, BOIL: the query loss after the inner loop, differentiated
  through it (Finn et al. 2017; Li et al. 2017; Raghu et al. 2020; Oh et al. 2021).
- FOMAML: the same, with inner gradients taken as constants.
- NAL, non-adaptive learning (Collins et al. 2022): no inner loop; one set of
  parameters serves all tasks. Each training class owns a row of the head, and a
  task reads the rows of its classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .adapt import Order, adapt, episode_losses
from .forward import Features, Params, beside_support, logits_of, stack
from .norms import NormMode
from .rules import Adapts, Rule, RuleName

LearnerName = Literal["maml", "fomaml", "meta-sgd", "anil", "boil", "nal"]


@dataclass(frozen=True)
class Learner:
    """A way to meta-train.

    Args:
        rule: Name of the inner rule.
        adapts: Which parameters the inner loop moves.
        order: Which graph the outer gradient follows; 0 has no inner loop.
    """

    rule: RuleName
    adapts: Adapts
    order: Order


LEARNERS: Mapping[LearnerName, Learner] = {
    "maml": Learner("sgd", "all", 2),
    "fomaml": Learner("sgd", "all", 1),
    "meta-sgd": Learner("meta-sgd", "all", 2),
    "anil": Learner("sgd", "head", 2),
    "boil": Learner("sgd", "body", 2),
    "nal": Learner("sgd", "all", 0),
}


@dataclass(frozen=True)
class MetaBatch:
    """Tasks of one outer step, `E` of them.

    Args:
        support: ``(E, S, C, H, W)`` images.
        support_labels: ``(E, S)``.
        query: ``(E, B, C, H, W)`` images.
        query_labels: ``(E, B)``.
        classes: ``(E, W)`` classes of the training set, for learners that know them.
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    classes: Tensor


def adapted_loss(
    features: Features,
    norm: NormMode,
    params: Params,
    rule: Rule,
    rates: Params,
    batch: MetaBatch,
    order: Order,
) -> Tensor:
    """Mean query loss after adaptation, differentiable in `params` and `rates`."""
    stacked = stack(params, len(batch.support))
    moved = adapt(features, stacked, rule, rates, batch.support, batch.support_labels, order=order)
    rows = beside_support(features, norm)(moved, batch.support, batch.query)
    return episode_losses(logits_of(moved, rows), batch.query_labels).mean()


def joint_loss(features: Features, norm: NormMode, params: Params, batch: MetaBatch) -> Tensor:
    """Mean query loss of one set of parameters for all tasks (no inner loop).

    The head holds a row for every training class; each task uses those of its own.
    """
    stacked = stack(params, len(batch.query))
    own = batch.classes
    stacked["head.weight"] = params["head.weight"][own]
    stacked["head.bias"] = params["head.bias"][own]
    rows = beside_support(features, norm)(stacked, batch.support, batch.query)
    return episode_losses(logits_of(stacked, rows), batch.query_labels).mean()


def meta_loss(
    learner: Learner,
    features: Features,
    norm: NormMode,
    params: Params,
    rule: Rule,
    rates: Params,
    batch: MetaBatch,
) -> Tensor:
    """What this learner minimises."""
    if learner.order == 0:
        return joint_loss(features, norm, params, batch)
    return adapted_loss(features, norm, params, rule, rates, batch, learner.order)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of correct rows of each episode: `(E, B, W)`, `(E, B)` to `(E,)`."""
    return (logits.argmax(dim=-1) == labels).to(torch.float64).mean(dim=-1)
