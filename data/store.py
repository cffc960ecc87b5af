"""The store: embeddings computed once, kept by what they depend on, served only if whole.

An entry is looked up by its key, a plain mapping of everything the embedding depends on. A hit is
verified from the record down to the last byte; anything that fails is moved to ``quarantine/`` and
counts as a miss. Entries appear by one atomic step and are never modified, so writers need no
locks: when two race for a key the first wins, and both are right. docs/storage.md draws the layout.

    store = Store()
    rows = store.get(key)
    if rows is None:
        rows = embed(...)
        store.put(key, rows)
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .embeddings import Embeddings
from .errors import StoreError
from .keys import canonical_json, key_hash
from .store_entry import ENTRIES, QUARANTINE, RECORD, TRASH, Chain, Entry
from .store_files import TEMPORARY, Files, in_words
from .store_format import FORMAT, Damaged, Record, join, split
from .store_stream import StoredRows, Writer

TAG, FORMAT_FILE = "CACHEDIR.TAG", "format.json"
TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_TAG_TEXT = TAG_SIGNATURE + b"\n# Embeddings kept by metaprobe; see https://bford.info/cachedir/\n"
_FORMAT_TEXT = canonical_json({"metaprobe_cache": FORMAT}) + b"\n"
_OURS = {ENTRIES, QUARANTINE, TRASH, TAG, FORMAT_FILE, "datasets"}  # built datasets lie beside


def default_cache_dir() -> Path:
    """``$METAPROBE_CACHE``, else ``$XDG_CACHE_HOME/metaprobe``, else ``~/.cache/metaprobe``.

    Raises:
        StoreError: If neither is set and there is no home folder.
    """
    if chosen := os.environ.get("METAPROBE_CACHE"):
        return Path(chosen).expanduser()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if shared.is_absolute():  # the specification asks to ignore relative ones
        return shared / "metaprobe"
    try:
        return Path.home() / ".cache" / "metaprobe"
    except RuntimeError as error:
        raise StoreError(
            "this user has no home folder to keep a store in; set $METAPROBE_CACHE", code="no-home"
        ) from error


@dataclass(frozen=True)
class Store:
    """Embeddings on disk, by key. Holds its settings and nothing else.

    Args:
        path: The store's folder, made at the first write.
        files: The way to the disk.
    """

    path: Path | str = field(default_factory=default_cache_dir)
    files: Files = field(default_factory=Files, repr=False, compare=False)

    @property
    def root(self) -> Path:
        return Path(self.path).expanduser()

    def entry(self, name: str) -> Entry:
        """The entry of the key that hashes to ``name``, be it there or not."""
        return Entry(self.root, name, self.files)

    def get(self, key: Mapping[str, object]) -> Embeddings | None:
        """What was put under ``key``, bit for bit, or None.

        A damaged entry is moved to ``quarantine/`` and is a miss; so is an unreadable store.

        Raises:
            StoreError: If the key cannot be hashed.
        """
        rows = self.open_rows(key)
        if rows is None:
            return None
        try:
            return join(list(rows))
        except StoreError:
            return None

    def open_rows(self, key: Mapping[str, object]) -> StoredRows | None:
        """What was put under ``key``, to be read block by block, or None."""
        entry, record = self.entry(key_hash(key)), None
        try:
            record = entry.record()
            entry.key()
        except (Damaged, OSError) as error:
            entry.set_aside(record, error)
            return None
        with suppress(OSError):
            self.files.call(os.utime, entry.folder / RECORD)  # prune drops the least recently used
        return StoredRows(entry, record)

    def contains(self, key: Mapping[str, object]) -> bool:
        """Whether ``key`` has a record and files of the right sizes: cheap, not verified."""
        entry = self.entry(key_hash(key))
        try:
            sizes = [
                (self.files.call(os.stat, entry.folder / shard.name).st_size, shard.bytes)
                for shard in entry.record().shards
            ]
        except (Damaged, OSError):
            return False
        return all(found == stated for found, stated in sizes)

    def put(
        self,
        key: Mapping[str, object],
        rows: Embeddings,
        *,
        provenance: Mapping[str, object] | None = None,
    ) -> None:
        """Keeps ``rows`` under ``key``; if the key is there already, what is there stays.

        Args:
            provenance: Whatever should be remembered but is no part of the key: paths, versions,
                time, host.

        Raises:
            StoreError: If the disk is full or read-only (earlier entries stay intact), the key
                cannot be hashed, or an array is of a kind that would not come back exactly.
        """
        try:
            self._put(key, rows, provenance)
        except StoreError as error:
            if error.code != "vanished":  # the folder was pruned or set aside under our hands
                raise
            self._put(key, rows, provenance)

    @contextmanager
    def writer(
        self,
        key: Mapping[str, object],
        *,
        rows: int,
        provenance: Mapping[str, object] | None = None,
        resume: bool = True,
    ) -> Iterator[Writer]:
        """Writes a long entry block by block; a killed run is continued where it stopped.

            with store.writer(key, rows=len(images)) as writer:
                for block in embed(images[writer.done :]):
                    writer.append(block)

        The entry exists from the end of the ``with`` block on, if no exception left it.

        Args:
            rows: Rows of the whole entry.
            resume: Keep the longest chain of shards that an earlier run left.

        Raises:
            StoreError: As `put`; or if the block ends before all ``rows`` were appended.
        """
        remembered = dict(provenance or {})
        canonical_json(remembered)  # refused before the work, not after it
        record = self._trusted(key)
        entry = self.entry(key_hash(key))
        if record is not None:
            if record.rows != rows:
                raise StoreError(
                    f"this key already holds {record.rows} rows and {rows} were announced; the key "
                    "must name everything the rows depend on",
                    code="rows",
                )
            yield Writer(entry, rows, Chain(record.shards, record.dim), committed=True)
            return
        with in_words(self.root):
            self._prepare()
            entry.begin(canonical_json(key))
            chain = entry.longest_chain(rows) if resume else Chain()
        writer = Writer(entry, rows, chain)
        yield writer
        writer.commit(remembered)

    def unwritable(self) -> StoreError | None:
        """Why nothing can be kept here, or None; so that a job can go on without a store."""
        probe = self.root / (TEMPORARY + secrets.token_hex(8))
        try:
            with in_words(self.root):
                self._prepare()
                self.files.publish(probe, b"?")
                self.files.call(os.unlink, probe)
        except StoreError as error:
            return error
        return None

    def _put(
        self,
        key: Mapping[str, object],
        rows: Embeddings,
        provenance: Mapping[str, object] | None,
    ) -> None:
        with self.writer(key, rows=len(rows), provenance=provenance, resume=False) as writer:
            if not writer.committed:
                for block in split(rows):
                    writer.append(block)

    def _trusted(self, key: Mapping[str, object]) -> Record | None:
        """The record of ``key`` if all it names verifies."""
        rows = self.open_rows(key)
        if rows is None:
            return None
        try:
            deque(rows, maxlen=0)
        except StoreError:
            return None
        return rows.record

    def _prepare(self) -> None:
        """Makes the root a store, unless it is one or is something else."""
        self.files.make_folder(self.root)
        names = self.files.names(self.root)
        strangers = [n for n in names if n not in _OURS and not n.startswith(TEMPORARY)]
        if FORMAT_FILE not in names and strangers:
            raise StoreError(
                f"{self.root} is not a metaprobe store and is not empty (it holds {strangers[0]}); "
                "name a new or empty folder",
                code="not-a-store",
            )
        self.files.ensure(self.root / TAG, _TAG_TEXT)
        if FORMAT_FILE not in names:
            self.files.publish(self.root / FORMAT_FILE, _FORMAT_TEXT)
        found = self.files.read(self.root / FORMAT_FILE)
        if found != _FORMAT_TEXT:
            raise StoreError(
                f"the store at {self.root} is of another format ({found[:60]!r}, this version "
                f"writes {_FORMAT_TEXT!r}); name another folder with $METAPROBE_CACHE",
                code="format",
            )
