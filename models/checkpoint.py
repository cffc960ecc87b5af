"""Our own checkpoints: safetensors with everything needed to measure them.

Tensors are named ``body.…``, ``head.…`` and ``rates.…``; metadata are JSON
strings under the keys ``metaprobe.format``, ``architecture``, ``rule``,
``data``, ``recipe``, ``seed``, ``step`` and ``version``. Nothing in a file is
executed, and its size is checked before memory is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..data.errors import CheckpointError
from ..data.files import write_whole
from .container import decode, encode, header_length
from .tensors import not_finite, widened

FORMAT = "metaprobe.checkpoint/1"
LARGEST = 2 * 2**30
"""Bytes; a file larger than this is not read."""

DTYPES = (torch.float32, torch.int64)
"""Types a tensor may have: weights, and counters of normalisation layers."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors and metadata of one file.

    Args:
        name: Short name: the file's stem.
        path: Where it was read.
        sha256: Hash of the file's bytes.
        tensors: ``body.…``, ``head.…`` and ``rates.…``.
        metadata: Decoded JSON, without the ``metaprobe.format`` key.
        format: What the file is.
    """

    name: str
    path: str
    sha256: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    format: str = "safetensors"

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it.

        >>> Checkpoint("a", "a", "", {"head.bias": torch.zeros(2)}, {}).part("head")
        {'bias': tensor([0., 0.])}
        """
        start = prefix + "."
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}


def shipped(part: str = "") -> dict[str, Path]:
    """The checkpoints that travel with the package, by name.

    Args:
        part: A folder of them that serves one study; its names are not known to the others.
    """
    room = files("metaprobe.checkpoints") / part
    found = [Path(str(p)) for p in room.iterdir() if p.name.endswith(".safetensors")]
    return {p.stem: p for p in sorted(found)}


def find_checkpoint(name: str | Path) -> Path:
    """The file of a checkpoint, given its path or the name of a shipped one.

    Raises:
        CheckpointError: If there is neither.
    """
    known = shipped()
    if os.path.exists(name) and not (os.path.isdir(name) and str(name) in known):
        return Path(name)
    if str(name) in known:
        return known[str(name)]
    raise CheckpointError(
        f"checkpoint {str(name)!r} does not exist; give a .safetensors file or one of "
        f"{', '.join(known) or '(none shipped)'}",
        code="missing-file",
    )


def read_checkpoint(source: str | Path) -> Checkpoint:
    """Read one of our checkpoints.

    The bytes that are hashed are the bytes that are parsed.

    Raises:
        CheckpointError: If it is not there, not such a file, or holds a value that is not finite.
    """
    path = find_checkpoint(source)
    raw = _read_bytes(path)
    tensors, words = decode(raw, str(path))
    if words.get("metaprobe.format") != FORMAT:
        raise CheckpointError(
            f"{str(path)!r} is a safetensors file but no metaprobe checkpoint "
            f"(its metaprobe.format is {words.get('metaprobe.format')!r}, not {FORMAT!r})",
            code="foreign-checkpoint" if "metaprobe.format" in words else "not-ours",
        )
    try:
        metadata = {k: json.loads(v) for k, v in words.items() if k != "metaprobe.format"}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the metadata of {str(path)!r} is not JSON: {error}", code="damaged"
        ) from error
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise CheckpointError(
                f"tensor {name!r} of {str(path)!r} is {tensor.dtype}; "
                f"{' and '.join(map(str, DTYPES))} are allowed",
                code="dtype",
            )
    refuse_unusable(tensors, str(path))
    return Checkpoint(path.stem, str(path), hashlib.sha256(raw).hexdigest(), tensors, metadata)


def write_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write a checkpoint whole or not at all; the same content gives the same bytes.

    Args:
        path: Where to; its folder is made.
        tensors: ``body.…``, ``head.…`` and ``rates.…``.
        metadata: JSON-able values.

    Raises:
        CheckpointError: If a tensor holds a value that is not finite.
        MetaprobeError: If it cannot be written.
    """
    refuse_unusable(tensors, str(path))
    words = {k: json.dumps(v, sort_keys=True) for k, v in metadata.items()}
    write_whole(path, encode(tensors, {"metaprobe.format": FORMAT, **words}))


def refuse_unusable(tensors: Mapping[str, Tensor], where: str) -> None:
    """Stop at the first tensor that holds NaN or infinity, or a variance below zero.

    Raises:
        CheckpointError: Naming the tensor and how many values.
    """
    for name, tensor in tensors.items():
        bad = not_finite(tensor)
        if bad:
            raise CheckpointError(
                f"tensor {name!r} of {where!r} holds {bad} values that are NaN or infinite; "
                "nothing measured from it would mean anything",
                code="not-finite",
            )
        below = int((widened(tensor) < 0).sum()) if name.endswith("running_var") else 0
        if below:
            raise CheckpointError(
                f"tensor {name!r} of {where!r} holds {below} variances below zero, whose root is "
                "no number; nothing measured from it would mean anything",
                code="negative-variance",
            )


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes: the same weights, the same digest."""
    out = hashlib.sha256(b"metaprobe-tensors-v1")
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        out.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        out.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return out.hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CheckpointError(
            f"{str(path)!r} cannot be opened: {error.strerror}", code="cannot-open"
        ) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise CheckpointError(f"{str(path)!r} is not a regular file", code="not-a-file")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > LARGEST:
            raise CheckpointError(
                f"{str(path)!r} holds {status.st_size} bytes; {LARGEST} are allowed",
                code="too-large",
            )
        _refuse_foreign(file, str(path), status.st_size)
        return file.read()


def _refuse_foreign(file: IO[bytes], where: str, size: int) -> None:
    """Stop before a file is read whole that does not even speak of our format."""
    length = header_length(file.read(8), size, where)
    if b"metaprobe.format" not in file.read(length):
        raise CheckpointError(
            f"{where!r} is no metaprobe checkpoint (its header does not speak of metaprobe.format)",
            code="not-ours",
        )
    file.seek(0)
