"""Files of the learners' own code: the right network, features equal to theirs, the head found."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import Encoder, load_encoder
from metaprobe.models.norms import with_norm

from . import learners as of


def saved(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


def same_features(encoder: Encoder, network: Any, norm: str | None = None) -> None:
    """The encoder's embedding is what the network's head would receive."""
    sample = torch.rand(3, *encoder.shape, generator=torch.Generator().manual_seed(3))
    body = with_norm(encoder.body, norm or encoder.norm)  # type: ignore[arg-type]
    if (norm or encoder.norm) == "batch":
        network = network.train()
    with torch.no_grad():
        torch.testing.assert_close(body(sample), network.embed(sample), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "architecture", "shape", "norm"),
    [
        (of.L2LCNN4, "conv4", (3, 84, 84), "batch"),
        (of.L2LOmniglot, "conv4", (1, 28, 28), "batch"),
        (of.Torchmeta, "conv4", (1, 28, 28), "batch"),
        (of.MetaVGG, "conv4", (1, 28, 28), "batch"),
        (of.MAMLpp, "conv4", (3, 84, 84), "batch"),
        (of.BOIL, "conv4", (3, 84, 84), "batch"),
        (of.LibFewShot, "conv4", (3, 84, 84), "running"),
        (of.Knagg, "conv4", (1, 28, 28), "batch"),
        (of.CloserLook, "conv4", (3, 84, 84), "running"),
        (of.ResNet12, "resnet12", (3, 84, 84), "running"),
        (of.ResNet18, "resnet18", (3, 84, 84), "running"),
    ],
)
def test_a_learners_file_gives_its_own_features(
    tmp_path: Path, build: Any, architecture: str, shape: tuple[int, ...], norm: str
) -> None:
    network = of.seeded(build)
    encoder = load_encoder(saved(network, tmp_path / "net.pt"))
    assert encoder.architecture["name"] == architecture
    assert (encoder.shape, encoder.norm) == (shape, norm)
    assert encoder.load_report is not None
    assert encoder.load_report.coverage == 1
    assert encoder.load_report.missing == ()
    assert encoder.strip_report is not None
    assert encoder.strip_report.equals_head_input
    same_features(encoder, network)


@pytest.mark.parametrize("filters", [32, 48, 64])
def test_the_filters_of_a_conv4_are_seen(tmp_path: Path, filters: int) -> None:
    network = of.seeded(of.LibFewShot, filters=filters)
    assert load_encoder(saved(network, tmp_path / "net.pt")).architecture["filters"] == filters


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: of.ResNet12(pooled=False), "resnet12"),
        (lambda: of.ResNet18((1, 1, 1, 1)), "resnet10"),
        (lambda: of.ResNet18((3, 4, 6, 3)), "resnet34"),
        (lambda: of.ResNet18(wide=True), "resnet18"),
    ],
)
def test_residual_variants_are_told_apart(tmp_path: Path, build: Any, name: str) -> None:
    network = of.seeded(build)
    arch = f"{name}:normalise=none,image=64" if name == "resnet18" else None
    encoder = load_encoder(saved(network, tmp_path / "net.pt"), arch=arch)
    assert encoder.architecture["name"] == name
    same_features(encoder, network)


class Plain(of.Learner):
    """A network as anybody would write it: names say nothing of a code base."""

    def __init__(self, bias: bool = True, affine: bool = True, side: int = 28) -> None:
        super().__init__()
        self.body = nn.ModuleList()
        for i, o in of.widths(1, 16):
            conv = nn.Conv2d(i, o, 3, padding=1, bias=bias)
            self.body.append(nn.Sequential(conv, nn.BatchNorm2d(o, affine=affine)))
        self.out = nn.Linear(16 * (side // 16) ** 2, 7)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.out

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        for one in self.body:
            x = nn.functional.max_pool2d(nn.functional.relu(one(x)), 2)
        return x.flatten(1)


@pytest.mark.parametrize(("bias", "affine"), [(True, True), (False, True), (True, False)])
def test_a_plain_conv4_is_read_once_the_stride_is_said(
    tmp_path: Path, bias: bool, affine: bool
) -> None:
    network = of.seeded(Plain) if affine else Plain(affine=False).eval()
    network = network if bias else Plain(bias=False).eval()
    path = saved(network, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match="no tensor tells apart") as refused:
        load_encoder(path)
    assert refused.value.code == "ambiguous-architecture"
    assert "--arch conv4:strided=false or --arch conv4:strided=true" in str(refused.value)
    encoder = load_encoder(path, arch="conv4:strided=false")
    assert encoder.architecture["bias"] is bias
    assert encoder.architecture["affine"] is affine
    same_features(encoder, network)


def test_another_image_side_is_seen_from_the_heads_width(tmp_path: Path) -> None:
    """Or asked for: 9 values a channel come from images of 48 pixels, which nobody uses."""
    network = Plain(side=48).eval()
    path = saved(network, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError) as refused:
        load_encoder(path, arch="conv4:strided=false")
    assert refused.value.code == "image-shape"
    encoder = load_encoder(path, arch="conv4:strided=false,image=48")
    assert encoder.shape == (1, 48, 48)
    same_features(encoder, network)


def test_a_wrong_architecture_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    path = saved(of.seeded(of.LibFewShot), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"fits conv4, not resnet12 \(4 convolutions"):
        load_encoder(path, arch="resnet12")
    torch.save({"lstm.weight_ih_l0": torch.ones(4, 3)}, tmp_path / "lstm.pt")
    with pytest.raises(CheckpointError, match="fits no built-in architecture"):
        load_encoder(tmp_path / "lstm.pt")


def test_a_missing_tensor_is_refused_unless_allowed_and_then_marked(tmp_path: Path) -> None:
    state = of.seeded(of.LibFewShot).state_dict()
    del state["emb_func.layer2.0.bias"]
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"'block2\.conv\.bias'\).* would be random") as no:
        load_encoder(tmp_path / "net.pt")
    assert no.value.code == "missing-tensors"
    report = load_encoder(tmp_path / "net.pt", allow_partial=True).load_report
    assert report is not None
    assert report.missing == ("block2.conv.bias",)
    assert (report.missing_parameters, report.missing_bytes) == (64, 256)
    assert 0.99 < report.coverage < 1


def test_layers_of_equal_values_are_layers_and_not_one_saved_twice(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = of.Torchmeta()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if ".conv." in name and "layer1" not in name:
                tensor.fill_(0.01)
    encoder = load_encoder(saved(network, tmp_path / "net.pt"))
    assert encoder.load_report is not None
    assert encoder.load_report.coverage == 1
    same_features(encoder, network)


def plain_conv4(*, between: list[nn.Module], side: int, strided: bool = False) -> Any:
    """A grey Conv4 of nobody's names in one list, for images of a side."""
    layers: list[nn.Module] = []
    for i in range(4):
        layers += [nn.Conv2d(32 if i else 1, 32, 3, padding=1, stride=2 if strided else 1)]
        layers += [*between, nn.BatchNorm2d(32), nn.ReLU(), *([] if strided else [nn.MaxPool2d(2)])]
    body = nn.Sequential(*layers, nn.Flatten())
    width = body(torch.zeros(1, 1, side, side)).shape[1]
    return nn.Sequential(OrderedDict(trunk=body, out=nn.Linear(width, 5)))


def test_a_side_that_also_fits_pooling_is_not_taken_for_a_stride(tmp_path: Path) -> None:
    network = plain_conv4(between=[], side=32)
    path = saved(network, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"strided=false,image=32 or --arch .*strided=true"):
        load_encoder(path)
    encoder = load_encoder(path, arch="conv4:strided=false")
    assert encoder.shape == (1, 32, 32)
    x = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder.body(x), network.eval().trunk(x))


def test_a_step_between_convolution_and_norm_is_not_read_as_none(tmp_path: Path) -> None:
    network = plain_conv4(between=[nn.ReLU()], side=28)
    path = saved(network, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="not right after its convolution"):
        load_encoder(path, arch="conv4:strided=false")


def pruned(layer: nn.Conv2d) -> None:
    prune.l1_unstructured(layer, "weight", 0.3)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("wrap", "what"),
    [
        (nn.utils.parametrizations.weight_norm, "a parametrisation"),
        (nn.utils.parametrizations.orthogonal, "a parametrisation"),
        (nn.utils.spectral_norm, "spectral normalisation or pruning"),
        (pruned, "pruning"),
    ],
)
def test_a_weight_that_is_kept_in_parts_is_told_how_to_become_one(
    wrap: Any, what: str, tmp_path: Path
) -> None:
    network = of.Torchmeta()
    wrap(next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d)))
    with pytest.raises(CheckpointError, match=f"{what} makes a weight") as refused:
        load_encoder(saved(network, tmp_path / "net.pt"))
    assert refused.value.code == "parametrised"


def test_half_precision_is_widened_and_wrappers_prefixes_are_shown(tmp_path: Path) -> None:
    network = of.seeded(of.LibFewShot)
    state = {f"module.{n}": t.half() if t.is_floating_point() else t
             for n, t in network.state_dict().items()}  # fmt: skip
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "half.pth")
    report = load_encoder(tmp_path / "half.pth").load_report
    assert report is not None
    assert report.prefix == "module."
    assert report.cast == sum(t.is_floating_point() for t in network.state_dict().values())


def test_an_averaged_network_loads_though_its_counters_are_no_whole_numbers(tmp_path: Path) -> None:
    network = of.seeded(of.LibFewShot)
    state = network.state_dict()
    averaged = {n: t * 1.5 if n.endswith("num_batches_tracked") else t for n, t in state.items()}
    assert averaged["emb_func.layer1.1.num_batches_tracked"].is_floating_point()
    torch.save(averaged, tmp_path / "average.pt")
    same_features(load_encoder(tmp_path / "average.pt"), network)


def test_a_variance_below_zero_is_refused_by_name(tmp_path: Path) -> None:
    state = of.seeded(of.LibFewShot).state_dict()
    state["emb_func.layer2.1.running_var"][3] = -0.5
    torch.save(state, tmp_path / "below.pt")
    with pytest.raises(CheckpointError, match=r"layer2\.1\.running_var.* 1 variances") as refused:
        load_encoder(tmp_path / "below.pt")
    assert refused.value.code == "negative-variance"


@pytest.mark.parametrize("build", [of.LibFewShot, of.ResNet12])
def test_r15_no_weight_that_a_file_lacks_is_drawn_in_silence(tmp_path: Path, build: Any) -> None:
    state = dict(of.seeded(build).state_dict())
    arch = "conv4" if build is of.LibFewShot else "resnet12"
    head = ("classifier", "fc.")
    body = [n for n in state if not (n.endswith("num_batches_tracked") or n.startswith(head))]
    assert len(body) > 20
    for name in body:
        less = {n: t for n, t in state.items() if n != name}
        torch.save(less, tmp_path / "less.pt")
        with pytest.raises(CheckpointError):
            load_encoder(tmp_path / "less.pt", arch=arch)


def test_a_weight_that_is_not_a_number_is_named(tmp_path: Path) -> None:
    state = of.seeded(of.LibFewShot).state_dict()
    state["emb_func.layer3.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(CheckpointError, match=r"emb_func\.layer3\.0\.weight.*1 values"):
        load_encoder(tmp_path / "nan.pt")
