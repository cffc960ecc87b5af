"""Rules are arithmetic on parameters, gradients and rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.errors import CheckpointError
from metaprobe.models.rules import Rule

PARAMS = {
    "body.w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "body.b": torch.tensor([5.0, 6.0]),
    "head.weight": torch.tensor([[7.0, 8.0]]),
}
GRADS = {n: torch.full_like(p, 10.0) for n, p in PARAMS.items()}


def test_one_rate_serves_all() -> None:
    moved = Rule("sgd", 0.1).build().step(PARAMS, GRADS, {})
    assert {n: (PARAMS[n] - p).flatten().tolist() for n, p in moved.items()} == {
        "body.w": pytest.approx([1.0] * 4),
        "body.b": pytest.approx([1.0] * 2),
        "head.weight": pytest.approx([1.0] * 2),
    }


def test_a_learned_rate_may_have_either_sign_and_be_one_a_tensor_or_one_a_value() -> None:
    grads = {"body.w": GRADS["body.w"]}
    one = Rule("lslr").build().step(PARAMS, grads, {"body.w": torch.tensor(-0.1)})
    assert one["body.w"].tolist() == [[2.0, 3.0], [4.0, 5.0]]
    signs = torch.tensor([[0.1, -0.1], [0.0, 0.2]])
    each = Rule("meta-sgd").build().step(PARAMS, grads, {"body.w": signs})
    assert each["body.w"].tolist() == [[0.0, 3.0], [3.0, 2.0]]


@pytest.mark.parametrize("adapts", ["all", "body", "head"])
def test_rates_start_alike_for_each_parameter_that_moves(adapts: Any) -> None:
    moving = {n for n in PARAMS if adapts == "all" or n.startswith(adapts)}
    assert set(Rule("sgd", 0.3, adapts=adapts).movable(PARAMS)) == moving
    assert Rule("sgd", 0.3, adapts=adapts).initial_rates(PARAMS) == {}
    tensors = Rule("lslr", 0.3, adapts=adapts).initial_rates(PARAMS)
    assert set(tensors) == moving
    assert all(r.shape == () and float(r) == pytest.approx(0.3) for r in tensors.values())
    values = Rule("meta-sgd", 0.3, adapts=adapts).initial_rates(PARAMS)
    assert set(values) == moving
    assert all(torch.equal(r, torch.full_like(PARAMS[n], 0.3)) for n, r in values.items())


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"name": "adam"}, "unknown-rule"),
        ({"adapts": "("}, "unknown-rule"),
        ({"steps": -1}, "steps"),
        ({"steps": 1001}, "steps"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": float("inf")}, "lr"),
    ],
)
def test_a_setting_out_of_reason_is_refused(settings: dict[str, Any], code: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        Rule(**settings)
    assert refused.value.code == code


@given(
    name=st.sampled_from(["sgd", "lslr", "meta-sgd"]),
    lr=st.floats(-10, 10),
    steps=st.integers(0, 1000),
    adapts=st.sampled_from(["all", "head", "body"]),
)
def test_settings_survive_being_written_down(name: Any, lr: float, steps: int, adapts: Any) -> None:
    rule = Rule(name, lr, steps, adapts)
    assert Rule(**rule.to_json()) == rule
