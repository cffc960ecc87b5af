"""What every section is given, and the work that sections share."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ...data.errors import MetaprobeError
from ...data.store import Store
from ...models.encoder import Encoder
from ...models.layers import EMBEDDING, Tap, block_taps, parse_tap
from ...models.threads import one_thread, wait_for_others
from ...probes.cells import Bits
from ...probes.kept import Arrays
from ...probes.measurement import Measurement, Moment
from ...probes.phases import CellName
from ...probes.trajectory import trajectory
from .. import audit_parts as parts
from ..measured import Measured, Progress, measure
from ..planning import AuditSettings
from ..readings import reading
from ..result import Audit
from .values import Section

SECTIONS: Mapping[str, str] = {
    "layers": "Layers",
    "steps": "Steps",
    "map": "Map",
    "distance": "Distance",
    "interventions": "Interventions on the rates",
    "parts": "Which part moves",
    "directions": "Directions",
    "wandering": "Wandering",
    "reliability": "Reliability of the rates",
}
"""Sections by name, in reading order; each is ``run(context)`` of the module of that name."""

EPISODES = 100
"""Episodes a section measures that needs adaptations of its own: the first of the audit's."""

HORIZON = 20
"""Inner steps of a trajectory, beyond those of training."""


@dataclass(eq=False)
class Context:
    """One encoder's audit so far, and where to look further.

    Args:
        found: The audit's own measurement and bits.
        settings: What the audit was asked.
        store: Where things are kept; None to do without.
        jobs: Blocks side by side.
        progress: Told of every block.
        peers: Encoders whose learned rates are compared, this one among them.
    """

    found: Measured
    settings: AuditSettings
    store: Store | None = None
    jobs: int = 1
    progress: Progress | None = None
    peers: Sequence[Encoder] = ()
    computed: int = field(default=0, init=False)
    read: int = field(default=0, init=False)

    @property
    def few(self) -> Measurement:
        """The measurement of the first `EPISODES` episodes."""
        whole = self.found.measurement
        return replace(whole, episodes=whole.episodes[:EPISODES])

    @property
    def learned(self) -> dict[CellName, Bits]:
        """Bits of the first `EPISODES` episodes, as the encoder adapts by itself."""
        return {c: b[:EPISODES] for c, b in self.found.cells["support"].items()}

    def bits(self, measurements: Sequence[Measurement]) -> list[dict[CellName, Bits]]:
        """The four cells of further measurements, against the support gallery."""
        moments: list[tuple[Moment, ...]] = [("init", "adapted")] * len(measurements)
        found = measure(
            measurements,
            self.store,
            probe=self.settings.probe,
            moments=moments,
            jobs=self.jobs,
            progress=self.progress,
        )
        self.computed += sum(f.computed for f in found)
        self.read += sum(f.read for f in found)
        return [f.cells["support"] for f in found]

    def effects(self, bits: Mapping[CellName, Bits]) -> parts.Effects:
        """The effects of cells over the first `EPISODES` episodes."""
        return reading(bits, self.few.episodes, self.settings).effects

    def contrast(
        self, changed: Mapping[CellName, Bits], base: Mapping[CellName, Bits]
    ) -> parts.Effects:
        """What changed adaptation does beyond the base one, on T and T′, paired by query."""
        return self.effects(
            {
                "init_on": base["adapted_on"],
                "adapted_on": changed["adapted_on"],
                "init_off": base["adapted_off"],
                "adapted_off": changed["adapted_off"],
            }
        )

    def each_block(
        self, name: str, work: Callable[[int], tuple[Arrays, int]], count: int | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Arrays of every block, joined; the blocks are those of `few` unless counted."""
        count = len(self.few.blocks) if count is None else count

        def one(i: int) -> tuple[Arrays, int]:
            with one_thread():
                return work(i)

        blocks: Any = Parallel(n_jobs=self.jobs, prefer="threads", return_as="generator")(
            delayed(one)(i) for i in range(count)
        )
        found = []
        try:
            for arrays, computed in blocks:
                found.append(arrays)
                self.computed, self.read = self.computed + computed, self.read + 1 - computed
                if self.progress is not None:
                    self.progress(name, len(found), count)
        except BaseException:
            blocks.close()
            wait_for_others()
            raise
        return {n: np.concatenate([arrays[n] for arrays in found]) for n in found[0]}

    @cached_property
    def taps(self) -> tuple[Tap, ...]:
        """Every block of the body, then its embedding."""
        return (*block_taps(self.found.measurement.encoder.body), Tap(EMBEDDING))

    @property
    def steps(self) -> int:
        """Inner steps of a trajectory; rates learned step by step end with their last."""
        rule = self.found.measurement.rule
        return rule.steps if rule.name == "lslr-steps" else max(HORIZON, rule.steps)

    @cached_property
    def trajectory(self) -> dict[str, NDArray[np.generic]]:
        """One run of the inner loop for every step and every layer."""
        few, probe = self.few, self.settings.probe
        return self.each_block(
            "trajectory",
            lambda i: trajectory(few, few.blocks[i], self.taps, self.steps, self.store, probe),
        )


def check_sections(names: Sequence[str]) -> None:
    """Before anything runs.

    Raises:
        MetaprobeError: If there is no such section.
    """
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise MetaprobeError(
            f"section {unknown[0]!r} is unknown; choose {', '.join(SECTIONS)}",
            code="unknown-section",
        )


def run_sections(context: Context, names: Sequence[str]) -> dict[str, Section]:
    """The named sections, in reading order.

    Raises:
        MetaprobeError: If there is no such section.
    """
    check_sections(names)
    return {
        name: importlib.import_module(f".{name}", __package__).run(context)
        for name in SECTIONS
        if name in names
    }


def further(audit: Audit, context: Context) -> Audit:
    """The audit with the layers and sections that its settings ask for.

    Raises:
        MetaprobeError: If a layer or section cannot be had.
    """
    asked = context.settings
    if not asked.layers and not asked.sections:
        return audit
    began = time.perf_counter()
    layers = _layers(context) if asked.layers else {}
    sections = run_sections(context, asked.sections)
    run = audit.run.model_copy(
        update={
            "wall_seconds": (audit.run.wall_seconds or 0.0) + time.perf_counter() - began,
            "forward_passes": (audit.run.forward_passes or 0) + context.computed,
            "cached_entries": (audit.run.cached_entries or 0) + context.read,
        }
    )
    return audit.model_copy(update={"layers": layers, "sections": sections, "run": run})


def _layers(context: Context) -> dict[str, parts.Reading]:
    """Cells and effects by the features of further layers, over every episode."""
    whole, probe = context.found.measurement, context.settings.probe
    taps, blocks = [parse_tap(text) for text in context.settings.layers], whole.blocks
    found = context.each_block(
        "layers",
        lambda i: trajectory(
            whole, blocks[i], taps, whole.rule.steps, context.store, probe, ends=True
        ),
        len(blocks),
    )["bits"].astype(bool)
    return {
        tap.name: reading(
            {
                "init_on": found[:, 0, at, 0],
                "adapted_on": found[:, -1, at, 0],
                "init_off": found[:, 0, at, 1],
                "adapted_off": found[:, -1, at, 1],
            },
            whole.episodes,
            context.settings,
        )
        for at, tap in enumerate(taps)
    }
