"""An encoder from a checkpoint that is not ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..build import build_body
from ..checkpoint import Checkpoint, refuse_unusable
from ..encoder import Encoder
from ..load_body import LoadReport
from ..norms import default_norm
from ..reading.raw import RawCheckpoint
from ..reading.read import read_file
from ..rules import Rule
from ..strip import strip, unused
from .afford import outline
from .ask import parse
from .found import Found
from .open import identify, with_counters
from .rates import FileRates, assumed_of_rule, named_rates, split_rates
from .structure import COUNTER

RULE = Rule("sgd", lr=0.01, steps=5)
"""The inner loop of an encoder whose file says nothing of one."""

BUFFERS = ("running_mean", "running_var", COUNTER)


def load_foreign(
    path: Path,
    *,
    arch: str | None,
    state_key: str | None,
    allow_partial: bool,
    trust_code: bool,
    raw: RawCheckpoint | None = None,
) -> Encoder:
    """Read, identify, strip; see `load_encoder`.

    Raises:
        CheckpointError: If any of these fails.
    """
    ask = parse(arch)
    if raw is None:
        raw = read_raw(path, state_key)
    network, rates = split_rates(raw.repaired)
    refuse_unusable(raw.tensors, raw.path)
    network, cast = _as_float32(network)
    found = identify(raw, network, ask, trust_code=trust_code)
    body, load, report = strip(
        found.architecture,
        with_counters(found, outline(found.architecture, build_body)),
        found.head,
        found.shape,
        allow_partial=allow_partial,
    )
    params = {f"body.{n}": p.detach() for n, p in body.named_parameters()}
    head = {f"head.{n}": t for n, t in found.head.items()}
    learned, rule = _learned(raw, network, rates, found, params | head)
    beyond = assumed_of_rule(rates, rule, (*load.unexpected, *found.unexpected))
    still = _still(body, found)
    unlearned = (params | head).keys() - learned.keys() if learned else set()
    if found.head_name:
        report = replace(report, head=f"{found.head_name}: {report.head}")
    return Encoder(
        name=path.stem,
        checkpoint=Checkpoint(
            path.stem, raw.path, raw.sha256, raw.tensors, raw.metadata, raw.format
        ),
        architecture=found.architecture,
        body=body,
        params=params,
        head=head,
        rates=learned,
        rule=replace(rule, frozen=tuple(sorted({*still, *unlearned}))),
        norm=found.norm or default_norm(body),
        shape=found.shape,
        embedding_dim=report.embedding_dim,
        load_report=_reported(load, replace(found, assumed=(*found.assumed, *beyond)), raw, cast),
        strip_report=report,
        still=still,
        lacking=("head.bias",) if head and "head.bias" not in _names(found, head) else (),
    )


def read_raw(path: Path, state_key: str | None) -> RawCheckpoint:
    """What the file holds; step sizes that lie beside the network are read with it."""
    raw = read_file(path, state_key=state_key)
    beside = raw.metadata if isinstance(raw.metadata, dict) else {}
    if state_key is None and isinstance(beside.get("step_size"), dict):
        whole = read_file(path, state_key=".")
        start = f"{raw.chosen}." if raw.chosen else ""
        tensors = {
            n.removeprefix(start): t
            for n, t in whole.tensors.items()
            if n.startswith((start, "step_size."))
        }
        return replace(raw, tensors=tensors)
    return raw


def _as_float32(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Tensors with every floating value as float32, and how many were not."""
    out = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    cast = sum(t.is_floating_point() and t.dtype != torch.float32 for t in tensors.values())
    return out, cast


def _learned(
    raw: RawCheckpoint,
    network: Mapping[str, Tensor],
    rates: FileRates | None,
    found: Found,
    params: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], Rule]:
    """Learned rates by our names, and the rule they make."""
    if rates is None:
        return {}, RULE
    names = _names(found, params)
    ours = {theirs: name for name, theirs in names.items()}
    order: tuple[str, ...] = ()
    if not raw.format.startswith("safetensors"):
        order = tuple(ours[n] for n in network if n in ours)
    learned = named_rates(rates, names, params, order, raw.path)
    steps = RULE.steps
    if rates.rule == "lslr-steps":
        steps = min(len(r) for r in learned.values())
    return learned, Rule(rates.rule, lr=RULE.lr, steps=steps)


def _names(found: Found, params: Iterable[str]) -> dict[str, str]:
    """The file's names of our parameters, where it has them."""
    whole = f"{found.head_name}.weight" in found.names  # a library's network keeps its own names

    def theirs(name: str) -> str:
        if whole and name.startswith("head."):
            return f"{found.head_name}.{name.removeprefix('head.')}"
        return name.removeprefix("body.")

    return {name: found.names[theirs(name)] for name in params if theirs(name) in found.names}


def _still(body: nn.Module, found: Found) -> tuple[str, ...]:
    """Parameters that never move: frozen by their network, or off the path."""
    frozen = {f"body.{n}" for n, p in body.named_parameters() if not p.requires_grad}
    frozen |= {f"body.{n}" for n in unused(body, found.shape)}
    return tuple(sorted(frozen))


def _reported(load: LoadReport, found: Found, raw: RawCheckpoint, cast: int) -> LoadReport:
    """The report with what the file calls things, and what was noticed on the way."""
    beyond = [raw.tensors[n] for n in found.unexpected if n in raw.tensors]
    return replace(
        load,
        unexpected=(*load.unexpected, *found.unexpected),
        unexpected_bytes=load.unexpected_bytes + sum(t.nbytes for t in beyond),
        names={n: t for n, t in found.names.items() if n != t},
        evidence=found.evidence,
        assumed=found.assumed,
        cast=cast,
        prefix=raw.repair.prefix,
        flags=tuple(flag.sentence for flag in raw.flags),
    )
