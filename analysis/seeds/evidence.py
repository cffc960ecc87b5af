"""What is measured on one encoder, by the names that questions use.

Accuracies are those of class slots, by embedding and support gallery unless a layer is named.
Only changes of the rates, controls and parts that some question speaks of are run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...probes.cells import Bits
from ...probes.measurement import Measurement
from ...probes.phases import CellName
from ...probes.wander import wander
from ..effects import slot_means
from ..readings import apart
from ..sections.context import Context
from ..sections.directions import correlation, quantities
from ..sections.distance import how_far, levels_of
from ..sections.interventions import SIGN, cause_sentence, random_as_far, variants_of
from ..sections.layers import MEASURES, REORDERED, dealt, over_episodes, p_value
from ..sections.parts import variants_of as parts_of
from ..sections.wandering import TASKS as WALK
from ..statistics import FloatArray, IntArray
from .questions import QUESTIONS

TASKS = ("on", "off")

Slots = tuple[FloatArray, IntArray]
"""Values of class slots ``(E, W)`` and the classes of the slots ``(E, W)``."""

Cells = Mapping[CellName, Bits]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One encoder's measurements by name.

    Args:
        name: Of the encoder.
        slots: Accuracies ``(E, W)``, or several such that add up, with their classes.
        episodes: Numbers of each episode ``(E,)``.
        numbers: Numbers of the whole run.
        cause: What interventions show of its signs, in a sentence; None where nothing.
    """

    name: str
    slots: Mapping[str, tuple[Slots, ...]] = field(default_factory=dict)
    episodes: Mapping[str, FloatArray] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    cause: str | None = None


def evidence(context: Context) -> Evidence:
    """Everything that questions ask of one encoder."""
    slots, similar, nulls = _layers(context)
    changed, cause = _interventions(context)
    far, distances = _distance(context)
    directions, correlations = _directions(context)
    return Evidence(
        context.found.measurement.encoder.name,
        {**slots, **_learned(context), **changed, **_parts(context), **far, **_wandering(context)},
        {**similar, **distances, **directions},
        {**nulls, **correlations},
        cause,
    )


def _asked() -> set[str]:
    """Names that questions use."""
    return {name for q in QUESTIONS for name in (*q.of, *(q.beyond or {}))}


def _wanted(variants: Mapping[str, Measurement]) -> dict[str, Measurement]:
    asked = _asked()
    return {n: m for n, m in variants.items() if any(f"{n}, {task}" in asked for task in TASKS)}


def _slots(context: Context, bits: Bits, task: str) -> tuple[Slots]:
    episodes = context.few.episodes
    classes = episodes.on.classes if task == "on" else apart(episodes)
    return ((slot_means(bits.astype(np.int64), classes.shape[1]), classes),)


def _learned(context: Context) -> dict[str, tuple[Slots, ...]]:
    cells = context.learned
    return {
        f"{name}, {task}": _slots(context, cells[f"{moment}_{task}"], task)  # type: ignore[index]
        for name, moment in (("init", "init"), ("learned", "adapted"))
        for task in TASKS
    }


def _adapted(context: Context, found: Mapping[str, Cells]) -> dict[str, tuple[Slots, ...]]:
    return {
        f"{name}, {task}": _slots(context, cells[f"adapted_{task}"], task)  # type: ignore[index]
        for name, cells in found.items()
        for task in TASKS
    }


def _layers(
    context: Context,
) -> tuple[dict[str, tuple[Slots, ...]], dict[str, FloatArray], dict[str, float]]:
    """Every layer before and after, every step, and similarities of the queries of T′."""
    found, steps = context.trajectory, context.found.measurement.rule.steps
    bits: Bits = found["bits"].astype(bool)
    slots: dict[str, tuple[Slots, ...]] = {}
    for t, task in enumerate(TASKS):
        for step in range(bits.shape[1]):
            slots[f"step {step}, {task}"] = _slots(context, bits[:, step, -1, t], task)
        for at, tap in enumerate(context.taps):
            for moment, step in (("init", 0), ("adapted", steps)):
                name = f"{moment} {tap.name.removesuffix(':avg')}, {task}"
                slots[name] = _slots(context, bits[:, step, at, t], task)
    return slots, *_similar(context)


def _similar(context: Context) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Similarities of the queries of T′ before and after, with their nulls, layer by layer."""
    found = context.trajectory
    similar: dict[str, FloatArray] = {}
    numbers: dict[str, float] = {}
    for tap in context.taps:
        before, after = (
            found[f"{moment}.{tap.name}"][:, 1].astype(float) for moment in ("init", "adapted")
        )
        for name, measure in MEASURES.items():
            named = f"{name} {tap.name.removesuffix(':avg')}"
            similar[named] = over_episodes(measure, before, after)
            if name in REORDERED:
                similar[f"{named}, dealt"] = over_episodes(measure, before, dealt(after))
                p = p_value(name, before, after)
                if p is not None:
                    numbers[f"p {named}"] = p
    return similar, numbers


def _interventions(context: Context) -> tuple[dict[str, tuple[Slots, ...]], str | None]:
    """Changed rates and controls, and what the audit's own rule for causes says."""
    variants = _wanted({n: m for n, (_, m) in variants_of(context.few).items()})
    found = dict(zip(variants, context.bits(list(variants.values())), strict=True))
    signs = [name for name in SIGN if name in found]
    cause = cause_sentence(
        {n: context.contrast(found[n], context.learned) for n in signs},
        {n: context.contrast(found[n], found[random_as_far(n)]) for n in signs},
    )
    return _adapted(context, found), cause


def _parts(context: Context) -> dict[str, tuple[Slots, ...]]:
    variants = _wanted(parts_of(context.few))
    return _adapted(
        context, dict(zip(variants, context.bits(list(variants.values())), strict=True))
    )


def _distance(context: Context) -> tuple[dict[str, tuple[Slots, ...]], dict[str, FloatArray]]:
    """Both moments of T′ at every level, the levels' distances, and the slope over them.

    The slope of least squares over 0.1 is a sum of the levels' effects, weighted by this encoder's
    own distances.
    """
    levels = levels_of(context)
    own = context.few.episodes.fingerprints[0]
    slots: dict[str, tuple[Slots, ...]] = {}
    distances: dict[str, FloatArray] = {}
    effects: dict[str, Slots] = {}
    found = context.bits(list(levels.values()))
    for at, ((label, level), cells) in enumerate(zip(levels.items(), found, strict=True)):
        classes = level.episodes.off.classes
        if level.episodes.fingerprints[1] != own:
            classes = classes + 10**6 * (at + 1)  # another dataset's classes are others
        init, adapted = (
            slot_means(cells[moment].astype(np.int64), classes.shape[1])
            for moment in ("init_off", "adapted_off")
        )
        slots[f"{label}, init"] = ((init, classes),)
        slots[f"{label}, adapted"] = ((adapted, classes),)
        effects[label] = (adapted - init, classes)
        distances[f"distance, {label}"] = how_far(context, level)
    far = {label: d.mean() for label, d in zip(levels, distances.values(), strict=True)}
    slots["slope over distance"] = _slope(far, effects)
    apart = {label: d for label, d in far.items() if shares_none(label)}
    slots["slope over distance, classes apart"] = _slope(apart, effects)
    return slots, distances


def shares_none(level: str) -> bool:
    """Whether T′ at this level has no class of T."""
    return not level.endswith("shared") and not level.startswith("same")


def _slope(far: Mapping[str, float], effects: Mapping[str, Slots]) -> tuple[Slots, ...]:
    x = np.array(list(far.values()))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return tuple(
        (0.1 * w * effects[label][0], effects[label][1])
        for label, w in zip(far, weights, strict=True)
    )


def _directions(context: Context) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Where steps go, and whether that goes with the effects of the first episodes."""
    trace = context.found.trace
    if trace is None or not trace[..., 3].any():
        return {}, {}
    sums = quantities(trace[: len(context.few.episodes)].sum(axis=(1, 2)))
    cells, found = context.learned, {}
    for task in TASKS:
        change = cells[f"adapted_{task}"].mean(axis=1) - cells[f"init_{task}"].mean(axis=1)  # type: ignore[index]
        line = correlation("", "", sums["first-order change"], change)
        if line.value is not None:
            found[f"r first-order change, {task}"] = line.value
    return sums, found


def _wandering(context: Context) -> dict[str, tuple[Slots, ...]]:
    few, probe = context.few, context.settings.probe
    blocks = few.blocks
    bits: Bits = context.each_block(
        "wandering", lambda i: wander(few, blocks[i], WALK, context.store, probe)
    )["bits"].astype(bool)
    return {f"task {n}, off": _slots(context, bits[:, n], "off") for n in range(WALK + 1)}
