"""Image folders: ``class/image`` or ``split/class/image``.

The id of an image is its path within the folder, so it names the same image
wherever the folder lies. Links that lead out of the folder are refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import DataError
from .images import LabelledImages

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".tif", ".tiff"}
)
SPLIT_WORDS = frozenset({"train", "val", "valid", "validation", "test"})
MOST_PIXELS = 50_000_000


def read_image_folder(folder: Path, split: str, *, size: int | None = None) -> LabelledImages:
    """A folder of class folders, or of split folders of class folders.

    Args:
        folder: The folder.
        split: Which split folder; ``"all"`` where the class folders lie directly in `folder`.
        size: Side `H = W` of the images read; those of the first image when None.

    Raises:
        DataError: If there is no such split, no class, or an image cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"image folder {str(folder)!r} does not exist", code="missing-file")
    root = folder.resolve()
    inside = sorted(p.name for p in root.iterdir() if p.is_dir())
    if set(inside) & SPLIT_WORDS and not any(_images(root / name) for name in inside):
        names = [split, *({"validation": ["val", "valid"], "val": ["validation"]}.get(split, []))]
        found = next((n for n in names if n in inside), None)
        if found is None:
            raise DataError(
                f"{str(folder)!r} has no split {split!r}; it has {', '.join(inside)}",
                code="unknown-split",
            )
        top = root / found
    else:
        top = root
    classes = sorted(p.name for p in top.iterdir() if p.is_dir() and _images(p))
    if not classes:
        raise DataError(
            f"{str(top)!r} holds no class folders with images; lay it out as class/image or "
            "split/class/image",
            code="no-classes",
        )
    pixels: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    ids: list[str] = []
    mode: str | None = None
    for label, name in enumerate(classes):
        for path in _images(top / name):
            if not path.resolve().is_relative_to(root):
                raise DataError(f"{str(path)!r} leads out of the folder", code="outside")
            image, mode, size = _read(path, mode, size)
            pixels.append(image)
            labels.append(label)
            ids.append(path.relative_to(root).as_posix())
    return LabelledImages(
        name=folder.name,
        split=split,
        images=np.stack(pixels),
        labels=np.array(labels, dtype=np.int64),
        ids=np.array(ids),
        classes=tuple(classes),
        groups=("all",) * len(classes),
    )


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _read(path: Path, mode: str | None, size: int | None) -> tuple[NDArray[np.uint8], str, int]:
    """One image as `(C, H, W)`; the first decides on grey or colour and, unless given, the side."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{str(path)!r} has {image.width}x{image.height} pixels; "
                    f"{MOST_PIXELS} are allowed",
                    code="too-large",
                )
            if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
                raise DataError(
                    f"{str(path)!r} has pixels of mode {image.mode}, which 8 bits would clip; save "
                    "it with 8 bits a channel, or as arrays",
                    code="pixel-depth",
                )
            mode = mode or ("L" if image.mode in {"1", "L"} else "RGB")
            size = size or min(image.size)
            picture = image.convert(mode)
            if picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BILINEAR)
            array = np.asarray(picture, dtype=np.uint8)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"image {str(path)!r} cannot be read: {error}", code="unreadable"
        ) from error
    return (array[None] if array.ndim == 2 else array.transpose(2, 0, 1)), mode, size
