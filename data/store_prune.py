"""Making room, the one dangerous verb.

`prune` works only in a folder marked as a cache, follows no link, deletes only files the store
would have made, leaves alone what a living writer may hold, and takes an entry out of sight before
it touches its files. Killed at any step, it leaves a sound store.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import StoreError
from .store import TAG, TAG_SIGNATURE, Store
from .store_entry import KEY, RECORD, TRASH
from .store_files import TEMPORARY, in_words
from .store_format import Damaged, Shard
from .store_verify import MOVED_NAME, StoredEntry, files_in, list_entries, subfolders

DAY = 24 * 3600.0
TEMPORARY_NAME = re.compile(re.escape(TEMPORARY) + r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Pruning:
    """What `prune` removed, or would: whole folders, and files no record names."""

    entries: tuple[StoredEntry, ...]
    leftovers: tuple[Path, ...]
    bytes: int
    dry_run: bool


def prune(
    store: Store,
    *,
    max_bytes: int | None = None,
    older_than: float | None = None,
    dry_run: bool = True,
    now: float | None = None,
) -> Pruning:
    """Removes entries, least recently used first, and what killed writers left.

    What a writer may be at stays: entries unfinished, or with a temporary file, and touched within
    a day. Quarantined entries go first.

    Args:
        max_bytes: Remove entries until no more than this is left.
        older_than: Remove entries not used for so many seconds.
        dry_run: Only say what would go.
        now: The time it is taken to be, in seconds since 1970.

    Raises:
        StoreError: If the folder is not marked as a cache, or cannot be changed.
    """
    since = (time.time() if now is None else now) - DAY
    with in_words(store.root):
        _require_cache(store)
        entries = list_entries(store)
        doomed = _doomed(store, entries, max_bytes, older_than, since)
        kept = set(entries).difference(doomed)
        leftovers = _leftovers(store, kept, since)
        size = sum(entry.bytes for entry in doomed) + sum(leftovers.values())
        if not dry_run:
            for path in leftovers:
                with suppress(FileNotFoundError):
                    store.files.call(os.unlink, path)
            for entry in doomed:
                _discard(store, entry.folder)
            for folder in subfolders(store, store.root / TRASH):  # of earlier, killed prunes too
                if MOVED_NAME.fullmatch(folder.name):
                    _delete(store, folder)
    return Pruning(tuple(doomed), tuple(leftovers), size, dry_run)


def _doomed(
    store: Store,
    entries: list[StoredEntry],
    max_bytes: int | None,
    older_than: float | None,
    since: float,
) -> list[StoredEntry]:
    left = sum(entry.bytes for entry in entries)
    doomed: list[StoredEntry] = []
    for entry in sorted(entries, key=lambda entry: (entry.state != "quarantined", entry.used)):
        too_old = older_than is not None and entry.used < since + DAY - older_than
        too_much = max_bytes is not None and left > max_bytes
        if (too_old or too_much) and not _busy(store, entry, since):
            doomed.append(entry)
            left -= entry.bytes
    return doomed


def _busy(store: Store, entry: StoredEntry, since: float) -> bool:
    if entry.state == "unfinished":
        return entry.used >= since
    return any(
        name.startswith(TEMPORARY) and status.st_mtime >= since
        for name, status in files_in(store, entry.folder).items()
    )


def _leftovers(store: Store, entries: Iterable[StoredEntry], since: float) -> dict[Path, int]:
    """Temporary files, and shards of writers that lost a race, a day old; with their sizes."""
    found: dict[Path, int] = {}
    for folder, named in [(store.root, None), *((e.folder, _named(store, e)) for e in entries)]:
        for name, status in files_in(store, folder).items():
            unnamed = named is not None and Shard.named(name, 0) is not None and name not in named
            if status.st_mtime < since and (unnamed or TEMPORARY_NAME.fullmatch(name)):
                found[folder / name] = status.st_size
    return found


def _named(store: Store, entry: StoredEntry) -> set[str] | None:
    """The shards an entry needs; None where nobody knows."""
    if entry.state != "whole":
        return None
    try:
        return {shard.name for shard in store.entry(entry.hash).record().shards}
    except (Damaged, OSError):
        return None


def _discard(store: Store, folder: Path) -> None:
    """First the record, which makes it a miss; then out of sight; then its files."""
    grave = store.root / TRASH / f"{folder.name[:64]}-{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):
        store.files.call(os.unlink, folder / RECORD)
    with suppress(FileNotFoundError):  # another prune was faster
        store.files.make_folder(grave.parent)
        store.files.call(os.rename, folder, grave)
        _delete(store, grave)


def _delete(store: Store, folder: Path) -> None:
    """Deletes what the store itself would have made; a folder that holds more stays."""
    for name in files_in(store, folder):
        if name in (KEY, RECORD) or Shard.named(name, 0) or TEMPORARY_NAME.fullmatch(name):
            with suppress(FileNotFoundError):
                store.files.call(os.unlink, folder / name)
    try:
        store.files.call(os.rmdir, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def _require_cache(store: Store) -> None:
    tagged = False
    with suppress(OSError):
        tagged = store.files.read(store.root / TAG).startswith(TAG_SIGNATURE)
    if not tagged or (store.root / TRASH).is_symlink():
        why = f"its {TRASH} is a link" if tagged else f"it holds no {TAG}"
        raise StoreError(
            f"{store.root} may not be a cache ({why}); nothing was removed", code="not-a-store"
        )
