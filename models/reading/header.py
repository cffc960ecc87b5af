"""The header of a safetensors file, read strictly.

The format's rules, and two more: a name may stand once (the library takes the last), and a
side must be below 2^40. The bytes of the tensors follow each other without hole, overlap or
rest, so every byte of the file is accounted for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...data.errors import CheckpointError
from .views import ITEM_BYTES, LONGEST_SIDE, MOST_TENSORS, refuse_span

LONGEST_HEADER = 100_000_000
MOST_VALUES = 500_000
MOST_WORDS = 50_000
MOST_LETTERS = 16 * 2**20
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "U16": "uint16",
    "U32": "uint32", "U64": "uint64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One tensor of the file.

    Args:
        dtype: A name among `ITEM_BYTES`.
        shape: Sides.
        start: Its first byte in the file.
        end: The byte behind its last.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(raw: bytes | memoryview, where: str) -> tuple[dict[str, Entry], Mapping[str, str]]:
    """Where each tensor lies, and the file's metadata.

    Args:
        raw: The whole file.
        where: What to call it in an error.

    Raises:
        CheckpointError: If any rule of the format is broken.
    """
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 10 or not 2 <= length <= min(len(raw) - 8, LONGEST_HEADER):
        raise CheckpointError(
            f"{where!r} is not a safetensors file, or was cut short: its header would have "
            f"{length} bytes in a file of {len(raw)}",
            code="not-a-checkpoint",
        )
    try:
        header = json.loads(bytes(raw[8 : 8 + length]).decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"its header is no JSON ({str(error)[:80]})") from error
    if not isinstance(header, dict):
        raise _damaged(where, "its header is no object")
    words = header.pop("__metadata__", {})
    if not isinstance(words, dict) or not all(isinstance(v, str) for v in words.values()):
        raise _damaged(where, "its metadata are not words")
    letters = sum(len(name) + len(word) for name, word in words.items())
    if len(words) > MOST_WORDS or letters > MOST_LETTERS:
        raise CheckpointError(
            f"{where!r} has metadata of {len(words):,} words and {letters:,} letters; "
            f"{MOST_WORDS:,} and {MOST_LETTERS:,} are allowed",
            code="too-large",
        )
    if len(header) > MOST_TENSORS:
        raise CheckpointError(
            f"{where!r} holds {len(header):,} tensors; {MOST_TENSORS:,} are allowed",
            code="too-large",
        )
    base = 8 + length
    entries = {name: _entry(name, value, base, where) for name, value in header.items()}
    at = base
    for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].start, pair[1].end)):
        if entry.start != at:
            raise _damaged(where, f"tensor {name[:60]!a} starts at byte {entry.start}, not at {at}")
        at = entry.end
    if at != len(raw):
        raise _damaged(where, f"its tensors end at byte {at} of {len(raw)}")
    return entries, words


def _entry(name: str, value: Any, base: int, where: str) -> Entry:
    shown = ascii(name[:60])
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(where, f"tensor {shown} has no dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(
            f"tensor {shown} of {where!r} is {str(dtype)[:20]!r}; {', '.join(DTYPES)} are read",
            code="dtype",
        )
    if (
        not isinstance(shape, list)
        or len(shape) > 64
        or not all(type(n) is int and 0 <= n < LONGEST_SIDE for n in shape)
    ):
        raise _damaged(where, f"tensor {shown} has shape {str(shape)[:60]}")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(n) is int and 0 <= n < 2**63 for n in offsets)
    ):
        raise _damaged(where, f"tensor {shown} has offsets {str(offsets)[:60]}")
    refuse_span(shape, where)
    size = math.prod(shape) * ITEM_BYTES[DTYPES[dtype]]
    if offsets[1] - offsets[0] != size:
        raise _damaged(
            where,
            f"tensor {shown} of shape {tuple(shape)} needs {size} bytes and has offsets {offsets}",
        )
    return Entry(DTYPES[dtype], tuple(shape), base + offsets[0], base + offsets[1])


def refuse_many_values(text: bytes | memoryview, where: str) -> None:
    """Stop before JSON is parsed that would make far more objects than it has bytes to spare.

    Raises:
        CheckpointError: If it holds over about `MOST_VALUES` values.
    """
    raw = bytes(text)
    values = sum(raw.count(sign) for sign in (b",", b"[", b"{"))
    if values > MOST_VALUES:
        raise CheckpointError(
            f"{where!r} holds JSON of about {values:,} values; {MOST_VALUES:,} are allowed",
            code="too-large",
        )


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which each name stands once.

    Raises:
        ValueError: If one stands twice.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:60]!a} stands twice")
        found[name] = value
    return found


def _damaged(where: str, what: str) -> CheckpointError:
    return CheckpointError(f"{where!r} is a damaged safetensors file: {what}", code="damaged")
