"""The zip that `torch.save` writes, checked before anything in it is believed.

Members must be stored as they are, under one root, without doubles, one after the other up
to the directory that ends the file. PyTorch writes a CRC-32 of each member and does not look
at it; here every byte is held against it.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

from ...data.errors import CheckpointError
from ...data.unpickle import Unpickled, read_pickle
from .pickled import ADVICE, Reader

LONGEST_PICKLE = 64 * 2**20
LOCAL = struct.Struct("<4s5H3L2H")
MOST_MEMBERS = 250_000
DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Parsed:
    """What was found in a PyTorch file.

    Args:
        value: Nested plain data with views.
        reader: The views and what was noticed.
        records: The bytes of each storage.
        opaque: Classes that were not built.
        cyclic: Whether a container holds itself.
    """

    value: Any
    reader: Reader
    records: dict[str, memoryview]
    opaque: frozenset[str]
    cyclic: bool


def read_archive(content: mmap.mmap | bytes, where: str) -> Parsed:
    """The pickle and the storages of a zip checkpoint.

    Raises:
        CheckpointError: If it is no such zip, or a damaged or hostile one.
    """
    raw = memoryview(content)
    members, no_crc = _members(raw, where)
    root = _root(members, where)
    inner = {name.removeprefix(root): found for name, found in members.items()}
    if bytes(inner.get("byteorder", b"little")) != b"little":
        raise CheckpointError(f"{where!r} was written big-endian; that is not read", code="endian")
    program = inner["data.pkl"]
    if len(program) > LONGEST_PICKLE:
        raise CheckpointError(
            f"{where!r} has a pickle of {len(program)} bytes; {LONGEST_PICKLE} are allowed",
            code="too-large",
        )
    records = {n.removeprefix("data/"): m for n, m in inner.items() if n.startswith("data/")}

    def size(key: str) -> int:
        if key not in records:
            raise CheckpointError(
                f"{where!r} refers to record {key!r}, which it lacks; it is incomplete",
                code="missing-record",
            )
        return len(records[key])

    reader = Reader(where, size)
    found: Unpickled = read_pickle(io.BytesIO(program), reader.policy(), where)
    if no_crc:
        reader.flags["no-crc"] = "was written without checksums, so damage cannot be seen"
    return Parsed(found.value, reader, records, found.opaque, found.cyclic)


def _members(raw: memoryview, where: str) -> tuple[dict[str, memoryview], bool]:
    """The bytes of each member by name, and whether no member has a checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw) if len(raw) < 2**16 else _File(raw)) as archive:
            infos = archive.infolist()
            directory = archive.start_dir
            comment = len(archive.comment)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error) as error:
        raise CheckpointError(
            f"{where!r} begins as a zip archive and has no intact end; it was cut short or damaged, "
            "so fetch it again",
            code="truncated",
        ) from error
    if comment or len(infos) > MOST_MEMBERS or bytes(raw[-22:-18]) != b"PK\5\6":
        raise _damaged(where, "it goes on after its directory, or has a directory of no sense")
    if min((info.header_offset for info in infos), default=0):
        raise _damaged(where, "something lies before its first member")
    _refuse_programs([info.filename for info in infos], where)
    out: dict[str, memoryview] = {}
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        name = info.filename
        if name in out:
            raise CheckpointError(
                f"{where!r} holds member {_short(name)} twice; readers would disagree",
                code="duplicate",
            )
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or DRIVE.match(name):
            raise CheckpointError(
                f"{where!r} holds member {_short(name)}, whose name leaves the archive", code="path"
            )
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointError(
                f"member {_short(name)} of {where!r} is compressed ({info.compress_size} bytes for "
                f"{info.file_size}); PyTorch stores members as they are",
                code="compressed-member",
            )
        if info.flag_bits & 0x1:
            raise _damaged(where, f"member {_short(name)} is encrypted")
        start, label = _local(raw, info.header_offset, where)
        if label != (info.orig_filename.encode("utf-8"), info.compress_type) or (
            info.header_offset < end or start + info.file_size > directory
        ):
            raise _damaged(where, f"member {_short(name)} is not where its directory says")
        out[name] = raw[start : start + info.file_size]
        end = start + info.file_size
    blank = bool(infos) and all(info.CRC == 0 for info in infos)
    if not blank:
        for info in infos:
            if zlib.crc32(out[info.filename]) != info.CRC:
                start = info.header_offset
                raise CheckpointError(
                    f"member {_short(info.filename)} of {where!r} (bytes {start} to "
                    f"{start + info.file_size}) does not have its checksum; the file is damaged",
                    code="checksum",
                )
    return out, blank


def _refuse_programs(names: list[str], where: str) -> None:
    """Stop at archives of code, whose members may be compressed."""
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise CheckpointError(
            f"{where!r} is a TorchScript archive, which holds code and not only weights; it is "
            f"not run, and {ADVICE}",
            code="torchscript",
        )
    if "archive_format" in inner or "models/model.json" in inner:
        raise CheckpointError(
            f"{where!r} is a program of `torch.export`, not weights alone; it is not run, and "
            f"{ADVICE}",
            code="exported",
        )


def _local(raw: memoryview, offset: int, where: str) -> tuple[int, tuple[bytes, int]]:
    """Where a member's bytes start, and what its own header says of it."""
    header = bytes(raw[offset : offset + LOCAL.size])
    if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
        raise _damaged(where, f"no member begins at byte {offset}")
    fields = LOCAL.unpack(header)
    name_at = offset + LOCAL.size
    name = bytes(raw[name_at : name_at + fields[9]])
    return name_at + fields[9] + fields[10], (name, fields[3])


def _root(members: dict[str, memoryview], where: str) -> str:
    """The folder that all members lie in."""
    pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
    roots = {name.split("/")[0] for name in members}
    if len(pickles) == 1 and pickles[0].count("/") == 1 and len(roots) == 1:
        return pickles[0].removesuffix("data.pkl")
    if any(name.endswith(".npy") for name in members):
        raise CheckpointError(
            f"{where!r} is an archive of NumPy arrays, not of weights; give it as --data",
            code="npz",
        )
    raise CheckpointError(
        f"{where!r} is a zip archive that `torch.save` did not write (members "
        f"{', '.join(_short(n) for n in list(members)[:3]) or 'none'})",
        code="not-torch",
    )


def _damaged(where: str, what: str) -> CheckpointError:
    return CheckpointError(f"{where!r} is a damaged zip archive: {what}", code="damaged")


def _short(name: str) -> str:
    return ascii(name[:60])


class _File(io.RawIOBase):
    """A memoryview as a file, without a copy."""

    def __init__(self, raw: memoryview) -> None:
        self._raw, self._at = raw, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, len(self._raw))[whence]
        if base + offset < 0:
            raise OSError("before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        part = self._raw[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
