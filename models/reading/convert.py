"""A checkpoint of anybody's, written again as safetensors: the same tensors, the same names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ...data.errors import CheckpointError
from ...data.files import write_whole
from ..container import encode
from .raw import Flag, RawCheckpoint
from .read import read_file


def convert_file(
    source: Path,
    out: Path,
    *,
    like: Path | None = None,
    state_key: str | None = None,
    expect_sha256: str | None = None,
) -> RawCheckpoint:
    """Read a checkpoint and write its tensors as safetensors.

    The names are those of the file; what stood beside the tensors becomes JSON words.

    Args:
        source: As for `read_file`.
        out: The file to write.
        like: A checkpoint of the same network; tensors that it has and the source lacks, or has
            in another shape, are a refusal.
        state_key: As for `read_file`.
        expect_sha256: As for `read_file`.

    Returns:
        What was read.

    Raises:
        CheckpointError: If it cannot be read safely.
        MetaprobeError: If the file cannot be written.
    """
    found = read_file(source, expect_sha256=expect_sha256, state_key=state_key)
    if like is not None:
        found = refuse_unlike(found, read_file(like))
    _refuse_source(source, out, found)
    if found.format == "safetensors":
        words = {name: str(word) for name, word in found.metadata.items()}
    else:
        words = {
            "source.format": found.format,
            "source.sha256": found.sha256,
            "source.settings": json.dumps(found.metadata, allow_nan=False),
        }
    write_whole(out, encode(found.tensors, words))
    return found


def _refuse_source(source: Path, out: Path, found: RawCheckpoint) -> None:
    """Stop where writing would replace what was read."""
    home = source if source.is_dir() else source.parent
    for path in (source, *(home / name for name, _ in found.files)):
        if out.exists() and path.exists() and out.samefile(path):
            raise CheckpointError(
                f"{str(out)!r} is the file that is read; write to another", code="same-file"
            )


def refuse_unlike(found: RawCheckpoint, like: RawCheckpoint) -> RawCheckpoint:
    """Hold a checkpoint against another of the same network, without wrappers' prefixes.

    Returns:
        The checkpoint, flagged where it holds more tensors.

    Raises:
        CheckpointError: If a tensor is missing or has another shape.
    """
    has, wanted = found.repaired, like.repaired
    for name, tensor in wanted.items():
        if name not in has:
            raise CheckpointError(
                f"{found.path!r} lacks tensor {name!r}, which {like.path!r} has; a missing tensor is "
                "never filled in",
                code="missing-tensor",
            )
        if has[name].shape != tensor.shape:
            raise CheckpointError(
                f"tensor {name!r} of {found.path!r} has shape {tuple(has[name].shape)} and in "
                f"{like.path!r} {tuple(tensor.shape)}; they are not the same network",
                code="shape",
            )
    more = [name for name in has if name not in wanted]
    if not more:
        return found
    sentence = (
        f"{found.path} holds {len(more)} tensors that {like.path} lacks, such as {more[0][:80]}"
    )
    return replace(found, flags=(*found.flags, Flag("extra-tensors", sentence)))
