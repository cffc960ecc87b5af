"""Rates that follow a bootstrapped target: the target is planted, autograd is the judge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from metaprobe.data.errors import CheckpointError
from metaprobe.models.adapt import adapt
from metaprobe.models.bootstrap import Bootstrap
from metaprobe.models.forward import Params, features_of, stack
from metaprobe.models.learners import LEARNERS, meta_slopes, query_losses
from metaprobe.models.norms import NormMode
from metaprobe.models.rules import Rule, RuleName
from metaprobe.models.state import learned
from metaprobe.models.training import outer_step, start

from .networks import Kind, norm_mode, ours, parameters, prepared, signed_rates, smooth_net, tasks
from .runs import tiny_recipe, training_data

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
    data = training_data()
    plain = tiny_recipe("lslr")
    near = tiny_recipe("bmg", bootstrap={"steps": 1, "rate": 0.3})
    ours_, theirs = start(near, data), start(plain, data)
    for _ in range(plain.outer.steps):
        (ours_, loss), (theirs, their_loss) = (
            outer_step(near, data, ours_),
            outer_step(plain, data, theirs),
        )
        assert loss == pytest.approx(their_loss, abs=1e-5)
        for name, value in learned(ours_.params, ours_.rates).items():
            if not name.endswith("conv.bias"):  # dead: Adam makes steps of rounding errors
                torch.testing.assert_close(
                    value, learned(theirs.params, theirs.rates)[name], rtol=0, atol=2e-4
                )


@pytest.mark.parametrize(("steps", "rate"), [(0, 0.1), (1, 0.0), (1, -1.0), (1, float("nan"))])
def test_a_target_that_is_the_student_itself_is_refused(steps: int, rate: float) -> None:
    with pytest.raises(CheckpointError, match="one step or more, and a finite rate above 0"):
        Bootstrap(steps, rate)
