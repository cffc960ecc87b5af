"""From a list of image files to labelled images: every file is looked at, and none trusted.

A reader lists what its layout says is there (`Listing`); this reads it, in two
passes. The first opens headers only: sizes, colours, what cannot be opened. Then
it is known how much memory the pixels take and whether one shape fits all. The
second decodes into one array. What cannot be read, and what the list contradicts
itself about, is counted and named, and refused above the share allowed.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DataError
from ..images import LabelledImages
from .options import ReadOptions
from .refusals import left_out, refuse_above, refuse_empty, without_images

MOST_PIXELS = 50_000_000
"""Pixels of one image; a small file can claim many more."""

MOST_FILE = 256 * 2**20
"""Bytes of one image file."""

BROKEN = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError,
          EOFError, MemoryError, AttributeError, Image.DecompressionBombError,
          Image.DecompressionBombWarning)  # fmt: skip
"""What Pillow's decoders raise on damaged files."""

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
"""What is decoded, whatever a file is called. Left to itself Pillow would also take PostScript,
for which it starts Ghostscript."""

TELL_EVERY = 200


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a list.

    Args:
        id: What names it for ever: mostly its path in the dataset.
        label: Name of its class.
        source: The file, or the file's content.
    """

    id: str
    label: str
    source: Path | bytes


@dataclass(frozen=True)
class Listing:
    """What a dataset says it holds, before a pixel is read.

    Args:
        name: Name of the dataset.
        split: Name of the split.
        where: The dataset's place, for errors.
        pictures: In their order.
        groups: Group of a class; ``"all"`` for a class that is not among them.
        classes: Every class that the layout names, be there images of it or not.
        wrong: What the list contradicts itself about: id of an image to a reason in words.
    """

    name: str
    split: str
    where: str
    pictures: Sequence[Picture]
    groups: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    classes: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    grey: bool


def read_pictures(listing: Listing, options: ReadOptions) -> LabelledImages:
    """The images of a list.

    Grey images stay grey when all are; else every image becomes RGB. Classes are in the order
    of their names.

    Raises:
        DataError: If nothing is listed, sizes are mixed and no size was asked for, they would
            not fit in memory, or more is unreadable than allowed.
    """
    where, whole = listing.where, len(listing.pictures)
    if not whole:
        raise DataError(f"{where!r} lists no images", code="no-classes")
    bad = {**_contradictions(listing.pictures), **listing.wrong}
    listed = {picture.label for picture in listing.pictures} - {""}
    named = {*listing.classes, *listed}
    refuse_empty(named - listed, named, where, options)
    headers: list[_Header | None] = []
    for i, picture in enumerate(listing.pictures):
        if options.progress is not None and i % TELL_EVERY == 0:
            options.progress(f"reading {listing.name}", i, 2 * whole)
        found = None if picture.id in bad else _header(picture)
        if isinstance(found, str):
            bad[picture.id] = found
        headers.append(found if isinstance(found, _Header) else None)
    distinct = len({picture.id for picture in listing.pictures})
    refuse_above(bad, distinct, where, options)  # before the long pass
    shape, resize = _shape([h for h in headers if h is not None], where, options)
    good = sum(h is not None for h in headers)
    options.require_room(good, shape, where)
    images = np.empty((good, *shape), np.uint8)
    kept: list[Picture] = []
    for i, (picture, header) in enumerate(zip(listing.pictures, headers, strict=True)):
        if options.progress is not None and i % TELL_EVERY == 0:
            options.progress(f"reading {listing.name}", whole + i, 2 * whole)
        if header is None:
            continue
        problem = _decode(picture, images[len(kept)], resize)
        if problem is None:
            kept.append(picture)
        else:
            bad[picture.id] = problem
    if options.progress is not None:
        options.progress(f"reading {listing.name}", 2 * whole, 2 * whole)
    refuse_above(bad, distinct, where, options)
    classes = sorted({picture.label for picture in kept})
    number = {name: i for i, name in enumerate(classes)}
    return LabelledImages(
        name=listing.name,
        split=listing.split,
        images=images[: len(kept)],
        labels=np.array([number[picture.label] for picture in kept], dtype=np.int64),
        ids=np.array([picture.id for picture in kept]),
        classes=tuple(classes),
        groups=tuple(listing.groups.get(name, "all") for name in classes),
        prepared=None if resize is None else f"shorter side to {resize}, centre crop",
        notes=(
            *([left_out(bad, distinct)] if bad else []),
            *without_images(named - set(classes), named),
        ),
    )


def _contradictions(pictures: Sequence[Picture]) -> dict[str, str]:
    """Images listed twice: under two labels, or as two images."""
    labels: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for picture in pictures:
        before = labels.setdefault(picture.id, picture.label)
        if before != picture.label:
            wrong[picture.id] = f"listed as {before!r} and as {picture.label!r}"
    times = Counter(picture.id for picture in pictures)
    return {**{id_: "listed twice" for id_, n in times.items() if n > 1}, **wrong}


def _shape(
    headers: Sequence[_Header], where: str, options: ReadOptions
) -> tuple[tuple[int, int, int], int | None]:
    """`(C, H, W)` of every image, and the side they are brought to, if any."""
    sizes = Counter((h.width, h.height) for h in headers)
    channels = 1 if all(h.grey for h in headers) else 3
    side = options.image_size
    if side is not None:
        if set(sizes) == {(side, side)}:
            return (channels, side, side), None
        return (channels, side, side), side
    if len(sizes) > 1:
        (most, n), (other, m), *rest = sizes.most_common()
        raise DataError(
            f"{where!r} has images of {len(sizes)} sizes ({n} of {most[0]}x{most[1]}, {m} of "
            f"{other[0]}x{other[1]}{', …' if rest else ''}); choose one with --image-size, such "
            "as 84",
            code="mixed-sizes",
        )
    [(width, height)] = sizes
    return (channels, height, width), None


def _header(picture: Picture) -> _Header | str:
    """Size and colours of an image, or what is wrong with it."""
    if isinstance(picture.source, Path) and not picture.source.is_file():
        return "no such file"
    try:
        with _opened(picture.source) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"{image.width}x{image.height} pixels, {MOST_PIXELS:,} are allowed"
            if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
                return f"pixels of mode {image.mode}, which 8 bits would clip"
            return _Header(image.width, image.height, image.mode in {"1", "L", "LA"})
    except BROKEN as error:
        return _reason(error)


def _decode(picture: Picture, target: NDArray[np.uint8], resize: int | None) -> str | None:
    """The pixels of an image into `target` `(C, H, W)`; what is wrong with it, else None."""
    try:
        with _opened(picture.source) as image:
            plain = image.convert("L" if len(target) == 1 else "RGB")
            if resize is not None:
                plain = centre_crop(plain, resize)
            pixels = np.asarray(plain, dtype=np.uint8)
    except BROKEN as error:
        return _reason(error)
    target[:] = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return None


def centre_crop(image: Image.Image, side: int) -> Image.Image:
    """The shorter side brought to `side`, bilinearly and antialiased, and the middle cut out."""
    shorter = min(image.size)
    width, height = (max(side, round(n * side / shorter)) for n in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Image.Image]:
    """An image whose header was read; Pillow's warnings are errors, for damage must not pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", "Palette images with Transparency")
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        if isinstance(source, bytes):
            with Image.open(io.BytesIO(source), formats=FORMATS) as image:
                yield image
            return
        if source.stat().st_size > MOST_FILE:
            raise ValueError(f"{source.stat().st_size:,} bytes, {MOST_FILE:,} are allowed")
        with source.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            yield image


def _reason(error: BaseException) -> str:
    """What Pillow says, without the address of an object."""
    said = str(error) or type(error).__name__
    if "cannot identify image file" in said:
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "a decompression bomb: too many pixels"
    return said[:120]
