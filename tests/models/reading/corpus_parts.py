"""What the files of the corpus are made of: a small state dict, and how an entry must end."""

from __future__ import annotations

import io
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from . import assembler as a

End = Literal["reject", "accept", "flag"]
STAMP = struct.pack("<Q", 4) + a.FOUR


@dataclass(frozen=True)
class Entry:
    """One file.

    Args:
        name: In the folder.
        end: How reading it must end.
        live: Whether its payload runs under an unsafe reader.
        code: A code that the refusal or the flag must have; None for any.
    """

    name: str
    end: End
    live: bool = False
    code: str | None = None


def state(seed: int = 0) -> OrderedDict[str, torch.Tensor]:
    """A block of a convolutional encoder and a head."""
    draw = torch.Generator().manual_seed(seed)
    return OrderedDict(
        {
            "features.0.conv.weight": torch.randn(8, 3, 3, 3, generator=draw),
            "features.0.conv.bias": torch.randn(8, generator=draw),
            "features.0.norm.weight": torch.rand(8, generator=draw),
            "features.0.norm.running_mean": torch.randn(8, generator=draw),
            "features.0.norm.running_var": torch.rand(8, generator=draw) + 0.1,
            "features.0.norm.num_batches_tracked": torch.tensor(7),
            "classifier.weight": torch.randn(5, 8, generator=draw),
            "classifier.bias": torch.randn(5, generator=draw),
        }
    )


def torched(value: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **how)
    return out.getvalue()


Rows = Iterator[tuple[Any, ...]]
