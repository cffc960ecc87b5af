"""What the claims read from audits: paired differences, learned rates, intervals over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...audit_parts import RateLayer, unpacked
from ...effects import slot_means
from ...result import Audit
from ...statistics import (
    Estimate,
    FloatArray,
    IntArray,
    classes_by_episodes,
    seeds_by_classes,
    t_interval,
)

Which = Literal["on", "off"]
WHICH: tuple[Which, ...] = ("on", "off")

HEAD = "head"

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


def estimate(parts: Sequence[Part]) -> Estimate:
    """The mean over runs, classes and episodes; of a single run over classes and episodes."""
    if len(parts[0][0]) > 1:
        return seeds_by_classes(parts)
    return classes_by_episodes([(values[0], classes) for values, classes in parts])


def parts_with_rates(audits: Sequence[Audit]) -> tuple[str, ...]:
    """Blocks of the body, in order, and the head: those with live rates in every run."""
    found = [dict.fromkeys(layer.name.partition(".")[0] for layer in _live(a)) for a in audits]
    common = [part for part in found[0] if all(part in other for other in found)]
    return (*(p for p in common if p != HEAD), *(p for p in common if p == HEAD))


def block_rates(audit: Audit, part: str) -> tuple[float, float]:
    """Mean and share of negative values over the live rates of a block or the head."""
    layers = [x for x in _live(audit) if x.name.partition(".")[0] == part]
    live = np.array([x.size - x.dead for x in layers], dtype=float)
    means = np.array([x.mean for x in layers], dtype=float)
    shares = np.array([x.share_negative for x in layers], dtype=float)
    return float(live @ means / live.sum()), float(live @ shares / live.sum())


def _live(audit: Audit) -> list[RateLayer]:
    return [] if audit.rates is None else [x for x in audit.rates.layers if x.mean is not None]


def overall_share(audit: Audit) -> float:
    assert audit.rates is not None
    return float(audit.rates.overall.share_negative or 0.0)


def over_seeds(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float] | None:
    """t interval over training runs; no width where all agree, none at all from a single run."""
    if len(values) < 2:
        return None
    interval = t_interval(values, level)
    return interval.low, interval.high


def in_points(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval, shares to percentage points."""
    return None if interval is None else (100 * interval[0], 100 * interval[1])
