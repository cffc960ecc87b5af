"""The inner loop, against arithmetic done apart from it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metaprobe.models.adapt import Order, adapt, episode_losses
from metaprobe.models.forward import Params, Way, features_of, stack
from metaprobe.models.rules import Rule

from .networks import (
    CONV4,
    WAY,
    body_of,
    largest_gap,
    noise,
    ours,
    parameters,
    prepared,
    reference,
    signed_rates,
    tasks,
    torchs_own,
)

EPISODES = 3
SIDE = 16
WAYS: tuple[Way, ...] = ("loop", "grouped")


@pytest.fixture
def body() -> nn.Module:
    return prepared(body_of(CONV4), "batch")


def adapted(
    body: nn.Module, params: Params, rule: Rule, rates: Params, way: Way = "auto"
) -> Params:
    batch = tasks(EPISODES, SIDE)
    features = features_of(ours(body, "batch"), way)
    stacked = stack(params, EPISODES)
    return adapt(features, stacked, rule, rates, batch.support, batch.support_labels)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["sgd", "lslr", "meta-sgd"])
def test_a_rate_of_zero_leaves_every_parameter_bit_for_bit(
    body: nn.Module, name: str, way: Way
) -> None:
    params = parameters(body, 4)
    rule = Rule(name, lr=0.0, steps=3)  # type: ignore[arg-type]
    found = adapted(body, params, rule, rule.initial_rates(params), way)
    assert all(torch.equal(found[n][e], p) for n, p in params.items() for e in range(EPISODES))


@pytest.mark.parametrize("way", WAYS)
def test_no_steps_leave_every_parameter_bit_for_bit(body: nn.Module, way: Way) -> None:
    params = parameters(body, 4)
    found = adapted(body, params, Rule("sgd", 0.5, steps=0), {}, way)
    assert all(torch.equal(found[n][e], p) for n, p in params.items() for e in range(EPISODES))


@pytest.mark.parametrize("way", WAYS)
def test_anil_never_moves_the_body_and_boil_never_the_head(body: nn.Module, way: Way) -> None:
    params = parameters(body, 4)
    for adapts, still in (("head", "body."), ("body", "head.")):
        found = adapted(body, params, Rule("sgd", 0.5, 2, adapts), {}, way)
        for name, p in params.items():
            if name.startswith(still):
                assert all(torch.equal(found[name][e], p) for e in range(EPISODES)), name
            elif not _dead(name):
                assert not any(torch.equal(found[name][e], p) for e in range(EPISODES)), name


def _dead(name: str) -> bool:
    """Biases whose gradient is zero but for rounding."""
    return name.endswith("conv.bias")


@pytest.mark.parametrize("adapts", ["all", "head", "body"])
def test_each_choice_of_what_moves_agrees_with_the_reference(body: nn.Module, adapts: str) -> None:
    params = parameters(body, 4)
    rates = signed_rates(params)
    rule = Rule("meta-sgd", steps=3, adapts=adapts)
    batch = tasks(EPISODES, SIDE)
    net = torchs_own(body, "batch")
    found = adapted(body, params, rule, rates)
    for e in range(EPISODES):
        book, _ = reference(
            net, params, rates, batch, e, steps=3, order=1, moves=lambda n: rule.moves(n)
        )
        assert largest_gap({n: p[e] for n, p in found.items()}, book) < 1e-10


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_meta_parameters_are_never_changed_in_place(
    body: nn.Module, way: Way, order: Order
) -> None:
    """``expand(1, …).contiguous()`` does not copy: an in-place step would train the model."""
    params = parameters(body, 4)
    before = {n: p.detach().clone() for n, p in params.items()}
    features = features_of(ours(body, "batch"), way)
    batch = tasks(1, SIDE)
    adapt(
        features,
        stack(params, 1),
        Rule("sgd", 0.5, 2),
        {},
        batch.support,
        batch.support_labels,
        order=order,
    )
    assert all(torch.equal(params[n], before[n]) for n in params)
    assert all(p.requires_grad and p.is_leaf and p.grad is None for p in params.values())


def test_equal_rates_for_all_are_one_rate(body: nn.Module) -> None:
    params = parameters(body, 4)
    one = adapted(body, params, Rule("sgd", 0.3, 3), {})
    for name in ("lslr", "meta-sgd"):
        rule = Rule(name, 0.3, 3)
        assert largest_gap(adapted(body, params, rule, rule.initial_rates(params)), one) < 1e-12


@pytest.mark.parametrize("way", WAYS)
def test_an_episode_does_not_feel_the_others(body: nn.Module, way: Way) -> None:
    params = parameters(body, 4)
    batch = tasks(EPISODES, SIDE)
    features = features_of(ours(body, "batch"), way)
    rule = Rule("sgd", 0.3, 2)
    alone = adapt(
        features, stack(params, 1), rule, {}, batch.support[1:2], batch.support_labels[1:2]
    )
    among = adapted(body, params, rule, {}, way)
    assert largest_gap(alone, {n: p[1:2] for n, p in among.items()}) < 1e-12


def test_the_observer_sees_every_step_and_its_arithmetic(body: nn.Module) -> None:
    params = parameters(body, 4)
    seen: list[tuple[int, Params, Params, Params]] = []
    batch = tasks(EPISODES, SIDE)
    rule = Rule("sgd", 0.3, 3, "body")
    found = adapt(
        features_of(ours(body, "batch")),
        stack(params, EPISODES),
        rule,
        {},
        batch.support,
        batch.support_labels,
        observe=lambda *told: seen.append(told),
    )
    assert [step for step, *_ in seen] == [0, 1, 2]
    for _, before, grads, after in seen:
        assert set(grads) == {n for n in params if n.startswith("body.")}
        assert (
            largest_gap(
                {n: after[n] for n in grads}, {n: before[n] - 0.3 * grads[n] for n in grads}
            )
            == 0
        )
    for (_, _, _, after), (_, before, _, _) in pairwise(seen):
        assert largest_gap(after, before) == 0
    assert largest_gap(seen[-1][3], found) == 0


def test_the_number_of_steps_may_be_told(body: nn.Module) -> None:
    params = parameters(body, 4)
    batch = tasks(EPISODES, SIDE)
    features = features_of(ours(body, "batch"))
    told = adapt(
        features,
        stack(params, EPISODES),
        Rule("sgd", 0.3, 5),
        {},
        batch.support,
        batch.support_labels,
        steps=2,
    )
    assert largest_gap(told, adapted(body, params, Rule("sgd", 0.3, 2), {})) == 0


@pytest.mark.parametrize("adapts", ["all", "head", "body"])
def test_without_an_order_no_graph_is_left_behind(body: nn.Module, adapts: str) -> None:
    found = adapted(body, parameters(body, 4), Rule("sgd", 0.3, 2, adapts), {})
    assert not any(p.requires_grad for p in found.values())


def test_adaptation_works_where_gradients_are_switched_off(body: nn.Module) -> None:
    params = parameters(body, 4)
    expected = adapted(body, params, Rule("sgd", 0.3, 2), {})
    with torch.no_grad():
        found = adapted(body, params, Rule("sgd", 0.3, 2), {})
        assert not torch.is_grad_enabled()
    assert largest_gap(found, expected) == 0


@pytest.mark.parametrize("kind", ["batch", "support", "running"])
def test_a_bias_before_batch_statistics_has_no_gradient(kind: str) -> None:
    """What it adds the normalisation takes away: its rate is dead (not so with stored statistics)."""
    raw = prepared(body_of(CONV4), kind)  # type: ignore[arg-type]
    params = parameters(raw, 4)
    batch = tasks(EPISODES, SIDE)
    size: dict[str, float] = {}

    def observe(step: int, before: Params, grads: Params, after: Params) -> None:
        size.update({n: float(g.abs().max()) for n, g in grads.items()})

    adapt(
        features_of(ours(raw, kind)),  # type: ignore[arg-type]
        stack(params, EPISODES),
        Rule("sgd", 0.1, 1),
        {},
        batch.support,
        batch.support_labels,
        observe=observe,
    )
    largest = max(size.values())
    dead = {n for n, g in size.items() if g < 1e-15 * largest}
    expected = {n for n in params if _dead(n)} if kind != "running" else set()
    assert dead == expected, size


def test_the_loss_is_the_mean_over_an_episodes_own_rows() -> None:
    logits, labels = noise(2, 4, 3, seed=1), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    found = episode_losses(logits, labels)
    for e in range(2):
        assert math.isclose(float(found[e]), float(F.cross_entropy(logits[e], labels[e])))
    assert episode_losses(torch.zeros(1, 2, WAY), torch.zeros(1, 2, dtype=torch.long)) == (
        pytest.approx(math.log(WAY))
    )
