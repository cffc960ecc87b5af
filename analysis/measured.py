"""From encoders and episodes to correctness bits: the part of an audit that runs a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..data.store import Store
from ..models.threads import one_thread, wait_for_others
from ..probes.cells import (
    Bits,
    Gallery,
    ProbeSettings,
    cell_bits,
    pixel_bits,
    shuffled_bits,
)
from ..probes.extract import extract
from ..probes.measurement import BLOCK, Measurement, Moment
from ..probes.phases import CellName

HEADLINE = ProbeSettings()
OTHER_PROBES: tuple[ProbeSettings, ...] = (ProbeSettings("class-mean"), ProbeSettings("nil"))

Progress = Callable[[str, int, int], None]
"""Told ``(encoder, blocks done, blocks in all)``."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found out about one encoder, as bits.

    Args:
        measurement: What was measured.
        cells: Correctness ``(E, W * Q)`` by gallery and cell, of the headline probe.
        probes: The same with the support gallery, by further probes.
        shuffled: Correctness with shuffled gallery labels, at (θ, T).
        head: Correctness of the encoder's own head on T, before and after adaptation.
        trace: See `probes.extract.compute`; None where nothing was adapted.
        reach: The same; None without learned rates.
        computed: Store entries that had to be computed.
        read: Store entries that were read.
    """

    measurement: Measurement
    cells: dict[Gallery, dict[CellName, Bits]]
    probes: dict[str, dict[CellName, Bits]]
    shuffled: Bits
    head: dict[str, Bits]
    trace: NDArray[np.float64] | None
    reach: NDArray[np.float64] | None
    computed: int
    read: int


@dataclass(frozen=True, eq=False)
class _Block:
    cells: dict[Gallery, dict[CellName, Bits]]
    probes: dict[str, dict[CellName, Bits]]
    shuffled: Bits
    extras: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    computed: int = 0
    read: int = 0


def measure(
    measurements: Sequence[Measurement],
    store: Store | None,
    *,
    probe: ProbeSettings = HEADLINE,
    moments: Sequence[tuple[Moment, ...]] | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Measured]:
    """Measure several encoders.

    Args:
        measurements: What to measure.
        store: Where embeddings are looked up and kept; None to do without.
        probe: The headline probe.
        moments: For each measurement the moments to measure; both unless given.
        jobs: Blocks side by side. The numbers do not depend on it.
        progress: Told of every block.
    """
    wanted = moments or [("init", "adapted")] * len(measurements)
    work = [
        (m, block, i * BLOCK)
        for m, measurement in enumerate(measurements)
        for i, block in enumerate(measurement.blocks)
    ]
    found: list[list[_Block]] = [[] for _ in measurements]
    with one_thread():
        blocks: Any = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
            delayed(_block)(measurements[m], block, first, wanted[m], store, probe)
            for m, block, first in work
        )
        try:
            for (m, _, _), done in zip(work, blocks, strict=True):
                found[m].append(done)
                if progress is not None:
                    whole = len(measurements[m].blocks)
                    progress(measurements[m].encoder.name, len(found[m]), whole)
        except BaseException:
            blocks.close()
            wait_for_others()
            raise
    return [_joined(m, parts) for m, parts in zip(measurements, found, strict=True)]


def pixels(measurement: Measurement, probe: ProbeSettings = HEADLINE) -> Bits:
    """Correctness of raw pixels on T, ``(E, W * Q)``."""
    parts = []
    for block in measurement.blocks:
        rows = np.concatenate(
            [r.reshape(len(block), -1) for r in (block.on.support, block.on.query)], axis=1
        )
        flat = measurement.data.images[rows].reshape(*rows.shape, -1).astype(np.float32)
        parts.append(pixel_bits(flat, block, probe))
    return np.concatenate(parts)


def _block(
    measurement: Measurement,
    block: EpisodeList,
    first: int,
    moments: tuple[Moment, ...],
    store: Store | None,
    probe: ProbeSettings,
) -> _Block:
    with one_thread():
        return _measured(measurement, block, first, moments, store, probe)


def _measured(
    measurement: Measurement,
    block: EpisodeList,
    first: int,
    moments: tuple[Moment, ...],
    store: Store | None,
    probe: ProbeSettings,
) -> _Block:
    found, computed = extract(measurement, block, store, moments)
    galleries: tuple[Gallery, ...] = ("support", "fresh")
    cells: dict[Gallery, dict[CellName, Bits]] = {
        g: cell_bits(found, block, g, probe) for g in galleries
    }
    others: dict[str, dict[CellName, Bits]] = {
        p.name: cell_bits(found, block, "support", p) for p in OTHER_PROBES
    }
    shuffled = shuffled_bits(found["init"], block, probe, first)
    extras = dict(found["adapted"].extras) if "adapted" in found else {}
    return _Block(cells, others, shuffled, extras, computed, len(moments) - computed)


def _joined(measurement: Measurement, parts: list[_Block]) -> Measured:
    first = parts[0]

    def whole(pick: Callable[[_Block], NDArray[np.generic]]) -> NDArray[np.generic]:
        return np.concatenate([pick(part) for part in parts])

    extras = {
        name: whole(lambda part, name=name: part.extras[name])  # type: ignore[misc]
        for name in first.extras
        if name != "reach"
    }
    reaches = [part.extras["reach"] for part in parts if "reach" in part.extras]
    return Measured(
        measurement=measurement,
        cells={
            g: {c: np.concatenate([p.cells[g][c] for p in parts]) for c in bits}
            for g, bits in first.cells.items()
        },
        probes={
            n: {c: np.concatenate([p.probes[n][c] for p in parts]) for c in bits}
            for n, bits in first.probes.items()
        },
        shuffled=np.concatenate([p.shuffled for p in parts]),
        head={
            n: extras[f"head_{n}"].astype(bool)
            for n in ("init", "adapted")
            if f"head_{n}" in extras
        },
        trace=extras["trace"].astype(np.float64) if "trace" in extras else None,
        reach=np.max(np.stack(reaches), axis=0).astype(np.float64) if reaches else None,
        computed=sum(p.computed for p in parts),
        read=sum(p.read for p in parts),
    )
