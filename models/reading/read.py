"""The one entry: a path to a checkpoint of anybody's, or one sentence why not."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...data.errors import CheckpointError, DataError
from ...data.private import Private, private_copy
from ...data.unpickle import read_pickle
from .folder import INDEXES, read_folder
from .health import health_flags, refuse_unusable
from .pickled import ADVICE, Reader
from .raw import Flag, RawCheckpoint
from .sandbox import run_child
from .sniff import expected_ending, sniff


def read_file(
    path: str | Path, *, expect_sha256: str | None = None, state_key: str | None = None
) -> RawCheckpoint:
    """Read a checkpoint that anybody may have made; nothing in it is executed.

    Args:
        path: A ``.safetensors`` file, what `torch.save` wrote from a state dict, bare or within
            a checkpoint of a trainer, or a model folder with its ``config.json``.
        expect_sha256: What the file's bytes must hash to.
        state_key: The dictionary that holds the weights, as a dotted path, where there are
            several; ``"."`` for every tensor of the file.

    Raises:
        CheckpointError: If it cannot be read safely or holds no weights.
    """
    place = Path(path)
    if os.path.isdir(place):
        return read_folder(place, expect_sha256, state_key)
    if place.name in INDEXES:
        return read_folder(place.parent, expect_sha256, state_key)
    with private_copy(place, expect_sha256, look=sniff) as file:
        return read_opened(file, state_key)


def read_opened(file: Private, state_key: str | None) -> RawCheckpoint:
    """The checkpoint in a private copy."""
    kind = sniff(file.head, file.size, file.path)
    if kind == "pickle":
        raise _bare_pickle(file)
    answer, tensors = run_child(file, kind, state_key)
    refuse_unusable(tensors, file.path)
    told: dict[str, str] = {**answer["flags"], **health_flags(tensors)}
    name = Path(file.path).name.lower()
    if "." in name and not name.endswith(expected_ending(kind)):
        told["ending"] = f"is a {kind} file, which its name does not say"
    if os.path.islink(file.path):
        told["link"] = f"is a link to {file.realpath}"
    return RawCheckpoint(
        path=file.path,
        realpath=file.realpath,
        sha256=file.sha256,
        format=kind,
        tensors=tensors,
        metadata=answer["metadata"],
        flags=tuple(Flag(code, f"{file.path} {sentence}") for code, sentence in told.items()),
        candidates=tuple(answer["candidates"]),
        chosen=str(answer["chosen"]),
        why=str(answer["why"]),
        shared=_shared(answer["tensors"]) if kind != "safetensors" else (),
        files=((Path(file.path).name, file.sha256),),
    )


def _shared(told: list[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """Names whose tensors are the same view of the same storage."""
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for one in told:
        if one["bytes"]:
            groups[one["storage"], one["offset"], tuple(one["shape"]), tuple(one["stride"])].append(
                one["name"]
            )
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _bare_pickle(file: Private) -> CheckpointError:
    """Why a pickle without PyTorch's container is refused; it is followed only to say so."""
    try:
        reader = Reader(file.path, lambda key: 0)
        read_pickle(io.BytesIO(file.head), reader.policy(), file.path)
    except CheckpointError as error:
        return error
    except DataError:
        pass
    return CheckpointError(
        f"{file.path!r} is a bare pickle, not a file of `torch.save`; it is not unpickled, and "
        f"{ADVICE}",
        code="bare-pickle",
    )
