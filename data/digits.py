"""`digits`: scikit-learn's 1,797 handwritten digits, a domain that no one here drew.

Eight pixels a side, enlarged to the side an encoder wants (Alpaydin and Kaynak 1998).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom

from .errors import DataError
from .images import LabelledImages


def digits(split: str = "all", *, size: int = 28) -> LabelledImages:
    """All digits, or those of one split.

    Args:
        split: ``"all"``, or ``"train"`` / ``"test"``: the first 1,000 images and the rest.
        size: Side of the images, by bilinear enlargement.

    Raises:
        DataError: If the split is unknown.
    """
    rows = {"all": slice(None), "train": slice(1000), "test": slice(1000, None)}.get(split)
    if rows is None:
        raise DataError(
            f"digits has no split {split!r}; choose all, train or test", code="unknown-split"
        )
    table = _table()
    small = table[:, :64].reshape(-1, 8, 8)
    large = zoom(small, (1, size / 8, size / 8), order=1, grid_mode=True, mode="nearest")
    images = (np.clip(large / 16, 0, 1) * 255 + 0.5).astype(np.uint8)[:, None]
    return LabelledImages(
        name="digits",
        split=split,
        images=images[rows],
        labels=table[rows, 64].astype(np.int64),
        ids=np.array([f"digits/{i:04d}" for i in range(len(table))])[rows],
        classes=tuple(map(str, range(10))),
        groups=("digits",) * 10,
    )


def _table() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([np.asarray(images), np.asarray(labels)])
