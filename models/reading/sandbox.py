"""A child process that parses one file, with limits, and is believed only as far as it can be checked.

It is started by exec, not by fork: a copy of a process in which PyTorch's threads have run
can hang. It answers in a frame (see `child`), and what it says of shapes, types and sizes is
checked again before any memory is taken. A child that dies, is killed or takes too long is a
refusal like another.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ...data.errors import CheckpointError
from .opened import Opened
from .views import ITEM_BYTES, MOST_TENSORS, SPARE_BYTES

LONGEST_ANSWER = 128 * 2**20
MEMORY = 2**30
"""Address space of the child beyond the file itself, in bytes."""

SECONDS = 15
"""Processor time of the child, beyond a second for each 50 MB."""

START = (
    "import sys; sys.path.insert(0, sys.argv[2]); "
    "from metaprobe.models.reading.child import main; main()"
)


def run_child(
    file: Opened, kind: str, state_key: str | None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Parse a file in a child.

    Args:
        file: The private copy.
        kind: As `sniff` found it.
        state_key: As for `choose`.

    Returns:
        The child's answer and its tensors.

    Raises:
        CheckpointError: If it refuses, or does not answer.
    """
    seconds = SECONDS + file.size // (50 * 2**20)
    job = {
        "kind": kind,
        "state_key": state_key,
        "where": file.path,
        "memory": MEMORY + 2 * file.size,
        "seconds": seconds,
    }
    face = sys.modules[__name__.partition(".")[0]]
    above = str(Path(str(face.__file__)).parent.parent)
    # -I: no user's paths or variables; the plugin folder of HDF5 stays empty
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", START, json.dumps(job), above],
        stdin=file.copy.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"HDF5_PLUGIN_PATH": "", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        close_fds=True,
    )
    assert child.stdout is not None
    clock = threading.Timer(4 * seconds, child.kill)
    clock.start()
    try:
        return _answer(child.stdout, file)
    except (EOFError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        child.kill()
        raise CheckpointError(
            f"{file.path!r} could not be parsed within its limits ({MEMORY // 2**20} MiB beyond its "
            f"size, {seconds} s); it is refused",
            code="limits",
        ) from error
    finally:
        clock.cancel()
        child.stdout.close()
        child.kill()
        child.wait()


def _answer(stream: IO[bytes], file: Opened) -> tuple[dict[str, Any], dict[str, Tensor]]:
    length = int.from_bytes(_exactly(stream, 8), "little")
    if length > LONGEST_ANSWER:
        raise ValueError("an answer too long")
    answer = json.loads(_exactly(stream, length))
    if "refused" in answer:
        refused: Mapping[str, str] = answer["refused"]
        raise CheckpointError(str(refused["sentence"]), code=str(refused["code"]))
    told = answer["tensors"]
    if len(told) > MOST_TENSORS:
        raise ValueError("too many tensors")
    total = 0
    for one in told:
        shape = one["shape"]
        if not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("a shape that is none")
        total += math.prod(shape) * ITEM_BYTES[one["dtype"]]
    if total > 2 * file.size + SPARE_BYTES:
        raise ValueError("more bytes than the file can hold")
    tensors: dict[str, Tensor] = {}
    for one in told:
        size = math.prod(one["shape"]) * ITEM_BYTES[one["dtype"]]
        values = bytearray(size)
        _fill(stream, memoryview(values))
        dtype = getattr(torch, one["dtype"])
        flat = torch.frombuffer(values, dtype=dtype) if size else torch.empty(0, dtype=dtype)
        if one["name"] in tensors:
            raise ValueError("a name that stands twice")
        tensors[one["name"]] = flat.reshape(one["shape"])
    return answer, tensors


def _exactly(stream: IO[bytes], count: int) -> bytes:
    out = bytearray(count)
    _fill(stream, memoryview(out))
    return bytes(out)


def _fill(stream: IO[bytes], out: memoryview) -> None:
    at = 0
    while at < len(out):
        got = stream.readinto(out[at:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        at += got
