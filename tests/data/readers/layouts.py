"""Small copies of published layouts: pixels from one seed, files as the benchmarks name them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

MINI_SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("n01532829", "n01558993"),
    "val": ("n01855672",),
    "test": ("n01930112",),
}


def pixels(seed: int, height: int = 8, width: int | None = None, *, grey: bool = False) -> Pixels:
    """One image `(H, W, 3)`, or `(H, W)` when grey."""
    shape = (height, width or height) if grey else (height, width or height, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: Pixels) -> Path:
    """An image file; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def png(image: Pixels) -> bytes:
    """A PNG file as bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, lines: Iterable[str]) -> Path:
    """A text file; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def mini_csv(
    root: Path,
    side: int = 84,
    splits: Mapping[str, Sequence[str]] = MINI_SPLITS,
    images: int = 3,
) -> Path:
    """mini-ImageNet: the split tables of Ravi and Larochelle over a flat folder of images."""
    seed = 0
    for split, classes in splits.items():
        lines = ["filename,label"]
        for name in classes:
            for i in range(1, images + 1):
                seed += 1
                save(root / "images" / f"{name}{i:08d}.jpg", pixels(seed, side))
                lines.append(f"{name}{i:08d}.jpg,{name}")
        write(root / f"{split}.csv", lines)
    return root


def python2(value: object) -> bytes:
    """A pickle as Python 2 wrote it, protocol 2: text and the bytes of arrays are byte strings."""
    return b"\x80\x02" + _part(value) + b"."


def _part(value: object) -> bytes:
    """The instructions that make one value."""
    if isinstance(value, str):
        return _string(value.encode("latin-1"))
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    if isinstance(value, list):
        return b"](" + b"".join(map(_part, value)) + b"e"
    if isinstance(value, dict):
        inner = b"".join(_part(k) + _part(v) for k, v in value.items())
        return b"}(" + inner + b"u"
    assert isinstance(value, np.ndarray)
    head = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + _part(0) + b"\x85"
    shape = b"(" + b"".join(map(_part, value.shape)) + b"t"
    kind = b"cnumpy\ndtype\n" + _string(value.dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
    order = b"|" if value.dtype.itemsize == 1 else b"<"
    minus = b"J" + (-1).to_bytes(4, "little", signed=True)
    kind += b"(K\x03" + _string(order) + b"NNN" + 2 * minus + b"K\x00tb"
    return (
        head + _string(b"b") + b"\x87R(K\x01" + shape + kind + b"\x89"
        + _string(value.tobytes()) + b"tb"
    )  # fmt: skip


def _string(raw: bytes) -> bytes:
    """A byte string."""
    if len(raw) < 256:
        return b"U" + bytes([len(raw)]) + raw
    return b"T" + len(raw).to_bytes(4, "little") + raw
