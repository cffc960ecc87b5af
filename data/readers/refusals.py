"""What is wrong with a dataset: counted, named, and refused above the share that is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from ..errors import DataError
from .options import ReadOptions


def refuse_above(bad: Mapping[str, str], whole: int, where: str, options: ReadOptions) -> None:
    """Refuse images that are wrong, where they are more than is allowed.

    Args:
        bad: Id of an image to what is wrong with it.
        whole: Images altogether.
        where: What to call the data.
        options: The share that is allowed.

    Raises:
        DataError: Naming the first few.
    """
    if len(bad) == whole or len(bad) > options.max_unreadable * whole:
        raise DataError(
            f"{where!r}: {left_out(bad, whole, 'unreadable or mislabelled')}; mend them"
            + (
                ""
                if len(bad) == whole
                else f", or allow it with --max-unreadable {_share(len(bad), whole)}"
            ),
            code="unreadable",
        )


def refuse_empty(
    empty: Collection[str], classes: Collection[str], where: str, options: ReadOptions
) -> None:
    """Refuse classes that are named and have no image, where they are more than is allowed.

    Raises:
        DataError: Naming the first few.
    """
    if len(empty) > options.max_unreadable * len(classes):
        [said] = without_images(empty, classes)
        raise DataError(
            f"{where!r}: {said}; complete the data, or allow it with --max-unreadable "
            f"{_share(len(empty), len(classes))}",
            code="empty-class",
        )


def without_images(names: Collection[str], classes: Collection[str]) -> list[str]:
    """How many classes have no image, and the first few by name; nothing where all have.

    >>> without_images({"b"}, "abc")
    ["1 of 3 classes without images: 'b'"]
    """
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    named = ", ".join(map(repr, sorted(names)[:3]))
    return [f"{len(names)} of {len(classes)} classes without images: {named}{more}"]


def _share(bad: int, whole: int) -> str:
    """The smallest short share that allows as many.

    >>> _share(2, 100), _share(1, 3000)
    ('0.02', '0.0004')
    """
    return f"{math.ceil(10_000 * bad / whole) / 10_000:g}"


def left_out(bad: Mapping[str, str], whole: int, said: str = "left out") -> str:
    """How many, and the first few by name."""
    named = [f"{id_!r} ({why})" for id_, why in list(bad.items())[:3]]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{len(bad)} of {whole} images {said}: {', '.join(named)}{more}"
