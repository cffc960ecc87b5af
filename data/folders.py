"""Image folders: ``class/image`` or ``split/class/image``.

The id of an image is its path within the folder, so it names the same image
wherever the folder lies. Links that lead out of the folder are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .errors import DataError
from .images import LabelledImages
from .readers.options import DEFAULT, ReadOptions
from .readers.paths import SPLIT_WORDS, choose_split, folder, image_files, inside, subfolders
from .readers.pictures import Listing, Picture, read_pictures
from .readers.shared import refuse_shared, shared_note


def read_image_folder(
    path: Path, split: str, options: ReadOptions = DEFAULT, *, name: str | None = None
) -> LabelledImages:
    """A folder of class folders, or of split folders of class folders.

    Args:
        path: The folder.
        split: Which split folder; ``"all"`` for all of them, and where the class folders lie
            directly in the folder, which is ``"all"`` whatever is asked.
        options: How images are read.
        name: Name of the benchmark, whose splits divide the classes; the folder's when None.

    Raises:
        DataError: If there is no such split, no class, images cannot be read, or a benchmark's
            splits share a class.
    """
    root = folder(path, "image")
    splits = split_folders(root)
    if name is not None:
        refuse_shared({word: subfolders(root / word) for word in splits}, str(path))
    if not splits:
        tops, split = [root], "all"
    elif split == "all":
        tops = [root / word for word in splits]
    else:
        tops = [root / choose_split(split, splits, str(path))]
    pictures = [picture for top in tops for picture in class_pictures(top, root)]
    if not pictures:
        raise DataError(
            f"{str(tops[0])!r} holds no class folders with images; lay it out as class/image or "
            "split/class/image",
            code="no-classes",
        )
    classes = [name for top in tops for name in subfolders(top)]
    listing = Listing(name or root.name, split, str(path), pictures, classes=classes)
    found = read_pictures(listing, options)
    others = {w: subfolders(root / w) for w in splits if root / w not in tops}
    return replace(found, notes=(*found.notes, *shared_note(found.classes, others)))


def split_folders(root: Path) -> list[str]:
    """Names of the split folders in a folder; none when its folders are classes themselves."""
    names = subfolders(root)
    if not set(names) & SPLIT_WORDS or any(image_files(root / name) for name in names):
        return []
    return [name for name in names if subfolders(root / name)]


def class_pictures(top: Path, root: Path) -> Iterator[Picture]:
    """Images of the class folders in `top`, named by their paths in `root`.

    Raises:
        DataError: If one leads out of `root`.
    """
    for name in subfolders(top):
        for path in image_files(top / name):
            id_ = path.relative_to(root).as_posix()
            yield Picture(id_, name, inside(root, id_))
