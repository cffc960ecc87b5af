"""What a measure says of features that have nothing to do with each other.

The rows of one side are dealt anew, which keeps both sides' geometry and cuts the tie between
them. A value means something only beside this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...data.errors import ProbeError
from ...probes.measure import Measure
from ...probes.rows import Floats


@dataclass(frozen=True)
class Null:
    """A value beside those of permuted rows.

    Args:
        value: Of the rows as they are.
        mean: Of the permuted rows.
        sd: Of the permuted rows.
        p: Share of orders, the one at hand among them, that are at least as much alike.
        repeats: Permutations drawn.
        seed: What drew them.
    """

    value: float
    mean: float
    sd: float
    p: float
    repeats: int
    seed: int


def with_null(
    measure: Measure,
    x: ArrayLike,
    y: ArrayLike,
    *others: ArrayLike,
    seed: int = 0,
    repeats: int = 100,
    **settings: Any,
) -> Null:
    """A measure's value and its null from permuted rows of ``y``.

    Args:
        measure: Of two sides.
        x: ``(N, D)``.
        y: ``(N, E)``.
        others: What else it takes, such as labels; they stay with ``x``.
        seed: The only source of randomness.
        repeats: Permutations; ``p`` is never below ``1 / (repeats + 1)``.
        settings: Of the measure.

    Raises:
        ProbeError: ``kind``, ``repeats``, or as the measure.
    """
    if measure.kind != "similarity":
        raise ProbeError(f"{measure.name} has one side, so it has no such null", code="kind")
    if repeats < 2:
        raise ProbeError(f"{repeats} repeats; give 2 or more", code="repeats")
    value = measure(x, y, *others, **settings)
    rows = np.asarray(y)
    random = np.random.default_rng(seed)
    orders = np.stack([random.permutation(len(rows)) for _ in range(repeats)])
    if measure.reordered is not None:
        found: Floats = measure.reordered(x, y, orders, **settings)
    else:
        found = np.array([measure(x, rows[o], *others, **settings) for o in orders])
    up = 1 if measure.direction == "higher" else -1
    as_much = up * (found - value) >= -1e-12
    return Null(
        value=value,
        mean=float(found.mean()),
        sd=float(found.std(ddof=1)),
        p=float((1 + as_much.sum()) / (1 + repeats)),
        repeats=repeats,
        seed=seed,
    )
