"""Names and numbers out of what a pickle described: only flat ones, for a list can hold itself.

A pickle of sixty instructions can describe a list whose spelling has more signs than there are
atoms; text and NumPy are kept away from whatever is not known to be small.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError


def plain_text(value: Any, where: str) -> str:
    """A name, which may be a number, or bytes as Python 2 wrote them.

    Raises:
        DataError: If it is none.

    >>> plain_text(b"n01532829", "it"), plain_text(3, "it")
    ('n01532829', '3')
    """
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str) or (isinstance(value, int | np.integer) and _is_short(value)):
        return str(value)
    raise DataError(f"{where!r} has a {type(value).__name__} where a name is needed", code="layout")


def whole_numbers(given: Any, where: str) -> list[int]:
    """A flat list of whole numbers, from a list or an array.

    Raises:
        DataError: If it is none.
    """
    flat: list[Any] | None = None
    if isinstance(given, np.ndarray):
        plain = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
        flat = given.tolist() if plain else None
    elif isinstance(given, list | tuple):
        flat = list(given)
    if flat is None or not all(
        isinstance(one, int | np.integer) and _is_short(one) for one in flat
    ):
        raise DataError(f"{where!r} has labels or rows that are no whole numbers", code="layout")
    return [int(one) for one in flat]


def _is_short(number: int | np.integer[Any]) -> bool:
    return not isinstance(number, bool) and int(number).bit_length() <= 63
