"""What meta-training minimises: the loss of a meta-batch as a function of the meta-parameters.

- MAML, Meta-SGD, ANIL, BOIL: the query loss after the inner loop, differentiated
  through it (Finn et al. 2017; Li et al. 2017; Raghu et al. 2020; Oh et al. 2021).
- FOMAML: the same, with inner gradients taken as constants.
- LSLR: Meta-SGD with one rate for each parameter tensor (Antoniou et al. 2019).
- BMG: LSLR whose rates follow a bootstrapped target instead of the query loss
  (`bootstrap.py`); the initialisation follows the query loss, as in the others.
- NAL, non-adaptive learning (Collins et al. 2022): no inner loop; one set of
  parameters serves all tasks. Each training class owns a row of the head, and a
  task reads the rows of its classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from .adapt import Order, adapt, episode_losses
from .bootstrap import Bootstrap, pull
from .forward import Features, Params, beside_support, logits_of, stack
from .norms import NormMode
from .rules import Adapts, Rule, RuleName
from .state import learned

LearnerName = Literal["maml", "fomaml", "meta-sgd", "lslr", "bmg", "anil", "boil", "nal"]


@dataclass(frozen=True)
class Learner:
    """A way to meta-train.

    Args:
        rule: Name of the inner rule.
        adapts: Which parameters the inner loop moves.
        order: Which graph the outer gradient follows; 0 has no inner loop.
        bootstrap: The target that the rates follow; None where they follow the query loss.
    """

    rule: RuleName
    adapts: Adapts
    order: Order
    bootstrap: Bootstrap | None = None


LEARNERS: Mapping[LearnerName, Learner] = {
    "maml": Learner("sgd", "all", 2),
    "fomaml": Learner("sgd", "all", 1),
    "meta-sgd": Learner("meta-sgd", "all", 2),
    "lslr": Learner("lslr", "all", 2),
    "bmg": Learner("lslr", "all", 2, Bootstrap()),
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
    return query_losses(features, norm, batch, moved).mean()


def query_losses(features: Features, norm: NormMode, batch: MetaBatch, moved: Params) -> Tensor:
    """Query loss of each task, ``(E,)``, at parameters of its own."""
    rows = beside_support(features, norm)(moved, batch.support, batch.query)
    return episode_losses(logits_of(moved, rows), batch.query_labels)


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


def meta_slopes(
    learner: Learner,
    features: Features,
    norm: NormMode,
    params: Params,
    rule: Rule,
    rates: Params,
    batch: MetaBatch,
) -> tuple[Tensor, Params]:
    """The meta-loss, and what the outer loop descends.

    Returns:
        The loss, and a gradient for each of ``params.…`` and ``rates.…``; zero where nothing
        depends on it. Only with a bootstrapped target do the rates descend something else
        than this loss.
    """
    if learner.bootstrap is not None:
        return _bootstrapped_slopes(learner.bootstrap, features, norm, params, rule, rates, batch)
    loss = meta_loss(learner, features, norm, params, rule, rates, batch)
    values = learned(params, rates)
    found = torch.autograd.grad(
        loss, list(values.values()), allow_unused=True, materialize_grads=True
    )
    return loss.detach(), dict(zip(values, found, strict=True))


def _bootstrapped_slopes(
    ahead: Bootstrap,
    features: Features,
    norm: NormMode,
    params: Params,
    rule: Rule,
    rates: Params,
    batch: MetaBatch,
) -> tuple[Tensor, Params]:
    """One inner loop, two ways back through it: the query loss to where adaptation starts,
    the target to the rates."""
    episodes = len(batch.support)
    stacked = stack(params, episodes)
    student = adapt(features, stacked, rule, rates, batch.support, batch.support_labels, order=2)
    losses = partial(query_losses, features, norm, batch)
    back = pull(ahead, student, rule, rates, losses)
    of_rates = torch.autograd.grad(
        [student[n] for n in back],
        list(rates.values()),
        [b / episodes for b in back.values()],
        retain_graph=True,
        materialize_grads=True,
    )
    loss = losses(student).mean()
    of_params = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
    found = (dict(zip(params, of_params, strict=True)), dict(zip(rates, of_rates, strict=True)))
    return loss.detach(), learned(*found)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of correct rows of each episode: `(E, B, W)`, `(E, B)` to `(E,)`."""
    return (logits.argmax(dim=-1) == labels).to(torch.float64).mean(dim=-1)
