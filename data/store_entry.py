"""One folder, one entry: first the shards, then the record, and the record decides.

    key.json      the key, so that every hit can be explained
    s-*.h5        shards, each named by its rows and its hash
    commit.json   the record; whatever it does not name is not part of the entry

A reader trusts nothing but hashes: the record must match its own, each shard the record's.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from .embeddings import Embeddings
from .keys import json_hash
from .store_files import Files, is_damage
from .store_format import Damaged, Record, Shard, decode_shard, encode_shard

ENTRIES, QUARANTINE, TRASH = "entries", "quarantine", "trash"
KEY = "key.json"
RECORD = "commit.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chain:
    """Shards that follow one another from row 0, and the width of their features."""

    shards: tuple[Shard, ...] = ()
    dim: int | None = None

    @property
    def rows(self) -> int:
        return self.shards[-1].stop if self.shards else 0

    @property
    def tip(self) -> str:
        """Hash of the last shard, empty before the first."""
        return self.shards[-1].hash if self.shards else ""


@dataclass(frozen=True)
class Entry:
    """The folder, in the store at ``root``, of the key that hashes to ``hash``."""

    root: Path
    hash: str
    files: Files

    @property
    def folder(self) -> Path:
        return self.root / ENTRIES / self.hash[:2] / self.hash

    def record(self) -> Record:
        """The commit record.

        Raises:
            FileNotFoundError: If there is none, so there is no entry.
            Damaged: If it is not what was written.
        """
        data = self.files.read(self.folder / RECORD)
        return Record.from_bytes(data, self.hash)

    def key(self) -> Mapping[str, Any]:
        """What the entry's name is the hash of.

        Raises:
            Damaged: If it is not.
        """
        data = self._read(KEY)
        if json_hash(data) != self.hash:
            raise Damaged(f"{KEY} is not the key of this entry")
        return cast(Mapping[str, Any], json.loads(data))

    def blocks(self, record: Record) -> Iterator[Embeddings]:
        """The rows, one verified shard at a time.

        Raises:
            Damaged: At the first shard that is not what was written.
        """
        tip = ""
        for shard in record.shards:
            data = self._read(shard.name, shard.bytes)
            block, previous = decode_shard(data, shard, entry=self.hash)
            if previous != tip or block.dim != record.dim:
                raise Damaged(f"{shard.name} does not follow the shard before it")
            tip = shard.hash
            yield block

    def longest_chain(self, rows: int) -> Chain:
        """What earlier runs left of an entry of ``rows`` rows, to be continued.

        Each shard names its predecessor, so two runs never mix, whatever files lie here.
        """
        chains = {"": Chain()}
        for shard in sorted(self._claims(rows), key=lambda shard: shard.start):
            try:
                data = self.files.read(self.folder / shard.name, shard.bytes)
                block, previous = decode_shard(data, shard, entry=self.hash)
            except (Damaged, OSError):
                continue
            base = chains.get(previous)
            if base is not None and base.rows == shard.start and base.dim in (None, block.dim):
                chains[shard.hash] = Chain((*base.shards, shard), block.dim)
        return max(chains.values(), key=lambda chain: chain.rows)

    def begin(self, key: bytes) -> None:
        """Makes the folder, with its key in it."""
        self.files.make_folder(self.folder)
        self.files.ensure(self.folder / KEY, key)

    def add(self, block: Embeddings, chain: Chain) -> Chain:
        """``chain`` with one more shard, which is on the disk for good when this returns."""
        data = encode_shard(block, entry=self.hash, start=chain.rows, previous=chain.tip)
        shard = Shard(chain.rows, len(block), len(data), sha256(data).hexdigest())
        self.files.publish(self.folder / shard.name, data)
        self.files.sync(self.folder)
        return Chain((*chain.shards, shard), block.dim)

    def commit(self, record: Record) -> None:
        """Makes the entry exist, unless another writer was first: then theirs stays, whole."""
        self.files.publish(self.folder / RECORD, record.to_bytes(), first_wins=True)
        self.files.sync(self.folder)

    def set_aside(self, record: Record | None, error: Damaged | OSError) -> None:
        """Moves the entry to quarantine, if it is damaged and still the one that was judged.

        Args:
            record: The record it had then, None if that could not be read.
            error: What was wrong with it.
        """
        if isinstance(error, OSError) and not is_damage(error):
            return
        try:
            if self.record() != record:
                return
        except FileNotFoundError:
            return
        except (Damaged, OSError):
            pass
        target = self.root / QUARANTINE / f"{self.hash}-{secrets.token_hex(4)}"
        with suppress(OSError):
            self.files.make_folder(target.parent)
            self.files.call(os.rename, self.folder, target)
            _log.warning("%s; the entry was moved to %s and will be computed anew", error, target)

    def _claims(self, rows: int) -> Iterator[Shard]:
        for name in self.files.names(self.folder):
            with suppress(FileNotFoundError):
                size = self.files.call(os.stat, self.folder / name).st_size
                if (shard := Shard.named(name, size)) and shard.stop <= rows:
                    yield shard

    def _read(self, name: str, size: int | None = None) -> bytes:
        try:
            return self.files.read(self.folder / name, size)
        except FileNotFoundError as error:
            raise Damaged(f"{name} is missing") from error
