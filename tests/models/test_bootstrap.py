"""Rates that follow a bootstrapped target: the target is planted, autograd is the judge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from metaprobe.data.errors import CheckpointError
from metaprobe.models.adapt import adapt
from metaprobe.models.bootstrap import Bootstrap
from metaprobe.models.forward import Params, features_of, stack
from metaprobe.models.learners import LEARNERS, MetaBatch, meta_slopes, query_losses
from metaprobe.models.norms import NormMode
from metaprobe.models.outer import outer_step, start
from metaprobe.models.rules import Rule, RuleName
from metaprobe.models.state import learned

from .networks import (
    CONV4,
    Kind,
    body_of,
    norm_mode,
    ours,
    parameters,
    prepared,
    reference,
    signed_rates,
    smooth_net,
    tasks,
    torchs_own,
)
from .runs import in_float64, tiny_recipe, training_data

EPISODES, STEPS, SIDE, WIDTH = 2, 2, 8, 4 * 2 * 2
XI = 0.07


class Setting:
    """A smooth network with signed rates and a meta-batch, in float64."""

    def __init__(self, kind: Kind, rule: RuleName = "lslr") -> None:
        body = prepared(smooth_net(), kind)
        self.norm: NormMode = norm_mode(kind)
        self.features = features_of(ours(body, kind), "loop")
        self.params = parameters(body, WIDTH)
        self.rule = Rule(rule, lr=0.05, steps=STEPS)
        drawn = signed_rates(self.params)
        self.rates = {
            n: (0.5 * (drawn[n] if r.ndim else drawn[n].mean())).detach().requires_grad_()
            for n, r in self.rule.initial_rates(self.params).items()
        }
        self.batch = tasks(EPISODES, SIDE)

    def slopes(self, ahead: Bootstrap | None) -> tuple[Tensor, Params]:
        how = replace(LEARNERS["lslr"], rule=self.rule.name, bootstrap=ahead)
        given = (self.params, self.rule, self.rates, self.batch)
        return meta_slopes(how, self.features, self.norm, *given)

    def student(self) -> Params:
        support = (self.batch.support, self.batch.support_labels)
        stacked = stack(self.params, EPISODES)
        return adapt(self.features, stacked, self.rule, self.rates, *support, order=2)

    def target(self, steps: int) -> Params:
        """Where the student would go, by plain steps."""
        now = {n: p.detach() for n, p in self.student().items()}
        for step in range(steps):
            now = {n: p.detach().requires_grad_() for n, p in now.items()}
            loss = query_losses(self.features, self.norm, self.batch, now).sum()
            found = torch.autograd.grad(loss, list(now.values()))
            last = step == steps - 1
            now = {
                n: p - (XI if last else self.rates[n].detach()) * g
                for (n, p), g in zip(now.items(), found, strict=True)
            }
        return {n: p.detach() for n, p in now.items()}


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("kind", ["batch", "support"])
@pytest.mark.parametrize("rule", ["lslr", "meta-sgd"])
def test_rates_descend_half_the_squared_distance_to_the_target(
    rule: RuleName, kind: Kind, steps: int
) -> None:
    setting = Setting(kind, rule)
    _, slopes = setting.slopes(Bootstrap(steps, XI))
    student, target = setting.student(), setting.target(steps)
    apart = torch.stack([((student[n] - target[n]) ** 2).sum() / 2 for n in target]).sum()
    found = torch.autograd.grad(apart / (EPISODES * XI * steps), list(setting.rates.values()))
    for name, theirs in zip(setting.rates, found, strict=True):
        torch.testing.assert_close(slopes[f"rates.{name}"], theirs, rtol=1e-9, atol=1e-12)


def test_one_step_ahead_is_the_plain_learner_and_more_are_not() -> None:
    setting = Setting("batch")
    loss, plain = setting.slopes(None)
    near_loss, near = setting.slopes(Bootstrap(1, XI))
    _, far = setting.slopes(Bootstrap(5, XI))
    assert float(near_loss) == pytest.approx(float(loss), rel=1e-14)
    for name, slope in plain.items():
        torch.testing.assert_close(near[name], slope, rtol=1e-12, atol=1e-14)
        if name.startswith("params."):  # the initialisation follows the query loss all the same
            torch.testing.assert_close(far[name], slope, rtol=1e-12, atol=1e-14)
    assert any(not torch.allclose(far[n], s, rtol=0.05) for n, s in plain.items() if "rates." in n)


def test_training_one_step_ahead_is_training_the_plain_learner() -> None:
    """Ten outer steps of the whole trainer on Conv4: every parameter, moment and rate.

    In float64: a bias before batch normalisation has no slope but rounding errors. In float32
    they are as large as Adam's epsilon, and Adam makes whole steps of them; here they are nothing
    beside it.
    """
    data = training_data()
    plain = tiny_recipe("lslr", outer={"steps": 10})
    near = tiny_recipe("bmg", bootstrap={"steps": 1, "rate": 0.3}, outer={"steps": 10})
    far = tiny_recipe("bmg", bootstrap={"steps": 2, "rate": 0.3}, outer={"steps": 10})
    ours_, theirs, others = (in_float64(start(r, data)) for r in (near, plain, far))
    for _ in range(plain.outer.steps):
        ours_, loss = outer_step(near, data, ours_)
        theirs, their_loss = outer_step(plain, data, theirs)
        others, _ = outer_step(far, data, others)
        assert loss == pytest.approx(their_loss, rel=1e-12)
        assert_same(learned(ours_.params, ours_.rates), learned(theirs.params, theirs.rates))
        assert_same(ours_.moments, theirs.moments)
    assert ours_.params["body.block1.conv.weight"].dtype == torch.float64
    apart = [float((r - theirs.rates[n]).abs()) for n, r in others.rates.items()]
    assert max(apart) > 1e-3, "a target two steps ahead is another learner"


def assert_same(found: Params, wanted: Params) -> None:
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-8)


@pytest.mark.parametrize("rule", ["lslr", "meta-sgd"])
def test_one_step_ahead_walks_the_path_of_meta_sgd_by_the_book(rule: RuleName) -> None:
    """On Conv4, both learned by plain gradient descent; the book's learner shares no code of ours.

    `lslr` is Meta-SGD with its rates tied within each tensor.
    """
    body, episodes, inner = prepared(body_of(CONV4), "batch"), 2, 2
    features, net = features_of(ours(body, "batch"), "grouped"), torchs_own(body, "batch")
    batches = [shifted(tasks(episodes, 16), 0.1 * k) for k in range(6)]
    how = replace(LEARNERS["lslr"], rule=rule, bootstrap=Bootstrap(1, XI))
    at = Rule(rule, lr=0.1, steps=inner)
    params = parameters(body, CONV4["filters"])  # 16 pixels halved four times
    rates = at.initial_rates(params)
    book, book_rates = detached(params), detached(rates)
    for batch in batches:
        params, rates = detached(params), detached(rates)
        _, slopes = meta_slopes(how, features, "batch", params, at, rates, batch)
        params = {n: p - 0.2 * slopes[f"params.{n}"] for n, p in params.items()}
        rates = {n: r - 0.2 * slopes[f"rates.{n}"] for n, r in rates.items()}

        losses = []
        for e in range(episodes):
            _, logits = reference(net, book, book_rates, batch, e, steps=inner, order=2)
            losses.append(F.cross_entropy(logits, batch.query_labels[e]))
        leaves = [*book.values(), *book_rates.values()]
        found = torch.autograd.grad(torch.stack(losses).mean(), leaves)
        moved = [p - 0.2 * g for p, g in zip(leaves, found, strict=True)]
        book = detached(dict(zip(book, moved, strict=False)))
        book_rates = detached(dict(zip(book_rates, moved[len(book) :], strict=True)))
        assert_same(learned(params, rates), learned(book, book_rates))
    walked = [float((r - 0.1).abs().max()) for r in (r.detach() for r in rates.values())]
    assert max(walked) > 0.01, "the rates have moved"


def detached(values: Params) -> Params:
    return {n: v.detach().requires_grad_() for n, v in values.items()}


def shifted(batch: MetaBatch, by: float) -> MetaBatch:
    """Other images, the same labels."""
    return replace(
        batch,
        support=(7 * (batch.support + by)).sin(),
        query=(7 * (batch.query + by)).sin(),
    )


@pytest.mark.parametrize(("steps", "rate"), [(0, 0.1), (1, 0.0), (1, -1.0), (1, float("nan"))])
def test_a_target_that_is_the_student_itself_is_refused(steps: int, rate: float) -> None:
    with pytest.raises(CheckpointError, match="one step or more, and a finite rate above 0"):
        Bootstrap(steps, rate)
