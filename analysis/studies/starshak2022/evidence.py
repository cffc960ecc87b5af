"""What the claims read from audits: paired differences, learned rates, intervals over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...audit_parts import unpacked
from ...effects import slot_means
from ...result import Audit
from ...statistics import FloatArray, IntArray, t_interval

Which = Literal["on", "off"]
WHICH: tuple[Which, ...] = ("on", "off")

BODY = ("block1", "block2", "block3", "block4")


Part = tuple[FloatArray, IntArray]
"""Values of class slots, ``(S, E, W)``, and the classes of the slots, ``(E, W)``."""


@dataclass(frozen=True)
class Changes:
    """What adaptation changed in every class slot, run by run; shares, the same episodes in all."""

    on: Part
    off: Part

    def part(self, which: Which) -> Part:
        return self.on if which == "on" else self.off


def changes(audits: Sequence[Audit]) -> Changes:
    """The changes of every run, read in the gallery of the audits' headline."""
    bits = [audit.bits for audit in audits if audit.bits is not None]
    e = audits[0].episodes
    shape = (e.n, e.way * e.query)
    cells = [{name: unpacked(text, shape) for name, text in b.cells.items()} for b in bits]
    return changes_of(cells, np.array(bits[0].classes_on), np.array(bits[0].classes_off))


def changes_of(
    cells: Sequence[Mapping[str, NDArray[np.bool_]]], classes_on: IntArray, classes_off: IntArray
) -> Changes:
    """The changes of every run, from its bits ``(E, W*Q)`` and the classes ``(E, W)``."""
    slots = {
        which: np.array(
            [
                slot_means(c[f"adapted_{which}"].astype(np.int64) - c[f"init_{which}"], way)
                for c in cells
            ]
        )
        for which, way in (("on", classes_on.shape[1]), ("off", classes_off.shape[1]))
    }
    return Changes((slots["on"], classes_on), (slots["off"], classes_off))


def minus(one: Part, other: Part) -> Part:
    """The difference of two parts over the same slots."""
    return one[0] - other[0], one[1]


def block_rates(audit: Audit, part: str) -> tuple[float, float]:
    """Mean and share of negative values over the live rates of a block or the head."""
    assert audit.rates is not None
    layers = [x for x in audit.rates.layers if x.name.startswith(part + ".") and x.mean is not None]
    live = np.array([x.size - x.dead for x in layers], dtype=float)
    means = np.array([x.mean for x in layers], dtype=float)
    shares = np.array([x.share_negative for x in layers], dtype=float)
    return float(live @ means / live.sum()), float(live @ shares / live.sum())


def overall_share(audit: Audit) -> float:
    assert audit.rates is not None
    return float(audit.rates.overall.share_negative or 0.0)


def over_seeds(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """t interval over training runs; no width where all agree."""
    interval = t_interval(values, level)
    return interval.low, interval.high


def in_points(value: float, low: float, high: float) -> tuple[float, tuple[float, float]]:
    """An estimate and its interval, shares to percentage points."""
    return 100 * value, (100 * low, 100 * high)
