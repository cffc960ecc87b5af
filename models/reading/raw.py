"""What reading a file gives: tensors by their own names, words, and what was noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from ...data.errors import printable
from .prefix import Repair, repair


@dataclass(frozen=True)
class Flag:
    """Something about a file that its reader should know.

    Args:
        code: A short stable word, such as ``"no-crc"``.
        sentence: What it is, printable on a terminal as it stands.
    """

    code: str
    sentence: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence", printable(self.sentence))


@dataclass(frozen=True, eq=False)
class RawCheckpoint:
    """A checkpoint as it lies in its file, before any architecture is thought of.

    Args:
        path: As it was given.
        realpath: Where links led.
        sha256: Of the bytes that were parsed; for a folder, of the listing of its files' hashes.
        format: ``"safetensors"``, ``"torch-zip"``, ``"torch-legacy"``, ``"safetensors-folder"``
            or ``"torch-folder"``.
        tensors: The state dict that was chosen, under the names it has in the file.
        metadata: What stands beside it, as JSON values; nothing in it is acted on. For a folder
            ``config`` and the other JSON files by name; for safetensors the file's words.
        flags: What was noticed.
        candidates: Dictionaries that might have been the state dict, as dotted paths.
        chosen: The one that was read; empty for the file's top.
        why: Why that one.
        shared: Groups of names whose tensors were one piece of memory when they were saved.
        files: Name and SHA-256 of each file that was read.
    """

    path: str
    realpath: str
    sha256: str
    format: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    flags: tuple[Flag, ...] = ()
    candidates: tuple[str, ...] = ("",)
    chosen: str = ""
    why: str = "it is the only one"
    shared: tuple[tuple[str, ...], ...] = ()
    files: tuple[tuple[str, str], ...] = field(default=())

    @cached_property
    def repair(self) -> Repair:
        """The wrappers' prefix that all names share, and the names without it."""
        return repair(self.tensors, self.path)

    @property
    def repaired(self) -> dict[str, Tensor]:
        """The tensors under their names without the wrappers' prefix."""
        return {self.repair.names[name]: tensor for name, tensor in self.tensors.items()}

    def flagged(self, code: str) -> bool:
        """Whether a flag of this code was raised."""
        return any(flag.code == code for flag in self.flags)
