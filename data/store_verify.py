"""Looking into a store: what is in it, is it sound, and why did that hit.

Nothing here changes the store; a damaged entry is set aside by the next `Store.get`.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .errors import StoreError
from .store import Store
from .store_entry import ENTRIES, QUARANTINE, RECORD
from .store_files import in_words
from .store_format import Damaged

_HASH = re.compile(r"[0-9a-f]{64}")
MOVED_NAME = re.compile(r"[0-9a-f]{64}-[0-9a-f]{8}")
State = Literal["whole", "unfinished", "quarantined"]


@dataclass(frozen=True)
class StoredEntry:
    """One folder of the store, by the look of its files: not verified.

    Args:
        hash: Of its key.
        state: ``whole`` has a record, ``unfinished`` has none yet and can be resumed,
            ``quarantined`` failed a check.
        bytes: Of all its files.
        used: When it was last read or written, in seconds since 1970.
    """

    hash: str
    state: State
    bytes: int
    used: float
    folder: Path


@dataclass(frozen=True)
class Verification:
    """What `verify` found: ``damaged`` maps the hash of an entry to what is wrong with it."""

    checked: int
    damaged: Mapping[str, str]
    unfinished: int
    quarantined: int


def list_entries(store: Store) -> list[StoredEntry]:
    """Everything in the store, least recently used first.

    Raises:
        StoreError: If the store's folder cannot be read.
    """
    with in_words(store.root):
        found: list[StoredEntry] = []
        for folder, aside in _folders(store):
            with suppress(FileNotFoundError):  # pruned meanwhile
                found.append(_look(store, folder, aside))
    return sorted(found, key=lambda entry: entry.used)


def verify(store: Store, sample: float | None = None, seed: int = 0) -> Verification:
    """Reads entries down to the last byte and changes nothing.

    A damaged entry is set aside when it is next asked for, and computed anew.

    Args:
        sample: Share of the entries to read, in (0, 1]; all of them if None.
        seed: Of the draw.

    Raises:
        StoreError: If the store cannot be read, or ``sample`` is no share.
    """
    if sample is not None and not 0 < sample <= 1:
        raise StoreError(f"sample={sample} is no share; give one in (0, 1]", code="sample")
    entries = list_entries(store)
    whole = [entry for entry in entries if entry.state == "whole"]
    if sample is not None and whole:
        count = math.ceil(sample * len(whole))
        chosen = np.random.default_rng(seed).choice(len(whole), count, replace=False)
        whole = [whole[i] for i in sorted(chosen)]
    damaged: dict[str, str] = {}
    for found in whole:
        try:
            entry = store.entry(found.hash)
            record = entry.record()
            entry.key()
            deque(entry.blocks(record), maxlen=0)
        except FileNotFoundError:  # pruned or set aside meanwhile
            continue
        except (Damaged, OSError) as error:
            damaged[found.hash] = str(error)
    states = [entry.state for entry in entries]
    return Verification(
        len(whole), damaged, states.count("unfinished"), states.count("quarantined")
    )


def explain(store: Store, prefix: str) -> dict[str, object]:
    """Why an entry hits: its key, where it came from, and what it holds.

    Args:
        prefix: The first digits of the entry's hash, enough to tell it from the others.

    Raises:
        StoreError: If no entry, or more than one, begins like that, or the entry is damaged.
    """
    matches = [
        entry
        for entry in list_entries(store)
        if entry.hash.startswith(prefix) and entry.state != "quarantined"
    ]
    if len(matches) != 1:
        some = ", ".join(entry.hash[:12] for entry in matches[:4])
        raise StoreError(
            f"{len(matches)} entries of {store.root} begin with {prefix!r}"
            + (f" ({some}): give more digits" if matches else ": list the entries to see which do"),
            code="ambiguous" if matches else "no-entry",
        )
    (found,) = matches
    entry = store.entry(found.hash)
    told = {"hash": found.hash, "state": found.state, "bytes": found.bytes, "used": found.used}
    try:
        told["key"] = entry.key()
        if found.state == "whole":
            record = entry.record()
            told |= {"rows": record.rows, "dim": record.dim, "shards": len(record.shards)}
            told["provenance"] = record.provenance
    except (Damaged, OSError) as error:
        raise StoreError(
            f"entry {found.hash[:12]} is damaged ({error}); it will be set aside when asked for",
            code="damaged",
        ) from error
    return told


def _folders(store: Store) -> Iterator[tuple[Path, bool]]:
    """The folders of all entries, and whether each is in quarantine."""
    for half in subfolders(store, store.root / ENTRIES):
        for folder in subfolders(store, half):
            if _HASH.fullmatch(folder.name) and folder.name.startswith(half.name):
                yield folder, False
    for folder in subfolders(store, store.root / QUARANTINE):
        if MOVED_NAME.fullmatch(folder.name):
            yield folder, True


def _look(store: Store, folder: Path, quarantined: bool) -> StoredEntry:
    files = files_in(store, folder)
    state: State = "whole" if RECORD in files else "unfinished"
    times = [status.st_mtime for status in files.values()]
    return StoredEntry(
        hash=folder.name[:64],
        state="quarantined" if quarantined else state,
        bytes=sum(status.st_size for status in files.values()),
        used=max(times, default=store.files.call(os.lstat, folder).st_mtime),
        folder=folder,
    )


def subfolders(store: Store, folder: Path) -> list[Path]:
    """The folders in ``folder``, links not among them; none if it is itself a link."""
    try:
        here = store.files.call(os.lstat, folder)
    except FileNotFoundError:
        return []
    inside = _lstat(store, folder) if stat.S_ISDIR(here.st_mode) else {}
    return [folder / name for name, status in inside.items() if stat.S_ISDIR(status.st_mode)]


def files_in(store: Store, folder: Path) -> dict[str, os.stat_result]:
    """The files in ``folder``, and links as what they are: links."""
    return {
        name: status
        for name, status in _lstat(store, folder).items()
        if not stat.S_ISDIR(status.st_mode)
    }


def _lstat(store: Store, folder: Path) -> dict[str, os.stat_result]:
    found = {}
    for name in store.files.names(folder):
        with suppress(FileNotFoundError):  # removed meanwhile
            found[name] = store.files.call(os.lstat, folder / name)
    return found
