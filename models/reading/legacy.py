"""The stream that `torch.save` wrote before version 1.6: five pickles, then the storages.

Unlike PyTorch's reader, which hands out memory nobody has written where a storage is
missing, this one wants every storage that is referred to, at its declared size, and nothing
behind the last.
"""

from __future__ import annotations

import io
import mmap
from typing import IO, cast

from ...data.errors import CheckpointError
from ...data.pickle_policy import Policy
from ...data.unpickle import read_pickle
from .archive import Parsed
from .pickled import Reader

MAGIC = 0x1950A86A20F9469CFC6C
PLAIN = Policy(purpose="file of weights", calls={}, most_steps=1_000_000)


def read_legacy(content: mmap.mmap | bytes, where: str) -> Parsed:
    """The pickle and the storages of a stream.

    Raises:
        CheckpointError: If it is damaged, or a storage is missing or has another size.
    """
    stream = _stream(content)
    if read_pickle(stream, PLAIN, where).value != MAGIC:
        raise CheckpointError(f"{where!r} is no PyTorch stream", code="damaged")
    if read_pickle(stream, PLAIN, where).value != 1001:
        raise CheckpointError(f"{where!r} is a PyTorch stream of another version", code="damaged")
    machine = read_pickle(stream, PLAIN, where).value
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise CheckpointError(f"{where!r} was not written little-endian", code="endian")
    reader = Reader(where, None)
    found = read_pickle(stream, reader.policy(), where)
    keys = read_pickle(stream, PLAIN, where).value
    if not isinstance(keys, list) or not all(type(key) in (str, int) for key in keys):
        raise CheckpointError(f"{where!r} lists storages by no words", code="damaged")
    if sorted(map(str, keys)) != sorted(reader.storages):
        missing = sorted(set(reader.storages) - set(map(str, keys)))[:3]
        raise CheckpointError(
            f"{where!r} refers to {len(reader.storages)} storages and lists others "
            f"({', '.join(missing) or 'too many'} missing); it is incomplete",
            code="missing-record",
        )
    raw = memoryview(content)
    at = stream.tell()
    records: dict[str, memoryview] = {}
    for key in map(str, keys):
        declared = reader.storages[key].size
        count = int.from_bytes(raw[at : at + 8], "little")
        at += 8
        if at + declared > len(raw):
            raise CheckpointError(
                f"{where!r} ends at byte {len(raw)}, within storage {key!r} (bytes {at} to "
                f"{at + declared}); it was cut short, so fetch it again",
                code="truncated",
            )
        if count * reader.item_bytes[key] != declared:
            raise CheckpointError(
                f"{where!r} declares {declared} bytes in storage {key!r}, which holds {count} "
                "values",
                code="size",
            )
        records[key] = raw[at : at + declared]
        at += declared
    if at != len(raw):
        raise CheckpointError(
            f"{where!r} goes on for {len(raw) - at} bytes behind its last storage",
            code="trailing",
        )
    reader.flags["no-crc"] = "is of a format without checksums, so damage cannot be seen"
    return Parsed(found.value, reader, records, found.opaque, found.cyclic)


def _stream(content: mmap.mmap | bytes) -> IO[bytes]:
    return io.BytesIO(content) if isinstance(content, bytes) else cast(IO[bytes], content)
