"""A model folder: ``config.json`` and its weights, in one file or in shards.

Only files of the folder itself are opened. A link may lead elsewhere in the folder, or, in
the cache of the Hugging Face hub, to the blobs beside its snapshots; nowhere else. What
``config.json`` says of code or addresses is kept as words.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from ...data.confined import BYTES_A_SECOND, SECONDS
from ...data.errors import CheckpointError
from ...data.private import Private, private_copy
from .header import once, refuse_many_values
from .health import health_flags, refuse_unusable
from .raw import Flag, RawCheckpoint
from .sandbox import run_child
from .sniff import sniff
from .words import inert

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SETTINGS = ("config.json", "preprocessor_config.json")
LONGEST_JSON = 16 * 2**20
MOST_SHARDS = 200


def read_folder(folder: Path, expect_sha256: str | None, state_key: str | None) -> RawCheckpoint:
    """The weights and the settings of a model folder.

    Args:
        folder: The folder.
        expect_sha256: What `RawCheckpoint.sha256` must be.
        state_key: As for `choose`.

    Raises:
        CheckpointError: If it holds no weights, or a part cannot be read safely.
    """
    settings: dict[str, Any] = {}
    files: list[tuple[str, str]] = []
    told: dict[str, str] = {}
    for name in SETTINGS:
        if os.path.lexists(folder / name):
            with member(folder, name) as file:
                settings[name.removesuffix(".json")] = _json(file)
                files.append((name, file.sha256))
    plan = _plan(folder, files)
    tensors: dict[str, Tensor] = {}
    words: dict[str, Any] = {}
    form = answer = None
    left: float = SECONDS  # of processor time, for all shards together
    unlisted: list[str] = []
    for name, wanted in plan.items():
        with member(folder, name) as file:
            kind = sniff(file.head, file.size, file.path)
            if kind == "pickle":
                raise CheckpointError(
                    f"{file.path!r} is a bare pickle, not a file of weights", code="bare-pickle"
                )
            left += file.size / BYTES_A_SECOND
            before = _children()
            key = state_key if wanted is None else "."
            answer, found = run_child(file, kind, key, max(1, math.ceil(left)))
            left -= _children() - before
            files.append((name, file.sha256))
        form = f"{'safetensors' if kind == 'safetensors' else 'torch'}-folder"
        for key in found if wanted is None else wanted:
            if key not in found:
                raise CheckpointError(
                    f"the index of {str(folder)!r} says that {name!r} holds tensor {key!r}, and it "
                    "does not; the download is incomplete or mixed",
                    code="missing-tensor",
                )
            tensors[key] = found[key]
        unlisted += [] if wanted is None else sorted(found.keys() - set(wanted))
        told.update(answer["flags"])
        words.update(answer["metadata"] if isinstance(answer["metadata"], dict) else {})
    if unlisted:
        told["unlisted"] = (
            f"holds {len(unlisted)} tensors in shards where its index does not name them, such as "
            f"{unlisted[0][:80]}; they are not read"
        )
    assert answer is not None
    assert form is not None
    refuse_unusable(tensors, str(folder))
    plain, instructions = inert(settings)
    if instructions:
        told["instructions"] = instructions
    told.update(health_flags(tensors))
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(files))
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    if expect_sha256 is not None and sha256 != expect_sha256.lower():
        raise CheckpointError(
            f"the files of {str(folder)!r} have SHA-256 {sha256} together, not the expected "
            f"{expect_sha256[:64]}",
            code="sha256",
        )
    return RawCheckpoint(
        path=str(folder),
        realpath=os.path.realpath(folder),
        sha256=sha256,
        format=form,
        tensors=tensors,
        metadata={**plain, "weights": words},
        flags=tuple(Flag(code, f"{folder} {sentence}") for code, sentence in told.items()),
        candidates=tuple(answer["candidates"]) if len(plan) == 1 else ("",),
        chosen=str(answer["chosen"]) if len(plan) == 1 else "",
        why=str(answer["why"]) if len(plan) == 1 else "the index names its tensors",
        files=tuple(files),
    )


def _children() -> float:
    """Processor time of the children that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _plan(folder: Path, files: list[tuple[str, str]]) -> dict[str, list[str] | None]:
    """The files of weights, and the tensors each is to give (None for whatever it has)."""
    for name in WEIGHTS:
        if os.path.lexists(folder / name):
            return {name: None}
    for name in INDEXES:
        if os.path.lexists(folder / name):
            with member(folder, name) as file:
                files.append((name, file.sha256))
                return dict(_shards(_json(file), file.path))
    alone = sorted(p.name for p in folder.iterdir() if p.suffix == ".safetensors")
    if len(alone) == 1:
        return {alone[0]: None}
    raise CheckpointError(
        f"folder {str(folder)!r} holds no weights that are known by name ({', '.join(WEIGHTS)}, "
        f"or an index of shards){f' but {len(alone)} .safetensors files' if alone else ''}; "
        "nothing else in it is followed, so give the file itself",
        code="no-weights",
    )


def _shards(index: Any, where: str) -> Mapping[str, list[str]]:
    found = index.get("weight_map") if isinstance(index, dict) else None
    if (
        not isinstance(found, dict)
        or not found
        or not all(isinstance(name, str) for name in found.values())
    ):
        raise CheckpointError(
            f"{where!r} is no index of shards; it needs a weight_map from tensors to files",
            code="index",
        )
    shards: dict[str, list[str]] = {}
    for key, name in found.items():
        shards.setdefault(name, []).append(key)
    if len(shards) > MOST_SHARDS:
        raise CheckpointError(
            f"{where!r} names {len(shards)} shards; {MOST_SHARDS} are allowed", code="too-large"
        )
    return shards


@contextmanager
def member(folder: Path, name: str) -> Iterator[Private]:
    """A private copy of a file that lies in a folder, and not elsewhere.

    Raises:
        CheckpointError: If its name or a link leads out of the folder, or it is missing.
    """
    if name != os.path.basename(name) or name in ("", ".", "..") or "\\" in name or "\0" in name:
        raise CheckpointError(
            f"folder {str(folder)!r} refers to file {name[:200]!r}; only files of the folder "
            "itself are read",
            code="path",
        )
    home = Path(os.path.realpath(folder))
    real = Path(os.path.realpath(folder / name))
    roots = [home]
    if home.parent.name == "snapshots":  # the hub's cache keeps bytes beside its snapshots
        roots.append(home.parent.parent / "blobs")
    if not any(real.is_relative_to(root) for root in roots):
        raise CheckpointError(
            f"{str(folder / name)!r} is a link to {str(real)!r}, out of the folder; put the file "
            "itself there",
            code="path",
        )
    with private_copy(folder / name) as file:
        yield file


def _json(file: Private) -> Any:
    """A small JSON file, in which a name stands once.

    Raises:
        CheckpointError: If it is none.
    """
    if file.size > LONGEST_JSON:
        raise CheckpointError(
            f"{file.path!r} holds {file.size} bytes; {LONGEST_JSON} are allowed", code="too-large"
        )
    text = file.copy.read()
    refuse_many_values(text, file.path)
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file.path!r} is not JSON: {str(error)[:100]}", code="damaged"
        ) from error
