"""A checkpoint of anybody's, written again as safetensors: the same tensors, the same names."""

from __future__ import annotations

import json
from pathlib import Path

from ...data.errors import CheckpointError
from ...data.files import write_whole
from ..container import encode
from .raw import RawCheckpoint
from .read import read_file


def convert_file(
    source: Path, out: Path, *, state_key: str | None = None, expect_sha256: str | None = None
) -> RawCheckpoint:
    """Read a checkpoint and write its tensors as safetensors.

    The names are those of the file; what stood beside the tensors becomes JSON words.

    Args:
        source: As for `read_file`.
        out: The file to write.
        state_key: As for `read_file`.
        expect_sha256: As for `read_file`.

    Returns:
        What was read.

    Raises:
        CheckpointError: If it cannot be read safely.
        MetaprobeError: If the file cannot be written.
    """
    found = read_file(source, expect_sha256=expect_sha256, state_key=state_key)
    if out.exists() and out.samefile(source):
        raise CheckpointError(
            f"{str(out)!r} is the file that is read; write to another", code="same-file"
        )
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
