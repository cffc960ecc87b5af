"""TFRecord files of images, without TensorFlow: records of `tf.train.Example` in protocol buffers.

A record is its length (8 bytes), a checksum of the length, the content, a checksum
of the content. An Example is a map of names to lists of bytes, floats or whole
numbers; of these `image` (an encoded image) and `label` are read. Only the
checksum of the length is verified: an image that was damaged does not decode.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError

MOST_RECORD = 256 * 2**20


def read_records(path: Path) -> Iterator[tuple[bytes, int | None]]:
    """The image of each record, encoded, and its label where it has one.

    Raises:
        DataError: If the file is cut off, damaged, or a record has no image.
    """
    left = path.stat().st_size
    with path.open("rb") as file:
        row = 0
        while left:
            head = file.read(12)
            size = int.from_bytes(head[:8], "little")
            if len(head) < 12 or masked_crc(head[:8]) != int.from_bytes(head[8:], "little"):
                raise DataError(f"{str(path)!r} is damaged at record {row}", code="damaged")
            if size > min(MOST_RECORD, left - 16):
                raise DataError(
                    f"{str(path)!r} ends within record {row}, which has {size:,} bytes",
                    code="truncated",
                )
            content = file.read(size)
            file.read(4)
            left -= size + 16
            try:
                features = dict(_features(content))
            except (ValueError, IndexError) as error:
                raise DataError(
                    f"{str(path)!r} holds no tf.train.Example as record {row} ({error})",
                    code="damaged",
                ) from error
            image, label = features.get("image"), features.get("label")
            if not isinstance(image, bytes):
                raise DataError(
                    f"{str(path)!r} has no image in record {row} (it has "
                    f"{', '.join(map(repr, sorted(features))) or 'nothing'})",
                    code="layout",
                )
            yield image, label if isinstance(label, int) else None
            row += 1


def masked_crc(raw: bytes) -> int:
    """TFRecord's checksum: CRC-32C, turned by 15 bits and shifted.

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc = 0xFFFFFFFF
    for byte in raw:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(example: bytes) -> Iterator[tuple[str, bytes | int]]:
    """First value of each feature that is bytes or a whole number."""
    for number, features in _fields(example):
        if number != 1 or not isinstance(features, bytes):
            continue
        for _, entry in _fields(features):
            if not isinstance(entry, bytes):
                continue
            parts = dict(_fields(entry))
            name, value = parts.get(1), parts.get(2)
            if not isinstance(name, bytes) or not isinstance(value, bytes):
                continue
            for kind, listed in _fields(value):
                first = next(_fields(listed), None) if isinstance(listed, bytes) else None
                if first is None:
                    continue
                found = first[1]
                if kind == 3 and isinstance(found, bytes):  # whole numbers, packed
                    found = _varint(found, 0)[0]
                if kind in (1, 3):
                    yield name.decode("utf-8"), found


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field of a message."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(raw, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(raw, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if size > len(raw) - at:
            raise ValueError("a field is longer than its message")
        yield key >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = raw[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number of more than ten bytes")
