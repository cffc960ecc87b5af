"""Whose statistics does batch normalisation use? A named setting, never an accident.

``batch``
    Those of the batch at hand, support and query apart: transductive, and what
    MAML's code has always done (Finn et al. 2017; Bronskill et al. 2020).
``running``
    Those stored in the checkpoint, the same for every image.
``support``
    Those of the support images alone, for support and query alike: each query
    is then judged by itself.
"""

from __future__ import annotations

import copy
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.errors import CheckpointError

NormMode = Literal["batch", "running", "support"]


class BatchNorm(nn.Module):
    """Batch normalisation `(N, C, …)` with statistics from a stated source.

    The parameters and buffers of the layer it replaces keep their names.

    Args:
        layer: The layer to replace.
        mode: Whose statistics to use.
        support_rows: In mode ``support``, the leading rows that are the support.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    eps: float

    def __init__(
        self, layer: _BatchNorm | BatchNorm, mode: NormMode, support_rows: int = 0
    ) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)
        self.register_buffer("num_batches_tracked", layer.num_batches_tracked)
        self.eps, self.mode, self.support_rows = layer.eps, mode, support_rows

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "batch":
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        if self.mode == "running":
            mean, var = self.running_mean, self.running_var
            return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        # written out: statistics handed to F.batch_norm would carry no gradient
        support = x[: self.support_rows]
        over = (0, *range(2, x.ndim))
        centre = support.mean(dim=over, keepdim=True)
        spread = support.var(dim=over, keepdim=True, correction=0)
        y = (x - centre) * torch.rsqrt(spread + self.eps)
        if self.weight is None or self.bias is None:
            return y
        shape = (-1, *(1,) * (x.ndim - 2))
        return y * self.weight.view(shape) + self.bias.view(shape)


def with_norm(body: nn.Module, mode: NormMode, *, support_rows: int = 0) -> nn.Module:
    """A copy of a network whose every batch normalisation takes its statistics from `mode`.

    A layer that stands in several places of the network still does so in the copy.

    Raises:
        CheckpointError: If the mode is unknown, ``running`` is asked of a network that
            stores no statistics, or ``support`` without rows to take them from.
    """
    if mode not in get_args(NormMode):
        raise CheckpointError(
            f"norm mode {mode!r} is unknown; choose {', '.join(get_args(NormMode))}",
            code="unknown-norm",
        )
    if mode == "support" and support_rows < 1:
        raise CheckpointError(
            f"norm mode 'support' with {support_rows} support rows; one or more are needed",
            code="no-support",
        )
    twin = copy.deepcopy(body)
    made: dict[nn.Module, BatchNorm] = {}
    for name, layer in list(twin.named_modules(remove_duplicate=False)):
        if not isinstance(layer, _BatchNorm | BatchNorm):
            continue
        if not isinstance(layer, BatchNorm) and not _plain(layer):
            if mode == "running" and layer.running_mean is not None:
                continue  # it does more than normalise, and does that with its own statistics
            raise CheckpointError(
                f"layer {name!r} is a {type(layer).__name__}, which does more than normalise; "
                "choose --norm running",
                code="no-running-statistics",
            )
        if mode == "running" and layer.running_mean is None:
            raise CheckpointError(
                f"layer {name!r} stores no running statistics; choose --norm batch or support",
                code="no-running-statistics",
            )
        parent, _, leaf = name.rpartition(".")
        if layer not in made:
            made[layer] = BatchNorm(layer, mode, support_rows)
        setattr(twin.get_submodule(parent), leaf, made[layer])
    return twin


def default_norm(body: nn.Module) -> NormMode:
    """The norm mode of a network whose training is not known: its stored statistics, if any.

    Supervised training stores them to be used, one image at a time; a network that stores none
    can only have been tested with those of a batch.
    """
    layers = [m for m in body.modules() if isinstance(m, _BatchNorm)]
    return "running" if all(m.running_mean is not None for m in layers) else "batch"


def _plain(layer: _BatchNorm) -> bool:
    """Whether this is torch's own normalisation, with no activation or the like inside."""
    own = (_BatchNorm.forward, nn.SyncBatchNorm.forward)  # both are one computation on one device
    return type(layer).forward in own


def calibrate(body: nn.Module, batches: list[Tensor]) -> nn.Module:
    """A copy of a network whose running statistics are the averages over these batches.

    Each layer's input is computed with batch statistics, as in training.

    Args:
        body: The network.
        batches: Image batches ``(B, C, H, W)``.
    """
    twin = copy.deepcopy(body).train()
    for layer in twin.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # a plain average over the batches
    with torch.no_grad():
        for batch in batches:
            twin(batch)
    return twin.eval()
