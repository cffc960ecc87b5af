"""Many episodes at once give what one at a time gives, for every norm layer and order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metaprobe.models.adapt import Order, adapt
from metaprobe.models.build import build_body
from metaprobe.models.forward import (
    Params,
    Way,
    beside_support,
    features_of,
    groupable,
    logits_of,
    stack,
)
from metaprobe.models.learners import MetaBatch, adapted_loss
from metaprobe.models.norms import with_norm
from metaprobe.models.rules import Rule

from .networks import (
    CONV4,
    KINDS,
    RESNET,
    Kind,
    body_of,
    largest_gap,
    noise,
    norm_mode,
    ours,
    parameters,
    part,
    prepared,
    reference,
    signed_rates,
    tasks,
    torchs_own,
)

EXACT = 1e-9
EPISODES, STEPS = 4, 2
RULE = Rule("meta-sgd", steps=STEPS)


@pytest.fixture(params=["conv4", "resnet12"])
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, MetaBatch, int]:
    """A body, tasks of images it takes, and its width."""
    if request.param == "conv4":
        return body_of(CONV4), tasks(EPISODES, 16), 4
    return body_of(RESNET), tasks(EPISODES, 8), 6


def by_the_book(
    net: nn.Module, kind: Kind, params: Params, rates: Params, batch: MetaBatch, order: int
) -> tuple[Params, Tensor]:
    """The reference's adapted parameters and logits, stacked over the episodes."""
    found = [
        reference(net, params, rates, batch, e, steps=STEPS, order=order, beside=kind == "support")
        for e in range(EPISODES)
    ]
    adapted = {n: torch.stack([p[n] for p, _ in found]) for n in params}
    return adapted, torch.stack([logits for _, logits in found])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_adapted_parameters_and_logits_are_those_of_the_reference(
    network: tuple[nn.Module, MetaBatch, int], kind: Kind, order: Order
) -> None:
    raw, batch, width = network
    body = prepared(raw, kind)
    params = parameters(body, width)
    rates = signed_rates(params)
    expected, expected_logits = by_the_book(
        torchs_own(body, kind), kind, params, rates, batch, order
    )
    for way, chunk in (("loop", 4), ("grouped", 1), ("grouped", 4)):
        features = features_of(ours(body, kind), _way(way))
        for low in range(0, EPISODES, chunk):
            some = part(batch, low, low + chunk)
            moved = adapt(
                features,
                stack(params, chunk),
                RULE,
                rates,
                some.support,
                some.support_labels,
                order=order,
            )
            rows = beside_support(features, norm_mode(kind))(moved, some.support, some.query)
            own = {n: p[low : low + chunk] for n, p in expected.items()}
            assert largest_gap(moved, own) < EXACT
            logits = expected_logits[low : low + chunk]
            torch.testing.assert_close(logits_of(moved, rows), logits, rtol=0, atol=EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, 2])
def test_outer_gradients_are_those_of_the_reference(
    network: tuple[nn.Module, MetaBatch, int], kind: Kind, order: Order
) -> None:
    raw, batch, width = network
    body = prepared(raw, kind)
    params = parameters(body, width)
    rates = signed_rates(params)
    leaves = [*params.values(), *rates.values()]
    _, logits = by_the_book(torchs_own(body, kind), kind, params, rates, batch, order)
    loss = F.cross_entropy(logits.flatten(0, 1), batch.query_labels.flatten())
    expected = torch.autograd.grad(loss, leaves)
    assert max(float(g.abs().max()) for g in expected) > 1e-3

    for way, chunk in (("loop", 4), ("grouped", 1), ("grouped", 4)):
        features = features_of(ours(body, kind), _way(way))
        found = [torch.zeros_like(p) for p in leaves]
        for low in range(0, EPISODES, chunk):
            some = part(batch, low, low + chunk)
            own = adapted_loss(features, norm_mode(kind), params, RULE, rates, some, order)
            grads = torch.autograd.grad(own * chunk / EPISODES, leaves)
            found = [a + b for a, b in zip(found, grads, strict=True)]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=EXACT)


def _way(word: str) -> Way:
    return "loop" if word == "loop" else "grouped"


class Concatenating(nn.Sequential):
    """Each of its layers may be grouped; what it does with them may not."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.cat([input, self[0](input)], dim=1)


class Reversing(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flip(1))


def flipped_before(layer: nn.Module) -> nn.Module:
    """A hook sees all channels at once."""
    layer.register_forward_pre_hook(lambda module, args: (args[0].flip(1),))
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        nn.LayerNorm([2, 6, 6]),
        nn.Sequential(nn.Flatten(), nn.Linear(72, 72), nn.Unflatten(1, (2, 6, 6))),
        nn.PixelUnshuffle(2),
        nn.BatchNorm2d(2),
        nn.InstanceNorm2d(2, track_running_stats=True),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.Softmax2d(),
        nn.Dropout(),
        Concatenating(nn.Conv2d(2, 2, 3, padding=1)),
        Reversing(2, 2, 3, padding=1),
        flipped_before(nn.Conv2d(2, 2, 3, padding=1)),
        nn.utils.spectral_norm(nn.Conv2d(2, 2, 3, padding=1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_network_that_may_mix_channels_is_looped_over(layer: nn.Module) -> None:
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), layer, nn.ReLU(), nn.Flatten())
    body = body.double().eval()
    assert not groupable(body)
    with pytest.raises(ValueError, match="mix channels"):
        features_of(body, "grouped")
    params = {f"body.{n}": p.detach() for n, p in body.named_parameters()}
    images = noise(3, 4, 2, 6, 6, seed=1)
    found = features_of(body)(stack(params, 3), images)
    torch.testing.assert_close(found, torch.stack([body(x) for x in images]))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 8, 3, stride=2, groups=2),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.GroupNorm(1, 4),
        nn.GroupNorm(4, 4, affine=False),
        nn.InstanceNorm2d(4),
        nn.LeakyReLU(0.1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.AdaptiveMaxPool2d(2),
        nn.Sequential(nn.GELU(), nn.Sequential(nn.ELU(), nn.Identity())),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_keeps_to_its_channels_is_grouped(layer: nn.Module) -> None:
    body = nn.Sequential(nn.Conv2d(2, 4, 3), layer, nn.Flatten()).double()
    assert groupable(body)
    params = {
        f"body.{n}": torch.stack([p.detach() + 0.1 * noise(*p.shape, seed=e) for e in range(3)])
        for n, p in body.named_parameters()
    }
    images = noise(3, 4, 2, 9, 9, seed=1)
    one, other = (features_of(body, way)(params, images) for way in ("grouped", "loop"))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_head_is_a_linear_layer() -> None:
    weight, bias, rows = noise(2, 3, 5, seed=1), noise(2, 3, seed=2), noise(2, 4, 5, seed=3)
    expected = torch.stack([F.linear(rows[e], weight[e], bias[e]) for e in range(2)])
    found = logits_of({"head.weight": weight, "head.bias": bias}, rows)
    torch.testing.assert_close(found, expected)


def test_stacked_parameters_lead_their_gradients_back_to_the_one_original() -> None:
    p = torch.ones(3, requires_grad=True)
    stacked = stack({"p": p}, 4)["p"]
    weights: Any = torch.arange(12.0).reshape(4, 3)
    (stacked * weights).sum().backward()
    assert p.grad is not None
    assert p.grad.tolist() == [18.0, 22.0, 26.0]


def test_images_are_normalised_alike_in_groups_and_in_a_loop() -> None:
    """Side by side as channels, every episode has the same mean and spread taken off."""
    statistics = {"mean": [0.2, 0.4, 0.6], "std": [0.5, 0.6, 0.7]}
    plain = {"name": "conv4", "filters": 4, "channels": 3}
    body = with_norm(build_body({**plain, **statistics}, seed=1).double(), "batch")
    bare = with_norm(build_body(plain, seed=1).double(), "batch")
    images = torch.rand(3, 5, 3, 16, 16, dtype=torch.float64)
    params = stack({f"body.{n}": p.detach() for n, p in body.named_parameters()}, 3)
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in statistics.values())
    expected = features_of(bare, "loop")(params, (images - mean) / std)
    for way in ("loop", "grouped"):
        found = features_of(body, way)(params, images)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
