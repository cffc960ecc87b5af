"""Entries larger than memory: read and written one shard at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .embeddings import Embeddings
from .errors import StoreError
from .store_entry import Chain, Entry
from .store_files import in_words
from .store_format import Damaged, Record


@dataclass(frozen=True)
class StoredRows:
    """An entry to be read block by block, for galleries larger than memory.

    Iterating reads and verifies one shard at a time, from the start each time.

    Raises:
        StoreError: While iterating, with code ``damaged``, if a shard is not what was written;
            the entry is then in quarantine and the rows given so far are right.
    """

    entry: Entry
    record: Record

    @property
    def dim(self) -> int:
        """Width `D` of the features."""
        return self.record.dim

    def __len__(self) -> int:
        return self.record.rows

    def __iter__(self) -> Iterator[Embeddings]:
        try:
            yield from self.entry.blocks(self.record)
        except (Damaged, OSError) as error:
            self.entry.set_aside(self.record, error)
            raise StoreError(
                f"entry {self.entry.hash[:12]} cannot be read ({error}); compute it anew",
                code="damaged",
            ) from error


@dataclass
class Writer:
    """A long entry on its way in."""

    entry: Entry
    rows: int
    chain: Chain
    committed: bool = False

    @property
    def done(self) -> int:
        """Rows that are on the disk for good: where to go on."""
        return self.chain.rows

    def append(self, block: Embeddings) -> None:
        """Adds the next rows; they survive a power cut once this returns.

        Each call makes one file and waits for the disk: give it tens of megabytes.
        Extras belong to the whole entry and come with the last block.

        Raises:
            StoreError: If the rows are too many, of another width, or the disk refuses.
        """
        last = self.done + len(block) == self.rows
        problem = None
        if self.committed or self.done + len(block) > self.rows:
            problem = f"{len(block)} rows after {self.done} of {self.rows}"
        elif len(block) == 0 and self.rows:
            problem = "a block without rows"
        elif self.chain.dim not in (None, block.dim):
            problem = f"rows of width {block.dim} after rows of width {self.chain.dim}"
        elif block.extras and not last:
            problem = "extras before the last block"
        if problem:
            raise StoreError(
                f"{problem} cannot be appended; give {self.rows} rows of one width, extras last",
                code="rows",
            )
        with in_words(self.entry.root):
            self.chain = self.entry.add(block, self.chain)

    def commit(self, provenance: Mapping[str, object]) -> None:
        """Makes the entry exist. `Store.writer` calls this."""
        if self.done != self.rows or self.chain.dim is None:
            raise StoreError(
                f"{self.done} of {self.rows} rows were appended; the entry is not complete, "
                "and a new writer goes on from there",
                code="incomplete",
            )
        with in_words(self.entry.root):
            record = Record(self.entry.hash, self.chain.dim, self.chain.shards, provenance)
            self.entry.commit(record)
        self.committed = True
