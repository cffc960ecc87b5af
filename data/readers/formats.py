"""The formats by name, and which of them a bare folder is.

A reader is a function ``(path, split, options)``. A folder without a format is
recognised only where its layout is unmistakable; two that would fit are an error
that names them, and where none does it is an image folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..arrays import read_arrays
from ..errors import DataError
from ..folders import read_image_folder
from ..images import LabelledImages
from . import cifar
from .cub import is_cub, read_cub
from .hf_datasets import is_hf_datasets, read_hf_datasets
from .meta_dataset import is_meta_dataset, read_meta_dataset
from .mini_imagenet import is_mini_imagenet, read_mini_imagenet
from .omniglot import is_omniglot, read_omniglot, read_rotated
from .options import ReadOptions
from .pickles import read_pickled_arrays
from .tables import read_table
from .tiered_imagenet import is_tiered_imagenet, read_tiered_imagenet

Read = Callable[[Path, str, ReadOptions], LabelledImages]


@dataclass(frozen=True)
class Format:
    """A way in which data is held.

    Args:
        read: ``(path, split, options) -> LabelledImages``.
        holds: What it is, in a few words.
        recognises: Whether a folder is unmistakably this.
        suffixes: Endings of files that are this.
    """

    read: Read
    holds: str
    recognises: Callable[[Path], bool] = lambda root: False
    suffixes: tuple[str, ...] = ()


def _arrays(path: Path, split: str, options: ReadOptions) -> LabelledImages:
    return read_arrays(path, split, expect_sha256=options.expect_sha256)


SINGLE = ("npz", "h5", "pickle")
"""Formats of a single file, whose hash says all."""

FORMATS: Mapping[str, Format] = {
    "image-folder": Format(read_image_folder, "class/image or split/class/image"),
    "npz": Format(_arrays, "arrays images and labels", suffixes=(".npz",)),
    "h5": Format(_arrays, "arrays images and labels", suffixes=(".h5", ".hdf5")),
    "pickle": Format(
        read_pickled_arrays, "pickled arrays, read without running them",
        suffixes=(".pkl", ".pickle"),
    ),
    "table": Format(
        read_table, "a CSV, TSV or Parquet file of paths and labels",
        suffixes=(".csv", ".tsv", ".parquet"),
    ),
    "mini-imagenet": Format(read_mini_imagenet, "split tables or pickles", is_mini_imagenet),
    "tiered-imagenet": Format(
        read_tiered_imagenet, "pickled PNGs or arrays with label files", is_tiered_imagenet
    ),
    "omniglot": Format(read_omniglot, "images_background and images_evaluation", is_omniglot),
    "omniglot-rotated": Format(read_rotated, "the same, each character turned four ways"),
    "cifar-fs": Format(
        cifar.read_cifar_fs, "class folders with split lists, or pickles",
        cifar.recognises("cifar-fs"),
    ),
    "fc100": Format(cifar.read_fc100, "pickles, or split folders", cifar.recognises("fc100")),
    "cub": Format(read_cub, "CUB_200_2011 with or without few-shot lists", is_cub),
    "meta-dataset": Format(read_meta_dataset, "a source with dataset_spec.json", is_meta_dataset),
    "hf-datasets": Format(read_hf_datasets, "a dataset saved to disk", is_hf_datasets),
}  # fmt: skip
"""Every format that ``--data FORMAT:PATH`` takes."""


def recognise(path: Path) -> str | None:
    """The format of a file by its ending, of a folder by its layout; None for anything else.

    Raises:
        DataError: If a folder could be several.
    """
    if path.is_file():
        return next((n for n, f in FORMATS.items() if path.suffix.lower() in f.suffixes), None)
    if not path.is_dir():
        return None
    found = [name for name, form in FORMATS.items() if form.recognises(path)]
    if len(found) > 1:
        raise DataError(
            f"folder {str(path)!r} could be {' or '.join(found)}; say which, as in "
            f"{found[0]}:{path}",
            code="ambiguous",
        )
    return found[0] if found else "image-folder"
