"""A child parses the file; what it says of its tensors is checked again, and believed then.

Shapes, types and sizes are compared before memory is taken: a child that a file has taken
over could otherwise ask for anything.
"""

from __future__ import annotations

import math
from typing import IO, Any

import torch
from torch import Tensor

from ...data.confined import Answer, ask_child, exactly
from ...data.errors import CheckpointError
from ...data.private import Private
from .views import ITEM_BYTES, MOST_STEPS, MOST_TENSORS, SPARE_BYTES

CHILD = __name__.rpartition(".")[0] + ".child"


def run_child(
    file: Private, kind: str, state_key: str | None, seconds: int | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Parse a file in a child.

    Args:
        file: The private copy.
        kind: As `sniff` found it.
        state_key: As for `choose`.
        seconds: As for `ask_child`.

    Returns:
        The child's answer and its tensors.

    Raises:
        CheckpointError: If it refuses, or does not answer.
    """

    def receive(answer: Answer, stream: IO[bytes]) -> tuple[Answer, dict[str, Tensor]]:
        _refuse_another_form(answer)
        return answer, _tensors(answer["tensors"], stream, 2 * file.size + SPARE_BYTES)

    job = {"kind": kind, "state_key": state_key}
    return ask_child(CHILD, job, file, receive, refusal=CheckpointError, seconds=seconds)


def _refuse_another_form(answer: Answer) -> None:
    """The parts of an answer that are read later are of the types they are read as."""
    flags, candidates = answer["flags"], answer["candidates"]
    if not isinstance(flags, dict) or not all(isinstance(s, str) for s in flags.values()):
        raise ValueError("flags that are no sentences")
    if not isinstance(candidates, list) or not all(isinstance(c, str) for c in candidates):
        raise ValueError("candidates that are no names")
    if not {"metadata", "chosen", "why"} <= answer.keys():
        raise ValueError("an answer that lacks a part")
    for one in answer["tensors"]:
        if not isinstance(one["name"], str) or not isinstance(one["storage"], str):
            raise ValueError("a tensor without a name")
        if not all(type(n) is int for n in (one["bytes"], one["offset"], *one["stride"])):
            raise ValueError("a place that is no number")


def _tensors(told: list[dict[str, Any]], stream: IO[bytes], most: int) -> dict[str, Tensor]:
    if len(told) > MOST_TENSORS:
        raise ValueError("too many tensors")
    sizes = []
    for one in told:
        if not all(type(n) is int and n >= 0 for n in one["shape"]):
            raise ValueError("a shape that is none")
        if math.prod(max(n, 1) for n in one["shape"]) >= MOST_STEPS:
            raise ValueError("a shape that cannot be")
        sizes.append(math.prod(one["shape"]) * ITEM_BYTES[one["dtype"]])
    if sum(sizes) > most:
        raise ValueError("more bytes than the file can hold")
    tensors: dict[str, Tensor] = {}
    for one, size in zip(told, sizes, strict=True):
        dtype = getattr(torch, one["dtype"])
        values = exactly(stream, size)
        flat = torch.frombuffer(values, dtype=dtype) if size else torch.empty(0, dtype=dtype)
        if str(one["name"]) in tensors:
            raise ValueError("a name that stands twice")
        tensors[str(one["name"])] = flat.reshape(one["shape"])
    return tensors
