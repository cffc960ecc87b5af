"""What an entry looks like on disk: bytes in, values out, and no disk in between.

An entry is a chain of *shards*, each an HDF5 file with a block of rows, and one *record* that
names them. Every byte is covered by a hash: a shard by the one in its name and in the record, the
record by its own. Like commits in git, each shard names the one before, so that rows of two runs
can never be joined into one entry.

Shards are plain HDF5 (contiguous, no filters, no times), readable with any HDF5 tool, and the same
rows always give the same bytes.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .embeddings import Embeddings
from .errors import StoreError
from .keys import canonical_json

FORMAT = 1
SHARD_BYTES = 48 << 20
_EXTRAS = "extras"
_EXTRA_NAME = re.compile(r"\w[\w .:-]*")
_EXTRA_KINDS = "biufcSU"


class Damaged(Exception):
    """What lies on disk is not what was written. Never leaves the store."""


@dataclass(frozen=True)
class Shard:
    """Rows ``start … start + rows - 1`` of an entry, in one file of ``bytes`` bytes."""

    start: int
    rows: int
    bytes: int
    hash: str

    @property
    def name(self) -> str:
        return f"s-{self.start}-{self.rows}-{self.hash}.h5"

    @property
    def stop(self) -> int:
        return self.start + self.rows

    @classmethod
    def named(cls, name: str, size: int) -> Shard | None:
        """The shard a file of this name and size claims to be, if it claims to be one."""
        match = re.fullmatch(r"s-(\d{1,18})-(\d{1,18})-([0-9a-f]{64})\.h5", name, re.ASCII)
        return match and cls(int(match[1]), int(match[2]), size, match[3])


@dataclass(frozen=True)
class Record:
    """The commit record: an entry exists if and only if this verifies.

    Args:
        entry: The hash of the key.
        dim: Width `D` of the features.
        shards: The chain, in row order.
        provenance: Whatever the writer wants remembered; not part of the key.
    """

    entry: str
    dim: int
    shards: tuple[Shard, ...]
    provenance: Mapping[str, object] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.shards[-1].stop

    def to_bytes(self) -> bytes:
        """Canonical JSON, with the SHA-256 of everything else under ``self``."""
        shards = [{"file": shard.name, **asdict(shard)} for shard in self.shards]
        body = {
            "format": FORMAT,
            "key": self.entry,
            "rows": self.rows,
            "dim": self.dim,
            "shards": shards,
            "provenance": self.provenance,
        }
        return canonical_json({**body, "self": sha256(canonical_json(body)).hexdigest()})

    @classmethod
    def from_bytes(cls, data: bytes, entry: str) -> Record:
        """Reads a record, and accepts only the very bytes `to_bytes` would write for ``entry``.

        Raises:
            Damaged: If a single bit differs, or the shards do not follow one another.
        """
        try:
            body = json.loads(data)
            shards = tuple(
                Shard(s["start"], s["rows"], s["bytes"], s["hash"]) for s in body["shards"]
            )
            record = cls(entry, body["dim"], shards, body["provenance"])
            whole = record.to_bytes() == data
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged(f"the commit record cannot be read ({error})") from error
        if not whole:
            raise Damaged("the commit record does not match its own hash and key")
        if shards[0].start or any(a.stop != b.start for a, b in pairwise(shards)):
            raise Damaged("the commit record names shards that do not follow one another")
        return record


def encode_shard(block: Embeddings, *, entry: str, start: int, previous: str) -> memoryview:
    """One HDF5 file: datasets ``features``, ``ids``, ``labels`` and a group ``extras``.

    Args:
        block: ``(N, D)`` float32 features, text ids, int64 labels.
        entry: The hash of the key.
        start: The block's first row in the entry.
        previous: Hash of the shard before, empty for the first.

    Raises:
        StoreError: If an array is of a kind the store does not keep exactly.
    """
    _require_storable(block)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=FORMAT, key=entry, start=start, previous=previous)
        _write(file, "ids", block.ids)
        _write(file, "labels", block.labels)
        _write(file, "features", block.features)
        if block.extras:
            extras = file.create_group(_EXTRAS)
            for name, array in sorted(block.extras.items()):
                _write(extras, name, np.asarray(array))
    return buffer.getbuffer()


def decode_shard(data: bytes, shard: Shard, *, entry: str) -> tuple[Embeddings, str]:
    """Checks the bytes against ``shard``, then reads the rows from those very bytes.

    Returns:
        The rows, and the hash of the shard before.

    Raises:
        Damaged: If anything differs from what `encode_shard` wrote.
    """
    require_hash(data, shard)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            claims = (file.attrs["format"], file.attrs["key"], file.attrs["start"])
            previous = str(file.attrs["previous"])
            block = Embeddings(
                features=_read(file, "features"),
                ids=_read(file, "ids"),
                labels=_read(file, "labels"),
                extras=_read_extras(file),
            )
            _require_storable(block)
    except Exception as error:  # HDF5 answers a bad file with a dozen types of exception
        raise Damaged(f"{shard.name} cannot be read ({error})") from error
    if claims != (FORMAT, entry, shard.start) or len(block) != shard.rows:
        raise Damaged(f"{shard.name} belongs elsewhere: {claims}, {len(block)} rows")
    return block, previous


def require_hash(data: bytes, shard: Shard) -> None:
    """Raises `Damaged` unless ``data`` has the size and SHA-256 that ``shard`` states."""
    if len(data) != shard.bytes:
        raise Damaged(f"{shard.name} has {len(data)} bytes instead of {shard.bytes}")
    if sha256(data).hexdigest() != shard.hash:
        raise Damaged(f"{shard.name} does not match its hash")


def split(rows: Embeddings) -> Iterator[Embeddings]:
    """Blocks of about `SHARD_BYTES`; the last one carries the extras."""
    width = 4 * rows.dim + rows.ids.itemsize + 8
    step = max(1, SHARD_BYTES // width)
    for start in range(0, max(1, len(rows)), step):
        part = slice(start, start + step)
        last = start + step >= len(rows)
        yield Embeddings(
            rows.features[part], rows.ids[part], rows.labels[part], rows.extras if last else {}
        )


def join(blocks: list[Embeddings]) -> Embeddings:
    """The inverse of `split`."""
    if len(blocks) == 1:
        return blocks[0]
    return Embeddings(
        np.concatenate([b.features for b in blocks]),
        np.concatenate([b.ids for b in blocks]),
        np.concatenate([b.labels for b in blocks]),
        blocks[-1].extras,
    )


def _require_storable(block: Embeddings) -> None:
    for name, found, dtype in (
        ("features", block.features.dtype, np.dtype("f4")),
        ("labels", block.labels.dtype, np.dtype("i8")),
    ):
        if found != dtype:
            raise StoreError(
                f"{name} are {found}; the store keeps {dtype} exactly: convert them before "
                "they are used, so that a hit equals what was computed",
                code="dtype",
            )
    if block.ids.dtype.kind != "U" or block.ids.ndim != 1 or block.labels.ndim != 1:
        raise StoreError(
            f"ids are {block.ids.dtype} {block.ids.shape} and labels {block.labels.shape}; "
            "one text id and one label per row are needed",
            code="dtype",
        )
    for name, array in block.extras.items():
        if np.asarray(array).dtype.kind not in _EXTRA_KINDS or not _EXTRA_NAME.fullmatch(name):
            raise StoreError(
                f"extra {name!r} is {np.asarray(array).dtype}; extras are arrays of numbers, bools "
                "or text, under names of letters, digits and _ . : -",
                code="dtype",
            )


def _write(group: h5py.Group, name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind == "U":  # fixed width, so that the text is contiguous and repeatable
        text = _encoded(array)
        array = text.astype(h5py.string_dtype("utf-8", max(1, text.dtype.itemsize)))
    group.create_dataset(name, data=array, track_times=False)


def _read(group: h5py.Group, name: str) -> NDArray[Any]:
    dataset = _plain(group, name)
    if not isinstance(dataset, h5py.Dataset) or (
        dataset.chunks or dataset.external or dataset.is_virtual
    ):
        raise Damaged(f"{name} is not a plain dataset")
    array: NDArray[Any] = np.asarray(dataset[...])
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None and text.encoding == "utf-8":
        return _decoded(array.astype("S"))
    return array


def _encoded(text: NDArray[Any]) -> NDArray[Any]:
    """UTF-8, as wide as the longest; where all is ASCII by a cast, many times faster."""
    width = max(1, int(np.strings.str_len(text).max(initial=0)))
    try:
        return text.astype(f"S{width}")
    except UnicodeEncodeError:
        return np.char.encode(text, "utf-8", "surrogatepass")


def _decoded(text: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `_encoded`."""
    try:
        return text.astype("U")
    except UnicodeDecodeError:
        return np.char.decode(text, "utf-8", "surrogatepass")


def _read_extras(file: h5py.File) -> dict[str, NDArray[Any]]:
    if _EXTRAS not in file:
        return {}
    group = _plain(file, _EXTRAS)
    return {name: _read(group, name) for name in group}


def _plain(group: h5py.Group, name: str) -> Any:
    """What lies in this file under ``name``: a link could make HDF5 read another file."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Damaged(f"{name} is a link")
    return group[name]
