"""Features of named layers: those of a truncated network, whichever way they are computed."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metaprobe.models.backbones import Conv4, build_backbone
from metaprobe.models.forward import features_of, stack
from metaprobe.models.layers import Tap, UnknownLayer, block_taps, layer_features, parse_tap
from metaprobe.models.norms import NormMode, with_norm

EPISODES, ROWS = 3, 5


def prepared(body: nn.Module, norm: NormMode = "batch") -> tuple[nn.Module, dict[str, Tensor]]:
    """A body in float64 and parameters that differ between episodes."""
    body = with_norm(body, norm, support_rows=2).double()
    params = stack({f"body.{n}": p.detach() for n, p in body.named_parameters()}, EPISODES)
    draw = torch.Generator().manual_seed(1)
    noise = {n: torch.randn(p.shape, generator=draw, dtype=p.dtype) for n, p in params.items()}
    return body, {n: p + 0.1 * noise[n] for n, p in params.items()}


def images(channels: int = 1, side: int = 20) -> Tensor:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(EPISODES, ROWS, channels, side, side, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("layer", ["block1", "block3"])
@pytest.mark.parametrize("pool", ["avg", "flatten"])
def test_a_tap_gives_what_a_network_cut_there_gives(layer: str, pool: str) -> None:
    body, params = prepared(Conv4(6))
    x = images()
    found = layer_features(body, [parse_tap(f"{layer}:{pool}")])(params, x)[f"{layer}:{pool}"]
    children = dict(body.named_children())
    before = dict(takewhile(lambda pair: pair[0] != layer, children.items()))
    cut = nn.Sequential()
    for name, child in {**before, layer: children[layer]}.items():
        cut.add_module(name, child)
    for e in range(EPISODES):
        kept = {n: params[f"body.{n}"][e] for n, _ in cut.named_parameters()}
        wanted = functional_call(cut, kept, (x[e],))
        wanted = wanted.mean(dim=(2, 3)) if pool == "avg" else wanted.flatten(1)
        torch.testing.assert_close(found[e], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["conv4", "resnet12", "resnet10"])
@pytest.mark.parametrize("norm", ["batch", "running", "support"])
def test_grouped_features_equal_looped_ones(name: str, norm: NormMode) -> None:
    arch: dict[str, Any] = {"name": name, "filters": 4} if name == "conv4" else {"name": name}
    if name == "resnet12":
        arch["widths"] = [4, 4, 6, 6]
    body, params = prepared(build_backbone(arch), norm)
    channels = next(p for n, p in body.named_parameters() if p.ndim == 4).shape[1]
    taps = [*block_taps(body), Tap("embedding"), Tap(block_taps(body)[0].layer, "flatten")]
    x = images(channels)
    grouped, looped = (layer_features(body, taps, way)(params, x) for way in ("grouped", "loop"))
    assert list(grouped) == list(looped) == [tap.name for tap in taps]
    for tap in taps:
        # with statistics of two rows, features may be in the tens of thousands
        torch.testing.assert_close(grouped[tap.name], looped[tap.name], rtol=1e-9, atol=1e-9)
    whole = features_of(body)(params, x)
    torch.testing.assert_close(grouped["embedding"], whole, rtol=1e-9, atol=1e-9)


def test_an_output_that_a_later_layer_overwrites_is_kept_as_it_was() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten())
    hasty = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten())
    hasty.load_state_dict(plain.state_dict())
    for way in ("loop", "grouped"):
        body, params = prepared(hasty)
        found = layer_features(body, [Tap("0", "flatten")], way)(params, images(1, 6))
        assert (found["0:flatten"] < 0).any()


def test_tokens_are_averaged_or_their_first_is_taken() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.flatten(2).transpose(1, 2)).mean(dim=1)  # type: ignore[no-any-return]

    x = images(2, 3)
    taps = [Tap("inner", "cls"), Tap("inner", "avg")]
    found = layer_features(Tokens(), taps)({}, x)
    torch.testing.assert_close(found["inner:cls"], x[..., 0, 0])
    torch.testing.assert_close(found["inner:avg"], x.mean(dim=(3, 4)))


class ChannelsLast(nn.Module):
    """As ConvNeXt: linear layers on maps whose channels are moved last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.LayerNorm(6)
        self.linear, self.act, self.back = nn.Linear(6, 5), nn.GELU(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).permute(0, 2, 3, 1)
        y = self.act(self.linear(self.norm(y)))
        out: Tensor = self.back(y.permute(0, 3, 1, 2))
        return out.mean(dim=(2, 3))


@pytest.mark.parametrize("side", [5, 6, 8])
def test_maps_with_channels_last_are_averaged_over_space(side: int) -> None:
    body = ChannelsLast()
    images = torch.rand(2, 3, 1, side, side, generator=torch.Generator().manual_seed(3))
    names = ("conv", "norm", "linear", "act", "back")
    params = stack({f"body.{n}": p.detach() for n, p in body.named_parameters()}, 2)
    found = layer_features(body, [Tap(n) for n in names])(params, images)
    x = images.flatten(0, 1)
    with torch.no_grad():
        conv = body.conv(x)
        norm = body.norm(conv.permute(0, 2, 3, 1))
        linear = body.linear(norm)
        act = body.act(linear)
    expected = {
        "conv": conv.mean((2, 3)), "norm": norm.mean((1, 2)), "linear": linear.mean((1, 2)),
        "act": act.mean((1, 2)), "back": act.mean((1, 2)),
    }  # fmt: skip
    for name in names:
        if side == 5 and name == "act":
            continue  # five of everything: no shape tells
        torch.testing.assert_close(found[f"{name}:avg"].flatten(0, 1), expected[name])


def test_an_unknown_layer_names_those_near_it() -> None:
    with pytest.raises(
        UnknownLayer, match=r"near it are.*block2.*the layers are block1, block1\.conv"
    ) as caught:
        layer_features(Conv4(4), [Tap("blok2")])
    assert caught.value.code == "unknown-layer"


def test_a_map_is_no_vector_unless_pooled() -> None:
    body, params = prepared(Conv4(4))
    with pytest.raises(UnknownLayer, match="choose flatten"):
        layer_features(body, [Tap("block1", "none")])(params, images())
    with pytest.raises(UnknownLayer, match="unknown; choose avg"):
        parse_tap("block1:max")


def test_blocks_that_repeat_are_taken_one_by_one() -> None:
    assert [t.layer for t in block_taps(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()))] == ["0"]
    stages = nn.ModuleDict(
        {"stem": nn.Conv2d(1, 2, 1), "blocks": nn.ModuleList(nn.Linear(2, 2) for _ in range(3))}
    )
    assert [t.layer for t in block_taps(stages)] == ["stem", "blocks.0", "blocks.1", "blocks.2"]
