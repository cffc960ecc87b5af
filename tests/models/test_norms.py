"""Whose statistics a normalisation uses, and who feels them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metaprobe.data.errors import CheckpointError
from metaprobe.models.backbones import build_backbone
from metaprobe.models.forward import beside_support, features_of, stack
from metaprobe.models.norms import BatchNorm, NormMode, calibrate, with_norm

from .networks import CONV4, KINDS, RESNET, body_of, noise, prepared, torchs_own

SUPPORT, QUERY = noise(6, 2, 16, 16, seed=1), noise(9, 2, 16, 16, seed=2)


@pytest.fixture
def body() -> nn.Module:
    return prepared(body_of(CONV4), "batch")


@pytest.mark.parametrize("mode", ["batch", "running", "support"])
@pytest.mark.parametrize("architecture", [CONV4, RESNET], ids=["conv4", "resnet12"])
def test_each_mode_is_what_torch_would_do(architecture: dict[str, object], mode: NormMode) -> None:
    body = prepared(body_of(architecture), mode)
    rows = torch.cat([SUPPORT, QUERY])
    expected = torchs_own(body, mode)(rows)
    found = with_norm(body, mode, support_rows=len(SUPPORT))(rows)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_support_statistics_of_support_rows_alone_are_batch_statistics(body: nn.Module) -> None:
    one = with_norm(body, "support", support_rows=len(SUPPORT))(SUPPORT)
    torch.testing.assert_close(one, with_norm(body, "batch")(SUPPORT), rtol=0, atol=1e-12)


def queries_alone_and_together(body: nn.Module, mode: NormMode) -> tuple[Tensor, Tensor]:
    """Features of the queries judged one at a time, and all in one batch."""
    own = with_norm(body, mode, support_rows=len(SUPPORT))
    params = stack({f"body.{n}": p for n, p in own.named_parameters()}, 1)
    embed = beside_support(features_of(own), mode)
    with torch.no_grad():
        together = embed(params, SUPPORT[None], QUERY[None])[0]
        alone = [embed(params, SUPPORT[None], QUERY[None, i : i + 1])[0, 0] for i in range(9)]
    return torch.stack(alone), together


@pytest.mark.parametrize("mode", ["running", "support"])
def test_a_query_gets_the_same_answer_alone_as_in_a_batch(body: nn.Module, mode: NormMode) -> None:
    alone, together = queries_alone_and_together(body, mode)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-12)


def test_with_batch_statistics_a_query_feels_its_neighbours(body: nn.Module) -> None:
    alone, together = queries_alone_and_together(body, "batch")
    assert float((alone - together).abs().max()) > 0.1


@pytest.mark.parametrize("mode", ["batch", "running", "support"])
def test_a_network_is_copied_and_keeps_its_names(body: nn.Module, mode: NormMode) -> None:
    before = {n: t.clone() for n, t in body.state_dict().items()}
    twin = with_norm(body, mode, support_rows=3)
    twin(torch.cat([SUPPORT, QUERY]))
    assert list(twin.state_dict()) == list(before)
    assert all(torch.equal(t, before[n]) for n, t in body.state_dict().items())
    assert not any(isinstance(m, BatchNorm) for m in body.modules())
    assert not any(type(m) is nn.BatchNorm2d for m in twin.modules())


def test_the_mode_can_be_chosen_again(body: nn.Module) -> None:
    again = with_norm(with_norm(body, "batch"), "running")
    torch.testing.assert_close(again(QUERY), with_norm(body, "running")(QUERY))


@pytest.mark.parametrize("mode", ["batch", "support"])
def test_layers_without_scale_and_shift_are_fine(mode: NormMode) -> None:
    layer = nn.BatchNorm2d(2, affine=False).double()
    rows = torch.cat([SUPPORT, QUERY])
    own = with_norm(nn.Sequential(layer), mode, support_rows=len(rows))
    torch.testing.assert_close(own(rows), layer(rows), rtol=0, atol=1e-12)


def test_other_norm_layers_are_left_as_they_are() -> None:
    for kind in KINDS[3:]:
        body = prepared(body_of(CONV4), kind)
        torch.testing.assert_close(with_norm(body, "batch")(QUERY), body(QUERY), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("mode", "code"),
    [("layer", "unknown-norm"), ("support", "no-support"), ("running", "no-running-statistics")],
)
def test_a_mode_that_cannot_be_is_refused(mode: NormMode, code: str) -> None:
    body = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(CheckpointError) as refused:
        with_norm(body, mode)
    assert refused.value.code == code


class TwoNames(nn.Module):
    """A norm that is registered twice and used under its second name."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.trunk = nn.Sequential(nn.Conv2d(2, 2, 3), self.norm)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.trunk(x)
        return out.flatten(1)


def flat() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 5), nn.BatchNorm1d(5), nn.Tanh())


def tokens() -> nn.Module:
    return nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 5, 1), nn.BatchNorm1d(5), nn.Flatten())


@pytest.mark.parametrize("build", [TwoNames, flat, tokens])
def test_a_norm_of_vectors_or_of_two_names_follows_the_mode_too(
    build: Callable[[], nn.Module],
) -> None:
    """In training mode torch itself uses the batch's statistics, in evaluation the stored ones."""
    body = build().double()
    x, query = noise(6, 2, 4, 4, seed=7), noise(5, 2, 4, 4, seed=8)
    for parameter in body.parameters():
        parameter.data = torch.rand_like(parameter) + 0.2
    body.train()
    body(noise(9, 2, 4, 4, seed=9))  # statistics of its own
    stored = {n: b.clone() for n, b in body.named_buffers()}
    batch, running, supported = (
        with_norm(body.eval(), mode, support_rows=6) for mode in ("batch", "running", "support")
    )
    with torch.no_grad():
        torch.testing.assert_close(running(x), body(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(supported(torch.cat([x, query]))[:6], batch(x))
        both = supported(torch.cat([x, query]))[6:]
        torch.testing.assert_close(both[:1], supported(torch.cat([x, query[:1]]))[6:])
        assert all(torch.equal(b, stored[n]) for n, b in body.named_buffers())
        torch.testing.assert_close(batch(x), body.train()(x), rtol=0, atol=1e-12)
    assert not torch.allclose(batch(x), running(x))


def keeping(into: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """A hook that keeps what a layer receives."""
    return lambda module, args: into.append(args[0])


def test_calibration_stores_the_averages_over_the_batches() -> None:
    """Mean, and unbiased variance, of each layer's input under batch statistics."""
    body = build_backbone(CONV4, seed=1).double()
    batches = [noise(7, 2, 16, 16, seed=i) for i in range(3)]
    inputs: dict[str, list[Tensor]] = {}
    for name, layer in body.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(keeping(inputs.setdefault(name, [])))
    with torch.no_grad():
        for batch in batches:
            body(batch)
    found = calibrate(build_backbone(CONV4, seed=1).double(), batches)
    assert len(inputs) == 4
    for name, seen in inputs.items():
        layer = found.get_submodule(name)
        means = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
        variances = torch.stack([x.var(dim=(0, 2, 3), correction=1) for x in seen]).mean(dim=0)
        torch.testing.assert_close(layer.running_mean, means, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.running_var, variances, rtol=0, atol=1e-12)
    assert not found.training


def test_calibration_leaves_the_network_alone() -> None:
    body = build_backbone(CONV4)
    before = {n: t.clone() for n, t in body.state_dict().items()}
    calibrate(body, [torch.rand(5, 2, 16, 16)])
    assert all(torch.equal(t, before[n]) for n, t in body.state_dict().items())
