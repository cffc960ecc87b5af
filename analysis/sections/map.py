"""What did adaptation move? One episode before and after, on one layout, its images to be seen."""

from __future__ import annotations

import numpy as np

from ..maps.make import MapSettings, map_of
from ..maps.plain import as_plain
from ..maps.points import phase_points
from ..maps.result import Map, Moved
from .context import Context
from .values import Line, Section, Unit

EPISODE = 0
"""The first episode, whatever it shows: none is chosen for its looks."""


def run(context: Context) -> Section:
    """The map of the first episode, and how far it may be believed."""
    whole, asked = context.found.measurement, context.settings
    points = phase_points(whole, (EPISODE,), context.store)
    drawn = map_of(
        points,
        MapSettings(metric=asked.probe.metric, seed=asked.seed, audit=asked),
        store=context.store,
        checkpoint=whole.encoder.name,
        norm=whole.norm,
    )
    context.computed += drawn.computed
    context.read += 2 + len(drawn.layouts) - drawn.computed  # before, after, and each layout
    on, off = drawn.moved["T"], drawn.moved["T′"]
    return Section(
        title="Map",
        question="What did adaptation move, seen on one layout before and after?",
        finding=f"In the first episode the features of T {_told(on)}; those of T′ {_told(off)}.",
        notes=(
            "Who lies next to whom may be read, as far as the numbers of each panel go; distances "
            "between far groups, the size of a group and the axes of UMAP mean nothing.",
        ),
        episodes=1,
        lines=_lines(drawn),
        map=as_plain(drawn),
    )


def _told(one: Moved) -> str:
    return (
        f"turned by {_angle(one):.1f}° (median) and kept {100 * one.kept:.0f} % of {one.k} "
        f"neighbours (by chance {100 * one.chance:.0f} %)"
    )


def _angle(one: Moved) -> float:
    return float(np.degrees(np.arccos(np.clip(one.cosine, -1, 1))))


def _lines(drawn: Map) -> tuple[Line, ...]:
    """What moved, from the features, then what each layout costs."""
    lines = []
    for task, one in drawn.moved.items():
        told: tuple[tuple[str, float, Unit], ...] = (
            ("turned, degrees", _angle(one), "number"),
            (f"{one.k} neighbours kept", one.kept, "share"),
            (f"{one.k} neighbours kept by chance", one.chance, "share"),
        )
        lines += [Line(group=g, label=task, value=v, unit=u, n=one.images) for g, v, u in told]
    for name, layout in drawn.layouts.items():
        spread = layout.distortion
        for group, value in (
            ("trustworthiness", spread.trustworthiness),
            ("continuity", spread.continuity),
            (f"{spread.k} neighbours kept on the map", spread.kept),
            ("arrows follow the features, ρ", layout.arrows),
        ):
            lines.append(
                Line(group=group, label=name, value=value, unit="number", n=len(drawn.rows))
            )
    return tuple(lines)
