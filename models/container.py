"""Safetensors bytes: the same content, the same bytes; nothing in them is executed.

The library writes metadata in an order drawn anew each time, so that equal
checkpoints would differ in their hash. Here the header is written again with
its words sorted. What comes in is checked before it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..data.errors import CheckpointError
from .reading.header import read_header

LONGEST_HEADER = 2**26
"""Bytes; a longer header is not parsed."""


def encode(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> bytes:
    """A safetensors file as bytes that depend on nothing but its content.

    Args:
        tensors: By name.
        words: Its metadata.
    """
    raw = save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})
    start = 8 + int.from_bytes(raw[:8], "little")
    header = {"__metadata__": dict(sorted(words.items())), **json.loads(raw[8:start])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the values stay aligned
    return len(text).to_bytes(8, "little") + text + raw[start:]


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
    length = int.from_bytes(raw[:8], "little")
    if not 2 <= length <= min(len(raw) - 8, LONGEST_HEADER):
        raise CheckpointError(
            f"{where!r} is not a safetensors file (its header does not fit its {len(raw)} bytes); "
            "metaprobe reads what `metaprobe train` writes",
            code="not-a-checkpoint",
        )
    try:
        _, words = read_header(raw, where)  # stricter than the library: a name stands once
        return load(raw), dict(words)
    except CheckpointError as error:
        raise CheckpointError(str(error), code="damaged") from error
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{where!r} is a damaged safetensors file: {error}", code="damaged"
        ) from error
