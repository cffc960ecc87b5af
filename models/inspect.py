"""What a checkpoint holds, looked at without measuring anything with it.

An unknown architecture is no error here: the table, the health and the flags are
there all the same, and the refusal that an audit would give is quoted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..data.errors import CheckpointError
from .checkpoint import find_checkpoint
from .encoder import Encoder, load_encoder
from .foreign.load import read_raw
from .foreign.rates import split_rates
from .foreign.structure import structure
from .layer_list import LayerOutput, layer_outputs
from .reading.raw import RawCheckpoint
from .tensor_table import Row, tensor_rows


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
        encoder = load_encoder(
            source, arch=arch, state_key=state_key, trust_code=trust_code, raw=raw
        )
    except CheckpointError as error:
        refusal = str(error)
        if error.code == "missing-tensors":
            encoder = _partial(source, arch, state_key, trust_code, raw)
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
        tensors=tensor_rows(raw, encoder),
    )


def _partial(
    source: str | Path,
    arch: str | None,
    state_key: str | None,
    trust_code: bool,
    raw: RawCheckpoint,
) -> Encoder | None:
    """What there is of an encoder whose file lacks tensors."""
    try:
        return load_encoder(
            source,
            arch=arch,
            state_key=state_key,
            trust_code=trust_code,
            allow_partial=True,
            raw=raw,
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
