"""The tensors of a checkpoint as a table: to which part each belongs, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .encoder import Encoder
from .foreign.rates import split_rates
from .foreign.structure import COUNTER, natural
from .reading.raw import RawCheckpoint
from .tensors import not_finite

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


def tensor_rows(raw: RawCheckpoint, encoder: Encoder | None) -> tuple[Row, ...]:
    """A row for each tensor, in the order of their names.

    Args:
        raw: The file.
        encoder: What an audit makes of it; None where it is refused.
    """
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
    bad = not_finite(tensor)
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
