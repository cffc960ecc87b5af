"""Two sets of embeddings of the same images, and one measure between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.embeddings import Embeddings
from ...data.errors import ProbeError
from ...probes.measure import Measure
from .measures import MEASURES
from .nulls import Null, with_null


@dataclass(frozen=True)
class Similarity:
    """A measure between two sets of embeddings, beside its null.

    Args:
        measure: Its declaration: direction, range, invariances.
        value: What it says.
        null: What it says of permuted rows, or None where that was not asked for.
        rows: `N`.
        dims: Widths of both sides.
    """

    measure: Measure
    value: float
    null: Null | None
    rows: int
    dims: tuple[int, int]


def similarity(
    x: Embeddings,
    y: Embeddings,
    measure: str | Measure = "cka",
    *,
    repeats: int = 100,
    seed: int = 0,
    **settings: Any,
) -> Similarity:
    """How alike two encoders' features of the same images are.

    Args:
        x: One side.
        y: The other: the same samples in the same order.
        measure: A name of `MEASURES`, or a declaration.
        repeats: Permutations of the null; 0 for none.
        seed: Of the permutations.
        settings: Of the measure.

    Raises:
        ProbeError: ``measure``, ``ids`` (with the first row that differs), ``labels``, or
            as the measure.

    >>> rows = Embeddings(np.eye(5, 3, dtype=np.float32), np.array(list("abcde")), np.arange(5))
    >>> similarity(rows, rows, "procrustes", repeats=0).value < 1e-12
    True
    """
    chosen = named(measure)
    same_rows(x, y)
    others = []
    if "labels (N,)" in chosen.takes:
        if not np.array_equal(x.labels, y.labels):
            raise ProbeError(
                "both sides hold the same samples under different labels; give them the same",
                code="labels",
            )
        others.append(x.labels)
    if chosen.name == "mutual-knn":
        settings = {"ids": x.ids, **settings}
    null = None
    if repeats:
        null = with_null(
            chosen, x.features, y.features, *others, seed=seed, repeats=repeats, **settings
        )
    value = chosen(x.features, y.features, *others, **settings) if null is None else null.value
    return Similarity(chosen, value, null, len(x), (x.dim, y.dim))


def named(measure: str | Measure) -> Measure:
    """A similarity measure by its name.

    Raises:
        ProbeError: ``measure``.
    """
    if isinstance(measure, Measure):
        return measure
    if measure not in MEASURES:
        raise ProbeError(
            f"measure {measure!r} is unknown; choose one of {', '.join(MEASURES)}", code="measure"
        )
    return MEASURES[measure]


def same_rows(x: Embeddings, y: Embeddings) -> None:
    """Refuse embeddings whose rows are not of the same samples in the same order.

    Raises:
        ProbeError: ``ids``.
    """
    if len(x) != len(y):
        raise ProbeError(
            f"x has {len(x)} rows and y {len(y)}; both must hold the same samples in the same order",
            code="ids",
        )
    differ = np.flatnonzero(x.ids != y.ids)
    if len(differ):
        row = int(differ[0])
        raise ProbeError(
            f"{len(differ)} of {len(x)} rows are of different samples; the first is row {row}, "
            f"{x.ids[row]} against {y.ids[row]}: bring both into the same order",
            code="ids",
        )
