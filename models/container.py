"""Safetensors bytes: the same content, the same bytes; nothing in them is executed.

The library writes metadata in an order drawn anew each time, so that equal
checkpoints would differ in their hash. Here the header is written again with
its words sorted. What comes in is checked before it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..data.errors import CheckpointError
from .reading.header import read_header, refuse_many_values

LONGEST_HEADER = 2**26
"""Bytes; a longer header is not parsed."""


def encode(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> bytes:
    """A safetensors file as bytes that depend on nothing but its content.

    Args:
        tensors: By name.
        words: Its metadata.
    """
    plain = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    refuse_names(plain)
    raw = save({n: torch.empty(0, dtype=t.dtype) for n, t in plain.items()})
    order = json.loads(raw[8:])  # the library says the types' names and what comes after what
    header: dict[str, Any] = {"__metadata__": dict(sorted(words.items()))}
    at = 0
    for name, entry in order.items():
        end = at + plain[name].nbytes
        header[name] = {
            "dtype": entry["dtype"],
            "shape": list(plain[name].shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the values stay aligned
    if len(text) > LONGEST_HEADER:
        raise CheckpointError(
            f"the names and words of {len(plain)} tensors take {len(text)} bytes; "
            f"{LONGEST_HEADER} are allowed in the header of a safetensors file",
            code="too-large",
        )
    return b"".join([len(text).to_bytes(8, "little"), text, *(_raw(plain[name]) for name in order)])


def refuse_names(names: Iterable[str]) -> None:
    """Stop at a name that no safetensors file can hold.

    Raises:
        CheckpointError: If it is the format's own, or no text.
    """
    for name in names:
        if name == "__metadata__" or any("\ud800" <= sign <= "\udfff" for sign in name):
            raise CheckpointError(
                f"a tensor is named {name[:60]!a}, which a safetensors file cannot hold",
                code="name",
            )


def _raw(tensor: Tensor) -> bytes | memoryview:
    """The values, without a copy."""
    if not tensor.numel():
        return b""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def header_length(start: bytes, size: int, where: str) -> int:
    """The bytes of a header, which must fit its file.

    Args:
        start: The file's first eight bytes.
        size: Its length.
        where: What to call it in an error.

    Raises:
        CheckpointError: If it does not fit.
    """
    length = int.from_bytes(start, "little")
    if not 2 <= length <= min(size - 8, LONGEST_HEADER):
        raise CheckpointError(
            f"{where!r} is not a safetensors file (its header does not fit its {size} bytes); "
            "metaprobe reads what `metaprobe train` writes",
            code="not-a-checkpoint",
        )
    return length


def decode(raw: bytes, where: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Args:
        raw: The file.
        where: What to call it in an error.

    Raises:
        CheckpointError: If it is not such a file, or a damaged one.

    >>> decode(encode({}, {"a": "b"}), "nothing")
    ({}, {'a': 'b'})
    """
    length = header_length(raw[:8], len(raw), where)
    refuse_many_values(raw[8 : 8 + length], where)  # this process parses it, with no limit's guard
    try:
        _, words = read_header(raw, where)  # stricter than the library: a name stands once
        return load(raw), dict(words)
    except CheckpointError as error:
        raise CheckpointError(str(error), code="damaged") from error
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{where!r} is a damaged safetensors file: {error}", code="damaged"
        ) from error
