"""An encoder: a trained network without its head, and all that came with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from torch import nn

from ..data.errors import CheckpointError
from .backbones import BACKBONES
from .build import build_body
from .checkpoint import Checkpoint, digest, find_checkpoint, read_checkpoint
from .foreign.afford import affordable
from .forward import Params
from .load_body import LoadReport
from .norms import NormMode
from .reading.raw import RawCheckpoint
from .rules import Adapts, Rule, RuleName
from .strip import StripReport, strip

Side = Annotated[int, Field(ge=1, le=1024)]
"""Channels or pixels of an image; a file that asks for more is not believed."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A body, its stored head, and the rule it was trained with.

    Args:
        name: Short name.
        checkpoint: The file it came from; None for an untrained one.
        architecture: As for `build_body`.
        body: The network without its head, images `(N, C, H, W)` to `(N, D)`.
        params: ``body.…`` parameters.
        head: ``head.weight`` and ``head.bias``; empty where the file has none.
        rates: What the rule learned, by parameter; empty for a fixed rate.
        rule: The inner loop it was trained with.
        norm: The norm mode it was trained with.
        shape: `(C, H, W)` of its images.
        embedding_dim: `D`.
        load_report: Which tensors came from the file.
        strip_report: The checks that the head is gone.
        still: Parameters that no rule moves: frozen by their network, or off the path from
            image to embedding.
        lacking: Parameters of the head that the file's own head does not have: a bias, which is
            zero here and stays so where the stored head is adapted.
    """

    name: str
    checkpoint: Checkpoint | None
    architecture: Mapping[str, Any]
    body: nn.Module
    params: Params
    head: Params
    rates: Params
    rule: Rule
    norm: NormMode
    shape: tuple[int, int, int]
    embedding_dim: int
    load_report: LoadReport | None = None
    strip_report: StripReport | None = None
    still: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()

    @cached_property
    def weights_digest(self) -> str:
        """Hash of the body: parameters and buffers, not the head."""
        return digest(self.body.state_dict())

    @cached_property
    def rule_digest(self) -> str:
        """Hash of what adaptation starts from beside the body: head and rates."""
        rates = {f"rates.{n}": r for n, r in self.rates.items()}
        return digest({**self.head, **rates})

    @property
    def architecture_text(self) -> str:
        """The architecture in one word, such as ``conv4(filters=32)``."""
        said = {
            k: v
            for k, v in self.architecture.items()
            if k not in ("name", "config", "code", "expects")
        }
        rest = ", ".join(f"{k}={v}" for k, v in said.items() if v not in ("", None))
        return f"{self.architecture['name']}({rest})"

    def untrained(self, seed: int = 0) -> Encoder:
        """The same architecture with fresh random weights and no head: a floor."""
        body = build_body(self.architecture, seed=seed).eval()
        params = {f"body.{n}": p.detach() for n, p in body.named_parameters()}
        return replace(
            self,
            name=f"untrained-{self.architecture['name']}",
            checkpoint=None,
            body=body,
            params=params,
            head={},
            rates={},
            rule=replace(self.rule, name="sgd"),
            load_report=None,
            strip_report=None,
        )


class _StoredRule(BaseModel):
    name: RuleName
    lr: float
    steps: int
    adapts: Adapts
    norm: NormMode = "batch"


class _StoredData(BaseModel):
    shape: tuple[Side, Side, Side]


class _Stored(BaseModel):
    """What measuring needs of a checkpoint's metadata; it may hold more."""

    architecture: dict[str, Any]
    rule: _StoredRule
    data: _StoredData


def load_encoder(
    source: str | Path,
    *,
    arch: str | None = None,
    state_key: str | None = None,
    allow_partial: bool = False,
    trust_code: bool = False,
    raw: RawCheckpoint | None = None,
) -> Encoder:
    """An encoder from a checkpoint: ours by name or path, or anybody's file or folder.

    The head is removed and that is verified (`strip`). Nothing in a file is executed.

    Args:
        source: A shipped checkpoint's name, a file, or a folder of transformers or timm.
        arch: The architecture, where it cannot be guessed; see `foreign.ask`.
        state_key: Which dictionary of the file holds the weights, where there are several.
        allow_partial: Whether tensors that the file lacks may stay random.
        trust_code: Whether `arch` may name the user's own code, which is then run.
        raw: What `foreign.load.read_raw` gave for this source and key; None to read it.

    Raises:
        CheckpointError: If the checkpoint cannot be trusted or understood.

    >>> load_encoder("maml-glyphs-s0").embedding_dim
    32
    """
    checkpoint = None
    if state_key is None and not find_checkpoint(source).is_dir():  # ours say what they are
        checkpoint = _own(source)
    if checkpoint is not None and arch is not None:
        raise CheckpointError(
            f"{str(source)!r} says itself which architecture it has; leave out --arch {arch}",
            code="arch",
        )
    if checkpoint is not None:
        return _from_own(checkpoint, allow_partial)
    from .foreign.load import load_foreign  # it makes encoders, so it cannot be above

    return load_foreign(
        find_checkpoint(source),
        arch=arch,
        state_key=state_key,
        allow_partial=allow_partial,
        trust_code=trust_code,
        raw=raw,
    )


def _own(source: str | Path) -> Checkpoint | None:
    """One of our checkpoints; None for a file that is another's."""
    try:
        return read_checkpoint(source)
    except CheckpointError as error:
        if error.code in ("not-ours", "not-a-checkpoint", "too-large"):
            return None
        raise


def _from_own(checkpoint: Checkpoint, allow_partial: bool) -> Encoder:
    architecture, rule, norm, shape = _settings(checkpoint)
    held = sum(t.numel() for t in checkpoint.tensors.values())
    affordable(architecture, held, build_body, said_by="its metadata")
    body_tensors, head = checkpoint.part("body"), checkpoint.part("head")
    if head and not _is_linear(head):
        raise CheckpointError(
            f"{checkpoint.path!r} has a head of tensors {sorted(head)}; a linear head has "
            "weight (outputs, D) and bias (outputs,)",
            code="head",
        )
    body, load, report = strip(architecture, body_tensors, head, shape, allow_partial=allow_partial)
    params = {f"body.{n}": p.detach() for n, p in body.named_parameters()}
    stored = {f"head.{n}": t for n, t in head.items()}
    return Encoder(
        name=checkpoint.name,
        checkpoint=checkpoint,
        architecture=architecture,
        body=body,
        params=params,
        head=stored,
        rates=_rates(checkpoint, rule, {**params, **stored}),
        rule=rule,
        norm=norm,
        shape=shape,
        embedding_dim=report.embedding_dim,
        load_report=load,
        strip_report=report,
    )


def _is_linear(head: Params) -> bool:
    """Whether these are ``weight`` ``(outputs, D)`` and ``bias`` ``(outputs,)``."""
    return (
        set(head) == {"weight", "bias"}
        and head["weight"].ndim == 2
        and head["bias"].shape == head["weight"].shape[:1]
        and head["weight"].is_floating_point()
        and head["bias"].is_floating_point()
    )


def _settings(
    checkpoint: Checkpoint,
) -> tuple[dict[str, Any], Rule, NormMode, tuple[int, int, int]]:
    """Architecture, rule, norm mode and image shape, as the metadata have them."""
    try:
        stored = _Stored.model_validate(dict(checkpoint.metadata))
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            f"the metadata of {checkpoint.path!r} do not fit: {'.'.join(map(str, first['loc']))}: "
            f"{first['msg'].lower()}",
            code="metadata",
        ) from error
    rule = stored.rule
    name = stored.architecture.get("name")
    if not isinstance(name, str) or name not in BACKBONES:  # a file never chooses whose code runs
        raise CheckpointError(
            f"architecture {name!r} is unknown; known are {', '.join(sorted(BACKBONES))}",
            code="unknown-architecture",
        )
    return (
        stored.architecture,
        Rule(rule.name, rule.lr, rule.steps, rule.adapts),
        rule.norm,
        stored.data.shape,
    )


def _rates(checkpoint: Checkpoint, rule: Rule, params: Params) -> Params:
    """The learned rates, complete and of the right shapes."""
    found = checkpoint.part("rates")
    wanted = rule.initial_rates(params)
    if {n: (r.shape, r.dtype) for n, r in found.items()} != {
        n: (r.shape, r.dtype) for n, r in wanted.items()
    }:
        raise CheckpointError(
            f"{checkpoint.path!r} holds {len(found)} tensors of rates and rule {rule.name!r} "
            f"needs {len(wanted)}, one for each parameter it moves",
            code="rates",
        )
    return found
