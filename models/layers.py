"""Features of named layers: what a body computes on the way to its embedding, in one pass.

A layer is named as `named_modules` names it, and a tap says how its output, a map or a row
of tokens, becomes one vector an image. The two ways of `forward.py` hold here too: a grouped
twin has the channels of all episodes side by side, which are taken apart before pooling.
"""

from __future__ import annotations

import copy
import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..data.errors import CheckpointError
from .forward import Params, Way, body_only, groupable, widen
from .norms import BatchNorm, NormMode

Pool = Literal["avg", "flatten", "cls", "none"]
EMBEDDING = "embedding"
"""The body's own output, as it is."""

LayerFeatures = Callable[[Params, Tensor], dict[str, Tensor]]
"""``(params (E, …), images (E, B, C, H, W)) -> {tap: features (E, B, D)}``."""


class UnknownLayer(CheckpointError):
    """A layer that the body does not have, or that gives nothing a tap can pool."""


@dataclass(frozen=True)
class Tap:
    """Where features are taken, and how each image's become one vector.

    Args:
        layer: A name of `named_modules`, or ``"embedding"`` for the body's output.
        pool: ``"avg"`` averages a map `(C, H, W)`, or `(H, W, C)` (see `channels_last`), over
            space or tokens `(T, D)` over tokens,
            ``"flatten"`` keeps everything, ``"cls"`` takes the first token, ``"none"`` is for
            layers that give one vector already.

    Raises:
        UnknownLayer: If the pooling is none of these.

    >>> parse_tap("block2:flatten")
    Tap(layer='block2', pool='flatten')
    """

    layer: str
    pool: Pool = "avg"

    def __post_init__(self) -> None:
        if self.pool not in get_args(Pool):
            raise UnknownLayer(
                f"pooling {self.pool!r} of layer {self.layer!r} is unknown; choose "
                f"{', '.join(get_args(Pool))}",
                code="unknown-pooling",
            )

    @property
    def name(self) -> str:
        """The key of its features: ``layer:pool``, or ``embedding``."""
        return self.layer if self.layer == EMBEDDING else f"{self.layer}:{self.pool}"


def parse_tap(text: str) -> Tap:
    """A tap from its word on the command line: ``LAYER`` or ``LAYER:POOL``."""
    layer, _, pool = text.partition(":")
    return Tap(layer, pool or "avg")  # type: ignore[arg-type]


def block_taps(body: nn.Module) -> tuple[Tap, ...]:
    """One averaging tap for each block: parts with parameters, repeated ones one by one.

    >>> from .backbones import Conv4
    >>> [tap.layer for tap in block_taps(Conv4(8))]
    ['block1', 'block2', 'block3', 'block4']
    """

    def blocks(module: nn.Module, prefix: str) -> Iterator[str]:
        for name, child in module.named_children():
            if not any(True for _ in child.parameters()):
                continue
            parts = list(child.children())
            repeated = len(parts) > 1 and len({type(p) for p in parts}) == 1
            if isinstance(child, nn.ModuleList | nn.Sequential) and repeated:
                yield from blocks(child, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}"

    return tuple(Tap(name) for name in blocks(body, ""))


def layer_features(body: nn.Module, taps: Sequence[Tap], way: Way = "auto") -> LayerFeatures:
    """The features of several layers, computed in one pass.

    Where a module runs more than once in a pass, its last output counts.

    Args:
        body: The network without its head.
        taps: Where to take features.
        way: As for `features_of`.

    Raises:
        UnknownLayer: If the body has no such layer; at the call, if a tap cannot pool it.
        ValueError: If ``grouped`` is asked of a network that cannot be.
    """
    require_layers(body, taps)
    if way == "grouped" and not groupable(body):
        raise ValueError("this network has layers that mix channels; use way='loop'")
    if way == "loop" or not groupable(body):
        return _looped(body, taps)
    return _grouped(body, taps)


def layers_beside_support(
    features: LayerFeatures, norm: NormMode
) -> Callable[[Params, Tensor, Tensor], dict[str, Tensor]]:
    """As `beside_support`, for the features of layers."""

    def rows_beside(params: Params, support: Tensor, rows: Tensor) -> dict[str, Tensor]:
        if norm != "support":
            return features(params, rows)
        together = features(params, torch.cat([support, rows], dim=1))
        return {name: found[:, support.shape[1] :] for name, found in together.items()}

    return rows_beside


class _Listening:
    """A copy of a network that keeps, pooled, what its tapped layers gave in the last pass.

    Pooling happens in the hook: a later layer may overwrite the output in place.
    """

    def __init__(self, body: nn.Module, taps: Sequence[Tap], episodes: int | None) -> None:
        self.body = copy.deepcopy(body) if episodes is None else widen(body, episodes)
        self.episodes = 1 if episodes is None else episodes
        self.grouped, self.square = episodes is not None, False
        self.found: dict[str, Tensor] = {}
        for tap in taps:
            module = self.body if tap.layer == EMBEDDING else self.body.get_submodule(tap.layer)
            module.register_forward_hook(functools.partial(self._keep, tap))

    def _keep(self, tap: Tap, module: nn.Module, given: object, out: object) -> None:
        if isinstance(out, tuple | list) and out:
            out = out[0]
        if not isinstance(out, Tensor):
            raise UnknownLayer(
                f"layer {tap.layer!r} gives a {type(out).__name__}, not a tensor; choose another",
                code="no-tensor",
            )
        if not self.grouped and channels_last(module, out, square=self.square):
            out = out.movedim(-1, 1)
        apart = out.reshape(len(out), self.episodes, -1, *out.shape[2:]).transpose(0, 1)
        self.found[tap.name] = _pooled(apart, tap)

    def __call__(self, params: Params, images: Tensor) -> dict[str, Tensor]:
        self.found, self.square = {}, images.shape[-1] == images.shape[-2]
        functional_call(self.body, params, (images,))
        return self.found


def channels_last(module: nn.Module, out: Tensor, *, square: bool) -> bool:
    """Whether a map `(N, H, W, C)` has its channels last, as between the linear layers of ConvNeXt.

    Linear layers and norms over the last axis say so themselves; of others the shape tells, where
    images are square and so are maps.

    Args:
        module: What gave the map.
        out: The map.
        square: Whether the images are.
    """
    if out.ndim != 4 or isinstance(module, nn.Conv2d | BatchNorm):
        return False
    if isinstance(module, nn.Linear):
        return True
    if isinstance(module, nn.LayerNorm):
        first = getattr(module, "data_format", "") == "channels_first"
        return not first and tuple(module.normalized_shape) == tuple(out.shape[-1:])
    return square and out.shape[1] == out.shape[2] != out.shape[3]


def _pooled(x: Tensor, tap: Tap) -> Tensor:
    """``(E, B, …)`` to ``(E, B, D)``, in memory of its own."""
    if tap.layer == EMBEDDING:
        return x.flatten(2).clone()
    parts = x.ndim - 2
    if tap.pool == "flatten":
        return x.flatten(2).clone()
    if tap.pool == "avg" and parts in (2, 3):
        return x.mean(dim=2) if parts == 2 else x.mean(dim=(-2, -1))
    if tap.pool == "cls" and parts == 2:
        return x[:, :, 0].clone()
    if tap.pool in ("avg", "none") and parts == 1:
        return x.clone()
    raise UnknownLayer(
        f"layer {tap.layer!r} gives {parts}-dimensional outputs an image, which pooling "
        f"{tap.pool!r} does not take; choose flatten, or avg for maps and tokens",
        code="pooling",
    )


def _looped(body: nn.Module, taps: Sequence[Tap]) -> LayerFeatures:
    listening = _Listening(body, taps, None)

    def features(params: Params, images: Tensor) -> dict[str, Tensor]:
        own = body_only(params)
        each = [listening({n: p[e] for n, p in own.items()}, images[e]) for e in range(len(images))]
        return {tap.name: torch.cat([found[tap.name] for found in each]) for tap in taps}

    return features


def _grouped(body: nn.Module, taps: Sequence[Tap]) -> LayerFeatures:
    buffers = dict(body.named_buffers())
    twin = functools.cache(lambda episodes: _Listening(body, taps, episodes))

    def features(params: Params, images: Tensor) -> dict[str, Tensor]:
        episodes, rows, channels, height, width = images.shape
        own = {n: p.flatten(0, 1) for n, p in body_only(params).items()}
        still = {n: b.repeat(episodes) for n, b in buffers.items() if b.ndim}
        x = images.transpose(0, 1).reshape(rows, episodes * channels, height, width)
        x = x.contiguous(memory_format=torch.channels_last)
        found = twin(episodes)({**own, **still}, x)
        return {tap.name: found[tap.name] for tap in taps}

    return features


LISTED = 40
"""How many layers an error lists before it counts the rest."""


def require_layers(body: nn.Module, taps: Sequence[Tap]) -> None:
    """Refuse a layer that the body does not have, with those it has.

    Raises:
        UnknownLayer: Naming the nearest, and the layers there are.
    """
    known = [name for name, _ in body.named_modules() if name]
    for tap in taps:
        if tap.layer != EMBEDDING and tap.layer not in known:
            near = difflib.get_close_matches(tap.layer, known, n=3, cutoff=0.3) or known[:3]
            more = f" and {len(known) - LISTED} more" if known[LISTED:] else ""
            raise UnknownLayer(
                f"layer {tap.layer!r} is not in this network; near it are {', '.join(near)}; the "
                f"layers are {', '.join(known[:LISTED])}{more} (metaprobe inspect shows them with "
                "what each gives)",
                code="unknown-layer",
            )


def require_pooling(tap: Tap, pools: Sequence[str]) -> None:
    """Refuse a pooling that does not take what the layer gives.

    Raises:
        UnknownLayer: Naming those that do; there is none where the layer gives no tensor.
    """
    if tap.pool in pools:
        return
    if not pools:
        raise UnknownLayer(
            f"layer {tap.layer!r} gives no tensor with a row an image; choose another",
            code="no-tensor",
        )
    raise UnknownLayer(
        f"pooling {tap.pool!r} does not take what layer {tap.layer!r} gives; choose "
        f"{' or '.join(f'{tap.layer}:{pool}' for pool in pools)}",
        code="pooling",
    )
