"""Tensors before they are tensors: a stretch of stored bytes and how to walk it.

A view is checked when it is described, against the storage it says it looks at, so that a
file of a few bytes cannot stand for a tensor of gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...data.errors import CheckpointError
from ...data.pickle_policy import described

ITEM_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2,
    "int8": 1, "uint8": 1, "bool": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip
"""Types that are read, and the bytes of one value."""

LONGEST_SIDE = 2**40
MOST_STEPS = 2**62
"""Values that a tensor's sides may span, counting a side of none as one."""

MOST_TENSORS = 50_000
SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Storage:
    """A stretch of bytes under a key of the file.

    Args:
        key: Its name in the file.
        size: Bytes it is declared to hold.
    """

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class View:
    """A tensor: which bytes, of which type, walked how.

    Args:
        storage: The bytes.
        dtype: A name among `ITEM_BYTES`.
        shape: Sides.
        stride: Values between neighbours along each side.
        offset: Values before the first.
    """

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes its values take."""
        return self.elements * ITEM_BYTES[self.dtype]

    @property
    def contiguous(self) -> bool:
        """Whether its values lie in the storage in their own order.

        >>> View(Storage("0", 24), "float32", (2, 3), (3, 1), 0).contiguous
        True
        """
        steps = contiguous_strides(self.shape)
        sides = zip(self.shape, self.stride, steps, strict=True)
        return all(n == 1 or stride == step for n, stride, step in sides)

    def values(self, stored: memoryview) -> memoryview | bytes:
        """The values in their own order, as bytes.

        Args:
            stored: The bytes of the storage.
        """
        item = ITEM_BYTES[self.dtype]
        if not self.elements:
            return b""
        if self.contiguous:
            return stored[self.offset * item :][: self.nbytes]
        import numpy as np

        flat = np.frombuffer(stored, f"V{item}", offset=self.offset * item)
        steps = [s * item for s in self.stride]
        return np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False).tobytes()


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of values in their own order.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def checked_view(
    storage: Storage, dtype: str, shape: Any, stride: Any, offset: Any, where: str
) -> View:
    """A view that lies within its storage.

    Raises:
        CheckpointError: If it does not, or repeats values to seem larger.
    """
    sides = _whole_numbers(shape, where)
    steps = _whole_numbers(stride, where)
    if len(sides) != len(steps) or len(sides) > 64:
        raise CheckpointError(
            f"{where!r} holds a tensor of {len(sides)} sides and {len(steps)} strides",
            code="bounds",
        )
    refuse_span(sides, where)
    (start,) = _whole_numbers((offset,), where)
    view = View(storage, dtype, sides, steps, start)
    stored = storage.size // ITEM_BYTES[dtype]
    if view.elements > stored:
        raise CheckpointError(
            f"{where!r} holds a tensor of shape {sides} ({view.elements} values) over {stored} "
            f"stored values in record {storage.key!r}; values may not be repeated",
            code="expanded",
        )
    last = start + sum((n - 1) * s for n, s in zip(sides, steps, strict=True))
    if view.elements and last >= stored:
        raise CheckpointError(
            f"{where!r} holds a tensor of shape {sides} that ends at value {last} of the {stored} "
            f"in record {storage.key!r}",
            code="bounds",
        )
    return view


def refuse_span(shape: Sequence[int], where: str) -> None:
    """Stop at sides whose strides no machine can count, be there no value at all.

    Raises:
        CheckpointError: If they are such.
    """
    if math.prod(max(n, 1) for n in shape) >= MOST_STEPS:
        raise CheckpointError(
            f"{where!r} holds a tensor of {len(shape)} sides that span 2^62 values or more",
            code="bounds",
        )


def _whole_numbers(values: Any, where: str) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or not all(
        type(n) is int and 0 <= n < LONGEST_SIDE for n in values
    ):
        raise CheckpointError(
            f"{where!r} holds a tensor whose size, stride or offset {_spelt(values)} is not made "
            f"of whole numbers below 2^40",
            code="bounds",
        )
    return tuple(values)


def _spelt(values: Any) -> str:
    """Sides as text, without walking into what is nested in them."""
    if not isinstance(values, tuple | list):
        return described(values)
    return f"({', '.join(described(n) for n in values[:4])}{', …' if len(values) > 4 else ''})"


def refuse_too_much(views: list[View], file_bytes: int, where: str) -> None:
    """Stop when tensors together would take much more than the file holds.

    Raises:
        CheckpointError: If they would.
    """
    if len(views) > MOST_TENSORS:
        raise CheckpointError(
            f"{where!r} holds {len(views):,} tensors; {MOST_TENSORS:,} are allowed",
            code="too-large",
        )
    total = sum(view.nbytes for view in views)
    if total > 2 * file_bytes + SPARE_BYTES:
        raise CheckpointError(
            f"{where!r} holds {file_bytes} bytes and its tensors would take {total}; "
            "they share too much to be believed",
            code="too-large",
        )
