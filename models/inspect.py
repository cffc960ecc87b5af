"""What a checkpoint holds, looked at without measuring anything with it.

An unknown architecture is no error here: the table, the health and the flags are
there all the same, and the refusal that an audit would give is quoted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.errors import CheckpointError
from .checkpoint import find_checkpoint
from .encoder import Encoder, load_encoder
from .foreign.load import read_raw
from .foreign.rates import split_rates
from .foreign.structure import COUNTER, natural, structure
from .layer_list import LayerOutput, layer_outputs
from .reading.raw import RawCheckpoint

STILL = 1e-12
"""A running variance below this is that of a channel that never changed."""


@dataclass(frozen=True)
class Row:
    """One tensor of a file.

    Args:
        name: Its name in the file.
        shape: Its shape.
        dtype: Its type, such as ``float32``.
        values: How many values.
        bytes: How many bytes.
        part: ``body``, ``head``, ``rates``, ``unexpected``, or empty where nothing is known.
        notes: What is wrong with it, in words.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: int
    bytes: int
    part: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint holds.

    Args:
        path: Where it was read.
        sha256: Hash of its bytes.
        format: What the file is.
        chosen: Which of its dictionaries is read, and why.
        prefix: What wrappers had put before every name.
        architecture: The architecture in one word; None where it cannot be told.
        image: `(C, H, W)` of an image; None where it cannot be told.
        norm: The norm mode an audit takes.
        embedding_dim: Width `D` of the embedding.
        coverage: Share of the body's values that the file has.
        evidence: What speaks for the architecture.
        assumed: What no tensor shows, and what an audit takes.
        head: What is taken for the head, and why; None for none.
        rates: Learned rates, in words; None for none.
        still: Parameters that no rule would move.
        missing: Tensors of the body that the file lacks.
        layers: What ``--layer`` takes, and what each gives.
        layer_names: What the file calls a layer, where that is not its name here.
        refusal: Why an audit would refuse it; None where it would not.
        flags: What was noticed while reading.
        tensors: Every tensor.
    """

    path: str
    sha256: str
    format: str
    chosen: str
    prefix: str
    architecture: str | None
    image: tuple[int, ...] | None
    norm: str | None
    embedding_dim: int | None
    coverage: float | None
    evidence: tuple[str, ...]
    assumed: tuple[str, ...]
    head: str | None
    rates: str | None
    still: tuple[str, ...]
    missing: tuple[str, ...]
    layers: tuple[LayerOutput, ...]
    layer_names: Mapping[str, str]
    refusal: str | None
    flags: tuple[str, ...]
    tensors: tuple[Row, ...]

    @property
    def unhealthy(self) -> tuple[Row, ...]:
        """The tensors with something wrong."""
        return tuple(row for row in self.tensors if row.notes)

    def to_json(self) -> str:
        """The inspection as JSON text."""
        return json.dumps(asdict(self), allow_nan=False)


def inspect(
    source: str | Path,
    *,
    arch: str | None = None,
    state_key: str | None = None,
    trust_code: bool = False,
) -> Inspection:
    """Look at a checkpoint.

    Args:
        source: As for `load_encoder`.
        arch: As for `load_encoder`.
        state_key: As for `load_encoder`.
        trust_code: As for `load_encoder`.

    Raises:
        CheckpointError: If its bytes cannot be read safely.

    >>> inspect("maml-glyphs-s0").embedding_dim
    32
    """
    raw = read_raw(find_checkpoint(source), state_key)
    encoder, refusal = None, None
    try:
        encoder = load_encoder(source, arch=arch, state_key=state_key, trust_code=trust_code)
    except CheckpointError as error:
        refusal = str(error)
        if error.code == "missing-tensors":
            encoder = _partial(source, arch, state_key, trust_code)
    load = encoder.load_report if encoder else None
    return Inspection(
        path=raw.path,
        sha256=raw.sha256,
        format=raw.format,
        chosen=f"{raw.chosen or 'the top'}: {raw.why}",
        prefix=raw.repair.prefix,
        architecture=encoder.architecture_text if encoder else None,
        image=encoder.shape if encoder else None,
        norm=encoder.norm if encoder else None,
        embedding_dim=encoder.embedding_dim if encoder else None,
        coverage=load.coverage if load else None,
        evidence=load.evidence if load else (),
        assumed=load.assumed if load else (),
        head=_head(raw, encoder),
        rates=_rates(raw, encoder),
        still=encoder.rule.frozen if encoder else (),
        missing=load.missing if load else (),
        layers=layer_outputs(encoder.body, encoder.shape) if encoder else (),
        layer_names=_layer_names(encoder) if encoder else {},
        refusal=refusal,
        flags=tuple(flag.sentence for flag in raw.flags),
        tensors=_rows(raw, encoder),
    )


def _partial(
    source: str | Path, arch: str | None, state_key: str | None, trust_code: bool
) -> Encoder | None:
    """What there is of an encoder whose file lacks tensors."""
    try:
        return load_encoder(
            source, arch=arch, state_key=state_key, trust_code=trust_code, allow_partial=True
        )
    except CheckpointError:
        return None


def _layer_names(encoder: Encoder) -> dict[str, str]:
    """The file's name of each layer that has tensors of its own."""
    if encoder.load_report is None:
        return {}
    pairs = (
        (ours.rpartition(".")[0], theirs.rpartition(".")[0])
        for ours, theirs in encoder.load_report.names.items()
        if not ours.startswith("head.")
    )
    return {ours: theirs for ours, theirs in pairs if ours != theirs}


def _head(raw: RawCheckpoint, encoder: Encoder | None) -> str | None:
    """The head and why it is taken for one."""
    if encoder is not None:
        report = encoder.strip_report
        if report is None or not encoder.head:
            return None
        why = "it takes what the body gives, bit for bit" if report.equals_head_input else ""
        return f"{report.head}; {why}"
    try:
        linears = structure(split_rates(raw.repaired)[0], ordered=True).linears
    except CheckpointError:
        return None
    if not linears:
        return None
    last = linears[-1]
    return f"perhaps {last.name!r}, {last.shape[1]} to {last.shape[0]}; the last linear layer"


def _rates(raw: RawCheckpoint, encoder: Encoder | None) -> str | None:
    found = split_rates(raw.repaired)[1]
    if found is not None:
        return f"{found.said}, as of {found.rule}"
    own = [n for n in raw.tensors if n.startswith("rates.")]
    if encoder is not None and encoder.rates:
        return f"{len(own)} tensors under rates., as of {encoder.rule.name}"
    return None


def _rows(raw: RawCheckpoint, encoder: Encoder | None) -> tuple[Row, ...]:
    parts = _parts(raw, encoder)
    kept = split_rates(raw.repaired)[0]
    norms = {n.rpartition(".")[0] for n in raw.tensors if n.endswith("running_mean")}
    weights = {
        n
        for n, new in raw.repair.names.items()
        if new in kept and not n.startswith("rates.") and n.rpartition(".")[0] not in norms
    }
    return tuple(
        Row(
            name=name,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            values=tensor.numel(),
            bytes=tensor.nbytes,
            part=parts.get(name, ""),
            notes=tuple(_notes(name, tensor, name in weights)),
        )
        for name, tensor in sorted(raw.tensors.items(), key=lambda item: natural(item[0]))
    )


def _parts(raw: RawCheckpoint, encoder: Encoder | None) -> Mapping[str, str]:
    """To which part of the encoder each tensor of the file went."""
    if encoder is None or encoder.load_report is None:
        return {}
    inside = raw.repair.names
    if all(n.startswith(("body.", "head.", "rates.")) for n in raw.tensors):
        return {n: n.partition(".")[0] for n in raw.tensors}
    rates = set(raw.tensors) - {
        n for n, new in inside.items() if new in split_rates(raw.repaired)[0]
    }
    load = encoder.load_report
    body = {load.names.get(n, n) for n in load.matched}
    head = {load.names.get(n, "") for n in encoder.head}
    turned = bool(load.unexpected) or len(body & set(inside.values())) > 0
    out: dict[str, str] = {}
    for name, new in inside.items():
        if name in rates:
            out[name] = "rates"
        elif new in head or (load.names.get("head.weight") is None and _of_head(new, encoder)):
            out[name] = "head"
        elif new in body:
            out[name] = "body"
        elif new in load.unexpected:
            out[name] = "unexpected"
        elif turned:
            out[name] = "body"  # a library gave it another name
    return out


def _of_head(name: str, encoder: Encoder) -> bool:
    head = encoder.architecture.get("head")
    return isinstance(head, str) and bool(head) and name.startswith(f"{head}.")


def _notes(name: str, tensor: Tensor, weighs: bool) -> list[str]:
    """What is wrong with one tensor; rates and norms' rows may be alike, weights may not."""
    if not tensor.is_floating_point() or not tensor.numel():
        return []
    wide = tensor.float()
    notes = []
    bad = int((~torch.isfinite(wide)).sum())
    if bad:
        return [f"{bad} values NaN or infinite"]
    if name.endswith("running_var"):
        still = int((wide < STILL).sum())
        if still:
            notes.append(f"{still} of {wide.numel()} channels never vary")
    elif weighs and wide.ndim >= 2 and len(wide) > 1:
        rows = wide.reshape(len(wide), -1)
        dead = int((rows == 0).all(dim=1).sum())
        if dead:
            notes.append(f"{dead} of {len(rows)} rows are zero: dead filters")
        live = rows[(rows != 0).any(dim=1)].numpy()
        repeated = len(live) - len({row.tobytes() for row in live})
        if repeated and live.shape[1] > 1:
            notes.append(f"{repeated} of {len(rows)} rows repeat another")
    return notes


def by_layer(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """The table by layers, for a screen: tensors of one layer on one line."""
    layers: dict[str, list[Row]] = {}
    for row in rows:
        layers.setdefault(row.name.rpartition(".")[0], []).append(row)
    return [
        {
            "layer": name or "(top)",
            "tensors": ", ".join(
                f"{r.name.rpartition('.')[2]} {'x'.join(map(str, r.shape)) or 'scalar'}"
                for r in found
                if not r.name.endswith(COUNTER) or len(found) == 1
            ),
            "values": sum(r.values for r in found),
            "bytes": sum(r.bytes for r in found),
            "part": next((r.part for r in found if r.part), ""),
            "notes": "; ".join(note for r in found for note in r.notes),
        }
        for name, found in layers.items()
    ]
