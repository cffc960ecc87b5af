"""The residual encoders of the few-shot literature: ResNet-12, and ResNet-10, 18 and 34.

Everything in them acts on channels alone, as `backbones.py` asks. Names follow
the computation: ``stage2.block1.conv1`` is the first convolution of the first
block of the second stage.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Three convolutions beside a 1x1 shortcut, then pooling: half the side."""

    def __init__(self, inputs: int, outputs: int, running: bool = True) -> None:
        super().__init__()
        layers = OrderedDict[str, nn.Module]()
        for i in range(3):
            width = outputs if i else inputs
            layers[f"conv{i + 1}"] = nn.Conv2d(width, outputs, 3, padding=1, bias=False)
            layers[f"norm{i + 1}"] = nn.BatchNorm2d(outputs, track_running_stats=running)
            if i < 2:
                layers[f"relu{i + 1}"] = nn.LeakyReLU(0.1)
        self.path = nn.Sequential(layers)
        self.shortcut = _shortcut(inputs, outputs, 1, running)
        self.relu = nn.LeakyReLU(0.1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(self.relu(self.path(x) + self.shortcut(x)))
        return out


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is 1x1 where width or side changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, running: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs, track_running_stats=running)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs, track_running_stats=running)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _shortcut(inputs, outputs, stride, running)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        out: Tensor = self.relu(inner + self.shortcut(x))
        return out


class ResNet12(nn.Sequential):
    """Four residual blocks and a spatial mean (Oreshkin et al. 2018; Lee et al. 2019).

    Args:
        widths: Channels of each block.
        channels: Channels `C` of an image.
        pooled: Average the last feature map over space; otherwise flatten it.
        running: Whether batch normalisation stores running statistics.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 160, 320, 640),
        channels: int = 1,
        pooled: bool = True,
        running: bool = True,
    ) -> None:
        blocks = OrderedDict[str, nn.Module]()
        for i, width in enumerate(widths):
            before = widths[i - 1] if i else channels
            blocks[f"block{i + 1}"] = ResidualBlock(before, width, running)
        super().__init__(_ended(blocks, pooled))


class BasicResNet(nn.Sequential):
    """A stem and stages of basic blocks (He et al. 2016), as ResNet-10, 18 and 34.

    Args:
        depths: Blocks of each stage.
        widths: Channels of each stage.
        channels: Channels `C` of an image.
        wide_stem: A 7x7 convolution of stride 2 and a pooling, as for ImageNet; otherwise a
            3x3 convolution that keeps the side.
        pooled: Average the last feature map over space; otherwise flatten it.
        running: Whether batch normalisation stores running statistics.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...] = (64, 128, 256, 512),
        channels: int = 3,
        wide_stem: bool = True,
        pooled: bool = True,
        running: bool = True,
    ) -> None:
        blocks = OrderedDict[str, nn.Module]()
        side, stride = (7, 2) if wide_stem else (3, 1)
        stem = OrderedDict[str, nn.Module](
            conv=nn.Conv2d(channels, widths[0], side, stride, padding=side // 2, bias=False),
            norm=nn.BatchNorm2d(widths[0], track_running_stats=running),
            relu=nn.ReLU(),
        )
        if wide_stem:
            stem["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
        blocks["stem"] = nn.Sequential(stem)
        before = widths[0]
        for s, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            stage = OrderedDict[str, nn.Module]()
            for b in range(depth):
                halves = s > 0 and b == 0
                stage[f"block{b + 1}"] = BasicBlock(before, width, 2 if halves else 1, running)
                before = width
            blocks[f"stage{s + 1}"] = nn.Sequential(stage)
        super().__init__(_ended(blocks, pooled))


def _shortcut(inputs: int, outputs: int, stride: int, running: bool) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 1, stride, bias=False),
            norm=nn.BatchNorm2d(outputs, track_running_stats=running),
        )
    )


def _ended(blocks: OrderedDict[str, nn.Module], pooled: bool) -> OrderedDict[str, nn.Module]:
    if pooled:
        blocks["mean"] = nn.AdaptiveAvgPool2d(1)
    blocks["flatten"] = nn.Flatten()
    return blocks
