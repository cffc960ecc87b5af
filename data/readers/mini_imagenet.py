"""mini-ImageNet: the CSV split of Ravi and Larochelle (2017), or the pickles that travel.

    train.csv val.csv test.csv (filename,label)  +  images/n0153282900000005.jpg
    mini-imagenet-cache-{train,val,test}.pkl                image_data, class_dict
    miniImageNet_category_split_{val,test}.pickle           data, labels, catname2label
    train/ val/ test/  of class folders                     as any image folder

100 classes of 600 images; the classes of a split are in no other.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..folders import read_image_folder, split_folders
from ..images import LabelledImages
from .options import DEFAULT, ReadOptions
from .paths import folder
from .split_pickles import read_split_pickles, split_pickles
from .tables import Row, read_split_tables, split_tables

PICKLES = ("mini-imagenet-cache-{split}.pkl", "miniImageNet_category_split_{split}.pickle")
TRAINING = "miniImageNet_category_split_train_phase_{split}.pickle"

WNID = re.compile(r"n\d{8}")


def read_mini_imagenet(path: Path, split: str, options: ReadOptions = DEFAULT) -> LabelledImages:
    """A split of mini-ImageNet.

    Args:
        path: Its folder, or one pickle.
        split: ``train``, ``val`` (also ``validation``), ``test`` or ``all``.
        options: How images are read.

    Raises:
        DataError: If no layout is found, or what is found cannot be used.
    """
    if path.is_file():
        return read_split_pickles("mini-imagenet", {split: path}, split, options)
    root = folder(path, "mini-imagenet")
    tables = split_tables(root)
    if tables:
        return read_split_tables("mini-imagenet", root, tables, split, options, check=misfiled)
    pickles = _pickles(root)
    if pickles:
        return read_split_pickles("mini-imagenet", pickles, split, options)
    return read_image_folder(root, split, options, name="mini-imagenet")


def is_mini_imagenet(root: Path) -> bool:
    """Whether a folder has the split tables beside ``images``, or the pickles by name."""
    if _pickles(root):
        return True
    listed = bool(split_tables(root)) and (root / "images").is_dir()
    return listed and not split_folders(root) and not (root / "images.txt").is_file()  # CUB's


def misfiled(row: Row) -> str | None:
    """What is wrong with a row whose file is named after another class.

    >>> misfiled(Row("n0153282900000005.jpg", "n02110341"))
    "file of 'n01532829' listed as 'n02110341'"
    """
    named, label = WNID.match(row.path), WNID.fullmatch(row.label)
    if named is None or label is None or named[0] == row.label:
        return None
    return f"file of {named[0]!r} listed as {row.label!r}"


def _pickles(root: Path) -> dict[str, Path]:
    """The pickle of each split; the training images have a name of their own in one family."""
    found = split_pickles(root, PICKLES)
    training = split_pickles(root, (TRAINING,)).get("train")
    return {"train": training, **found} if training else found
