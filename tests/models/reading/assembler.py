"""Pickle programs and containers put together by hand, as no honest library writes them."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOUR = struct.pack("<4f", 1, 2, 3, 4)
"""The values of a storage of four floats."""


def word(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def whole(number: int) -> bytes:
    if -(2**31) <= number < 2**31:
        return b"J" + struct.pack("<i", number)
    raw = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(full: str) -> bytes:
    """A global, by GLOBAL."""
    module, _, name = full.rpartition(".")
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def tupled(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(full: str, *arguments: bytes) -> bytes:
    return named(full) + tupled(*arguments) + b"R"


def table(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(word(key) + value for key, value in items.items()) + b"u"


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage") -> bytes:
    return (
        tupled(word("storage"), named(f"torch.{kind}"), word(key), word("cpu"), whole(count)) + b"Q"
    )


def tensor(
    shape: Sequence[int] = (4,),
    stride: Sequence[int] = (1,),
    offset: int = 0,
    of: bytes | None = None,
    hooks: bytes = b"}",
) -> bytes:
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage() if of is None else of,
        whole(offset),
        tupled(*map(whole, shape)),
        tupled(*map(whole, stride)),
        b"\x89",
        hooks,
    )


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def made_folder(path: Path) -> bytes:
    """A call that makes a folder: the mark of a payload that ran."""
    return call("os.mkdir", word(str(path)))


class Payload:
    """Unpickles to a call that makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def archive(
    body: bytes,
    records: Mapping[str, bytes] | None = None,
    *,
    extra: Sequence[tuple[str, bytes]] = (),
    deflated: Sequence[str] = (),
    root: str = "a",
    byteorder: bytes = b"little",
    comment: bytes = b"",
) -> bytes:
    """A zip as `torch.save` writes it, but for what is asked to be wrong."""
    members = [(f"{root}/data.pkl", program(body)), (f"{root}/byteorder", byteorder)]
    kept = {"0": FOUR} if records is None else records
    members += [(f"{root}/data/{key}", value) for key, value in kept.items()]
    members += [(f"{root}/version", b"3\n"), *extra]
    return zipped(members, deflated=deflated, comment=comment)


def zipped(
    members: Sequence[tuple[str, bytes]], deflated: Sequence[str] = (), comment: bytes = b""
) -> bytes:
    """A zip of members, doubles included."""
    out, directory = io.BytesIO(), io.BytesIO()
    for name, value in members:
        raw, label = value, name.encode()
        method = 8 if name in deflated else 0
        if method:
            packer = zlib.compressobj(wbits=-15)
            raw = packer.compress(value) + packer.flush()
        fields = struct.pack("<3H2H3L2H", 20, 0, method, 0, 33, zlib.crc32(value), len(raw), len(value), len(label), 0)  # fmt: skip
        where = out.tell()
        out.write(b"PK\3\4" + fields + label + raw)
        directory.write(b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<3H2L", 0, 0, 0, 0, where) + label)  # fmt: skip
    start, size = out.tell(), directory.tell()
    out.write(directory.getvalue())
    out.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, len(members), len(members), size, start, len(comment)) + comment)  # fmt: skip
    return out.getvalue()


def without_checksums(raw: bytes) -> bytes:
    """The same zip with every CRC-32 zero."""
    out = bytearray(raw)
    with zipfile.ZipFile(io.BytesIO(raw)) as found:
        for info in found.infolist():
            out[info.header_offset + 14 : info.header_offset + 18] = bytes(4)
    at = out.find(b"PK\1\2")
    while at >= 0:
        out[at + 16 : at + 20] = bytes(4)
        at = out.find(b"PK\1\2", at + 4)
    return bytes(out)


def without_checksums_where_it_is_a_zip(raw: bytes) -> bytes:
    """The same bytes where no directory can be found."""
    try:
        return without_checksums(raw)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return raw


def legacy(
    body: bytes,
    keys: Sequence[str] = ("0",),
    stored: bytes = struct.pack("<Q", 4) + FOUR,
    *,
    version: int = 1001,
    little: bytes = b"\x88",
) -> bytes:
    """The stream that PyTorch wrote before the zip."""
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    machine = b"}(" + word("little_endian") + little + word("protocol_version") + whole(1001) + b"u"
    listed = b"](" + b"".join(map(word, keys)) + b"e"
    return magic + b"".join(map(program, (whole(version), machine, body, listed))) + stored


def safetensors(header: Any, values: bytes = FOUR, *, length: int | None = None) -> bytes:
    """A header (JSON or raw bytes) and what follows it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def entry(dtype: Any = "F32", shape: Any = (4,), at: Any = (0, 16), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": at, **more}
