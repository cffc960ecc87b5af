"""How image files are read: the side they are brought to, and how much may be wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import DataError


@dataclass(frozen=True)
class ReadOptions:
    """How image files become arrays.

    Args:
        image_size: Side that images are brought to, in pixels: the shorter side is resized to
            it and the middle cut out. When None, images are taken as they are and must agree.
        max_unreadable: Share of the images that may be unreadable or mislabelled; they are left
            out, counted and named. None may by default: a benchmark that silently lacks images
            is another benchmark.
        most_bytes: Most bytes that pixels may take; three quarters of the machine's memory
            when None.
        expect_sha256: What the bytes of a dataset in a single file must hash to. HDF5 and pickles do
            not notice a changed bit.
        progress: Told ``(what, done, whole)`` while images are read.

    Raises:
        DataError: If a number is out of its range.
    """

    image_size: int | None = None
    max_unreadable: float = 0.0
    most_bytes: int | None = None
    progress: Callable[[str, int, int], None] | None = None
    expect_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.image_size is not None and not 1 <= self.image_size <= 4096:
            raise DataError(
                f"the image size is {self.image_size}; 1 to 4096 pixels are allowed", code="size"
            )
        if not 0 <= self.max_unreadable < 1:
            raise DataError(
                f"the share of unreadable images allowed is {self.max_unreadable}; it must be at "
                "least 0 and below 1",
                code="share",
            )

    def require_room(self, images: int, shape: tuple[int, int, int], where: str) -> None:
        """Refuse to take more memory than is allowed, before any is taken.

        Args:
            images: How many, of one byte a value.
            shape: `(C, H, W)` of each.
            where: What to call the data.

        Raises:
            DataError: If they would not fit.
        """
        channels, height, width = shape
        product = f"{images:,} images x {channels} x {height} x {width}"
        self.require_bytes(images * channels * height * width, product, where)

    def require_bytes(self, needed: int, said: str, where: str) -> None:
        """The same for a number of bytes, said in words.

        Raises:
            DataError: If they would not fit.
        """
        most = self.most_bytes if self.most_bytes is not None else memory() * 3 // 4
        if needed > most:
            raise DataError(
                f"{where!r} needs {said} = {needed / 2**30:.2f} GiB and {most / 2**30:.2f} GiB are "
                "allowed (three quarters of this machine's memory); choose a smaller --image-size "
                "or another split",
                code="too-large",
            )


DEFAULT = ReadOptions()


def memory() -> int:
    """Bytes of memory in this machine; 8 GiB where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30
