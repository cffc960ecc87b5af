"""Networks under the names that well-known learners' code saves them under.

Each is written anew after its source: the same attributes, in the same order of registration,
the same shapes, so that `torch.save` of its state dict is what that code would have written.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn


def block(inputs: int, filters: int, *, running: bool = True, pool: bool = True) -> nn.Sequential:
    """Convolution, norm, ReLU, pooling, by number."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, filters, 3, padding=1),
        nn.BatchNorm2d(filters, track_running_stats=running),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def widths(channels: int, filters: int) -> list[tuple[int, int]]:
    return [(channels if i == 0 else filters, filters) for i in range(4)]


class Learner(nn.Module):
    """A network whose features are `embed` and whose output is its head's."""

    head: nn.Module

    def embed(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.embed(x))
        return out


class L2LBlock(nn.Module):
    """learn2learn's ConvBlock: the norm is registered before the convolution."""

    def __init__(self, inputs: int, filters: int, max_pool: bool) -> None:
        super().__init__()
        if max_pool:
            self.max_pool: Any = nn.MaxPool2d(2)
        self.normalize = nn.BatchNorm2d(filters)
        nn.init.uniform_(self.normalize.weight)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inputs, filters, 3, 1 if max_pool else 2, padding=1)
        self.pools = max_pool

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.normalize(self.conv(x)))
        return self.max_pool(y) if self.pools else y


class L2LCNN4(Learner):
    """learn2learn's CNN4 (MiniImagenetCNN)."""

    def __init__(self, ways: int = 5, filters: int = 32, channels: int = 3, side: int = 84) -> None:
        super().__init__()
        blocks = [L2LBlock(i, o, True) for i, o in widths(channels, filters)]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(filters * (side // 16) ** 2, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out.flatten(1)


class Lambda(nn.Module):
    def __init__(self, fn: Any) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fn(x)
        return out


class L2LOmniglot(Learner):
    """learn2learn's OmniglotCNN: its base is saved a second time within its features."""

    def __init__(self, ways: int = 5, filters: int = 64) -> None:
        super().__init__()
        self.base = nn.Sequential(*[L2LBlock(i, o, False) for i, o in widths(1, filters)])
        self.features = nn.Sequential(
            Lambda(lambda x: x.view(-1, 1, 28, 28)),
            self.base,
            Lambda(lambda x: x.mean(dim=[2, 3])),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(filters, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out


class L2LMAML(nn.Module):
    """learn2learn's MAML around a network, as far as what it saves and how it steps."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class L2LMetaSGD(L2LMAML):
    """learn2learn's MetaSGD: a list of rates in the order of `parameters()`."""

    def __init__(self, module: nn.Module, lr: float = 1.0) -> None:
        super().__init__(module)
        rates = [nn.Parameter(torch.ones_like(p) * lr) for p in module.parameters()]
        self.lrs = nn.ParameterList(rates)


class Torchmeta(Learner):
    """torchmeta's ModelConv, used by pytorch-maml: features.layer1.conv, classifier."""

    def __init__(self, ways: int = 5, filters: int = 64, channels: int = 1, side: int = 28) -> None:
        super().__init__()
        blocks = OrderedDict[str, nn.Module]()
        for i, (inputs, outputs) in enumerate(widths(channels, filters)):
            blocks[f"layer{i + 1}"] = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=nn.Conv2d(inputs, outputs, 3, padding=1),
                    norm=nn.BatchNorm2d(outputs, momentum=1.0, track_running_stats=False),
                    relu=nn.ReLU(),
                    pool=nn.MaxPool2d(2),
                )
            )
        self.features = nn.Sequential(blocks)
        self.classifier = nn.Linear(filters * (side // 16) ** 2, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out.flatten(1)


class MetaVGG(Learner):
    """The first pytorch-maml: features.conv1.conv with a leaky ReLU."""

    def __init__(self, ways: int = 5, filters: int = 64) -> None:
        super().__init__()
        parts = OrderedDict[str, nn.Module]()
        for i, (inputs, outputs) in enumerate(widths(1, filters)):
            parts[f"conv{i + 1}"] = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=nn.Conv2d(inputs, outputs, 3, padding=1),
                    norm=nn.BatchNorm2d(outputs, track_running_stats=False),
                    relu=nn.LeakyReLU(),
                )
            )
            parts[f"pool{i + 1}"] = nn.MaxPool2d(2)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(filters, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out.flatten(1)


class MAMLppBlock(nn.Module):
    """MAML++'s convolution, norm and leaky ReLU; `steps` rows of statistics where asked."""

    def __init__(self, inputs: int, filters: int, steps: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, filters, 3, padding=1)
        shape = (steps, filters) if steps else (filters,)
        self.norm_layer = nn.Module()
        self.norm_layer.running_mean = nn.Parameter(torch.zeros(shape), requires_grad=False)
        self.norm_layer.running_var = nn.Parameter(torch.ones(shape), requires_grad=False)
        self.norm_layer.bias = nn.Parameter(torch.randn(shape) * 0.1)
        self.norm_layer.weight = nn.Parameter(torch.ones(shape) + torch.randn(shape) * 0.1)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        norm: Any = self.norm_layer
        weight, bias = (t[-1] if self.steps else t for t in (norm.weight, norm.bias))
        y = nn.functional.batch_norm(self.conv(x), None, None, weight, bias, True)
        return nn.functional.max_pool2d(nn.functional.leaky_relu(y), 2)


class MAMLpp(Learner):
    """MAML++'s few-shot classifier with its rates: a vector of steps + 1 for each tensor."""

    def __init__(
        self, ways: int = 5, filters: int = 48, steps: int = 5, per_step: bool = False
    ) -> None:
        super().__init__()
        self.classifier = nn.Module()
        layers: dict[str, nn.Module] = {
            f"conv{i}": MAMLppBlock(a, b, steps if per_step else 0)
            for i, (a, b) in enumerate(widths(3, filters))
        }
        linear = nn.Module()
        linear.weights = nn.Parameter(torch.randn(ways, 25 * filters) * 0.02)
        linear.bias = nn.Parameter(torch.zeros(ways))
        self.classifier.layer_dict = nn.ModuleDict({**layers, "linear": linear})
        self.inner_loop_optimizer = nn.Module()
        self.inner_loop_optimizer.names_learning_rates_dict = nn.ParameterDict(
            {
                name.replace(".", "-"): nn.Parameter(0.01 + 0.02 * torch.rand(steps + 1))
                for name, p in self.classifier.named_parameters()
                if p.requires_grad and "norm_layer" not in name
            }
        )

    def embed(self, x: Tensor) -> Tensor:
        layers: Any = self.classifier.layer_dict
        for i in range(4):
            x = layers[f"conv{i}"](x)
        return x.flatten(1)


class BOIL(Learner):
    """BOIL's ConvNet: features.0.0, features.0.1, classifier; no running statistics."""

    def __init__(self, ways: int = 5, filters: int = 64, channels: int = 3, side: int = 84) -> None:
        super().__init__()
        blocks = [block(i, o, running=False) for i, o in widths(channels, filters)]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(filters * (side // 16) ** 2, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out.flatten(1)


class LibFewShot(Learner):
    """LibFewShot's learner around Conv64F: emb_func.layer1.0, …, classifier."""

    def __init__(self, ways: int = 64, filters: int = 64) -> None:
        super().__init__()
        self.emb_func = nn.Module()
        for i, (inputs, outputs) in enumerate(widths(3, filters)):
            setattr(self.emb_func, f"layer{i + 1}", block(inputs, outputs))
        self.classifier = nn.Linear(25 * filters, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        for i in range(4):
            x = getattr(self.emb_func, f"layer{i + 1}")(x)
        return x.flatten(1)


class Knagg(Learner):
    """O. Knagg's few-shot classifier: conv1.0, conv1.1, logits."""

    def __init__(self, ways: int = 5, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        for i, (inputs, outputs) in enumerate(widths(channels, 64)):
            setattr(self, f"conv{i + 1}", block(inputs, outputs))
        self.logits = nn.Linear(width, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.logits

    def embed(self, x: Tensor) -> Tensor:
        for i in range(4):
            x = getattr(self, f"conv{i + 1}")(x)
        return x.flatten(1)


class CloserLookBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.C = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.BN = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.trunk = nn.Sequential(self.C, self.BN, self.relu, self.pool)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.trunk(x)
        return out


class CloserLook(Learner):
    """A closer look at few-shot classification: every layer is saved twice."""

    def __init__(self, ways: int = 20, filters: int = 64) -> None:
        super().__init__()
        self.feature = nn.Module()
        blocks: list[nn.Module] = [CloserLookBlock(i, o) for i, o in widths(3, filters)]
        self.feature.trunk = nn.Sequential(*blocks, nn.Flatten())
        self.classifier = nn.Linear(25 * filters, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.classifier

    def embed(self, x: Tensor) -> Tensor:
        feature: Any = self.feature
        out: Tensor = feature.trunk(x)
        return out


class FewShotBlock(nn.Module):
    """A block of the few-shot literature's ResNet-12 (three convolutions) or ResNet-18 (two)."""

    def __init__(
        self, inputs: int, outputs: int, convolutions: int, stride: int, pool: int
    ) -> None:
        super().__init__()
        steep = convolutions == 3
        for i in range(convolutions):
            first = inputs if i == 0 else outputs
            step = stride if i == 0 else 1
            setattr(self, f"conv{i + 1}", nn.Conv2d(first, outputs, 3, step, 1, bias=False))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(outputs))
        self.relu = nn.LeakyReLU(0.1) if steep else nn.ReLU()
        self.maxpool = nn.MaxPool2d(pool)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs or steep:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.convolutions = convolutions

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(self.convolutions):
            y = getattr(self, f"bn{i + 1}")(getattr(self, f"conv{i + 1}")(y))
            if i < self.convolutions - 1:
                y = self.relu(y)
        side = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.maxpool(self.relu(y + side))
        return out


class ResNet12(Learner):
    """LibFewShot's and MetaOptNet's ResNet-12: layer1.0.conv1, downsample.0."""

    def __init__(
        self, ways: int = 5, sizes: tuple[int, ...] = (8, 20, 40, 80), pooled: bool = True
    ) -> None:
        super().__init__()
        before = 3
        for i, width in enumerate(sizes):
            setattr(self, f"layer{i + 1}", nn.Sequential(FewShotBlock(before, width, 3, 1, 2)))
            before = width
        self.fc = nn.Linear(before if pooled else 25 * before, ways)
        self.pooled = pooled

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.fc

    def embed(self, x: Tensor) -> Tensor:
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return x.mean(dim=(2, 3)) if self.pooled else x.flatten(1)


class ResNet18(Learner):
    """ResNets of two convolutions a block: LibFewShot's stem, or ImageNet's."""

    def __init__(
        self, depths: tuple[int, ...] = (2, 2, 2, 2), wide: bool = False, ways: int = 5
    ) -> None:
        super().__init__()
        sizes = (8, 16, 24, 32)
        self.conv1 = nn.Conv2d(
            3, 8, 7 if wide else 3, 2 if wide else 1, 3 if wide else 1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if wide else nn.Identity()
        before = 8
        for s, (depth, width) in enumerate(zip(depths, sizes, strict=True)):
            blocks = []
            for b in range(depth):
                blocks.append(FewShotBlock(before, width, 2, 2 if s and not b else 1, 1))
                before = width
            setattr(self, f"layer{s + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, ways)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        return self.fc

    def embed(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return x.mean(dim=(2, 3))


def seeded(build: Any, *args: Any, **kwargs: Any) -> Any:
    """A network with weights of its own and norms that have seen images; in evaluation mode."""
    torch.manual_seed(7)
    network = build(*args, **kwargs)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            if layer.affine:
                layer.weight.data.uniform_(0.5, 2)
                layer.bias.data.normal_()
    return network.eval()
