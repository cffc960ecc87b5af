"""CIFAR-FS (Bertinetto et al. 2019) and FC100 (Oreshkin et al. 2018): CIFAR-100, split by class.

    data/apple/apple_s_000022.png  +  splits/bertinetto/{train,val,test}.txt    class names
    CIFAR_FS_{train,val,test}.pickle, FC100_{train,val,test}.pickle             data, labels
    train/ val/ test/  of class folders                                as any image folder

The folder may also be the one above, where it is called ``cifar100``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import DataError
from ..folders import class_pictures, read_image_folder
from ..images import LabelledImages
from .options import DEFAULT, ReadOptions
from .paths import SPLIT_NAMES, choose_split, folder, text_lines
from .pictures import Listing, read_pictures
from .shared import refuse_shared
from .split_pickles import read_split_pickles, split_pickles

PICKLES = {"cifar-fs": ("CIFAR_FS_{split}.pickle",), "fc100": ("FC100_{split}.pickle",)}


def read_cifar_fs(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of CIFAR-FS: ``train``, ``val`` (also ``validation``), ``test`` or ``all``.

    Raises:
        DataError: If no layout is found, or what is found cannot be used.
    """
    return _read("cifar-fs", path, split, options)


def read_fc100(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of FC100: ``train``, ``val`` (also ``validation``), ``test`` or ``all``.

    Raises:
        DataError: If no layout is found, or what is found cannot be used.
    """
    return _read("fc100", path, split, options)


def recognises(name: str) -> Callable[[Path], bool]:
    """Whether a folder is unmistakably this one of the two.

    The split lists tell them apart only by the name of their folder: bertinetto's are CIFAR-FS's.
    """

    def known(root: Path) -> bool:
        if split_pickles(root, PICKLES[name]):
            return True
        home = _home(root)
        lists = None if home is None else _lists(home)
        return name == "cifar-fs" and lists is not None and lists.name == "bertinetto"

    return known


def _read(name: str, path: Path, split: str, options: ReadOptions) -> LabelledImages:
    if path.is_file():
        return read_split_pickles(name, {split: path}, split, options)
    root = folder(path, name)
    pickles = split_pickles(root, PICKLES[name])
    if pickles:
        return read_split_pickles(name, pickles, split, options)
    home = _home(root)
    lists = None if home is None else _lists(home)
    if home is None or lists is None:
        return read_image_folder(root, split, options, name=name)
    return _from_lists(name, home, lists, split, options)


def _home(root: Path) -> Path | None:
    """The folder that holds ``data`` and ``splits``."""
    for home in (root, root / "cifar100"):
        if (home / "data").is_dir() and (home / "splits").is_dir():
            return home
    return None


def _lists(home: Path) -> Path | None:
    """The folder of the split lists.

    Raises:
        DataError: If there is more than one.
    """
    splits = home / "splits"
    places = [p for p in (splits, *sorted(splits.iterdir())) if _split_lists(p)]
    if len(places) > 1:
        raise DataError(
            f"{str(splits)!r} holds the split lists {', '.join(p.name for p in places)}; leave one",
            code="ambiguous",
        )
    return places[0] if places else None


def _split_lists(place: Path) -> dict[str, Path]:
    """The list of each split in a folder."""
    words = {w: place / f"{w}.txt" for ws in SPLIT_NAMES.values() for w in ws}
    return {word: path for word, path in words.items() if path.is_file()}


def _from_lists(
    name: str, home: Path, lists: Path, split: str, options: ReadOptions
) -> LabelledImages:
    there = _split_lists(lists)
    chosen = list(there) if split == "all" else [choose_split(split, there, str(lists))]
    lines = {word: text_lines(path) for word, path in there.items()}
    refuse_shared(lines, str(lists))
    classes = [line for word in chosen for line in lines[word]]
    missing = sorted(set(classes) - {p.name for p in (home / "data").iterdir() if p.is_dir()})
    if missing:
        raise DataError(
            f"{str(lists)!r} names class {missing[0]!r}, which {str(home / 'data')!r} does not have",
            code="missing-class",
        )
    wanted = set(classes)
    pictures = [p for p in class_pictures(home / "data", home.resolve()) if p.label in wanted]
    return read_pictures(Listing(name, split, str(home), pictures, classes=wanted), options)
