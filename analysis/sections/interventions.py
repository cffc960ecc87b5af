"""Do the rates cause what adaptation does, by their sign, their size or their place?

The same encoder adapts to the same episodes with its rates changed in one respect; the contrast
with its own adaptation, paired query by query, is what that respect does. Controls move as far
without content. A cause is named only where the contrast is resolved after Holm's correction
over all interventions on the sign, and goes beyond that of a random movement which leaves the
learned adaptation's end as far as the intervention did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from ...models.encoder import Encoder
from ...models.layers import block_taps
from ...probes.controls import Control
from ...probes.measurement import Measurement
from ..audit_parts import Effect, Effects
from ..interventions import INTERVENTIONS, intervene, multiplied, zeroed
from ..statistics.significance import holm
from .context import Context
from .values import Line, Section, effect_line
from .words import RESOLVED, listed, said

FACTORS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.5, 2.0)
"""What all rates are multiplied by, beside 1."""

SIGN = ("clamp negative", "absolute")
"""Interventions on nothing but which rates are negative: the family of the causal claim."""

ALPHA = 0.05


def run(context: Context) -> Section:
    """Effects under interventions and controls, and contrasts with the rates as learned."""
    few, encoder = context.few, context.found.measurement.encoder
    variants = variants_of(few)
    names = list(variants)
    bits = dict(zip(names, context.bits([m for _, m in variants.values()]), strict=True))
    base = context.learned
    contrasts = {name: context.contrast(bits[name], base) for name in names}
    own = context.effects(base)
    lines: list[Line] = []
    for task in ("on", "off"):
        for factor in sorted((*FACTORS, 1.0)):
            name = f"× {factor:g}"
            effects = own if factor == 1 else context.effects(bits[name])
            lines.append(effect_line(f"rates times, {task}-task", f"{factor:g}",
                                     getattr(effects, task), x=factor))  # fmt: skip
    for name in names:
        if variants[name][0] != "rates times":
            for task in ("on", "off"):
                lines.append(effect_line(f"{variants[name][0]}, change {task}-task", name,
                                         getattr(contrasts[name], task)))  # fmt: skip
    signs = [n for n in SIGN if n in contrasts]
    beyond = {n: context.contrast(bits[n], bits[random_as_far(n)]) for n in signs}
    for name in signs:
        for task in ("on", "off"):
            lines.append(effect_line(f"beyond a random change as large, {task}-task", name,
                                     getattr(beyond[name], task)))  # fmt: skip
    sentence = cause_sentence({n: contrasts[n] for n in signs}, beyond)
    notes = [
        "Rates times: the effect with every rate multiplied. Changes: what the intervention does "
        "beyond the rates as learned, on the same queries.",
        "Controls move as far as the encoder does (random direction, tensor by tensor, in the "
        "whole displacement), or run the same inner loop on shuffled labels or another task.",
    ]
    if few.episodes.on.shape[1] == 1:
        notes.append(
            "With one support image a class, shuffled labels only rename the classes: that control "
            "says whether names matter, not whether labels do."
        )
    if not encoder.rates:
        notes.append(
            "This encoder has no learned rates: one rate serves all, so that clamping, absolute "
            "values, shuffling and layer means do not apply; the multipliers act on that rate."
        )
    control = contrasts["random direction"].off
    return Section(
        title="Interventions on the rates",
        question="Do the rates cause what adaptation does, by sign, size or place?",
        finding=f"{_finding(own, contrasts)} A random movement of the same length, instead of the "
        f"learned one, changes off-task by {said(control)}.",
        cause=sentence,
        notes=tuple(notes),
        episodes=len(few.episodes),
        axis="rates times",
        lines=tuple(lines),
    )


def cause_sentence(contrasts: Mapping[str, Effects], beyond: Mapping[str, Effects]) -> str | None:
    """What the signs cause, in a sentence; None where no intervention shows it.

    Every contrast on both tasks belongs to one family (Holm). One counts if its interval leaves
    out zero, its corrected sign-flip p is below 0.05, and what it does beyond the random change
    of the same length is resolved too, with the same sign.
    """
    family = [(name, task, getattr(e, task)) for name, e in contrasts.items()
              for task in ("on", "off")]  # fmt: skip
    if not family:
        return None
    corrected = holm([effect.p_sign_flip for _, _, effect in family])
    shown = [
        (name, task, effect)
        for (name, task, effect), p in zip(family, corrected, strict=True)
        if p < ALPHA and effect.verdict in RESOLVED and _same(effect, getattr(beyond[name], task))
    ]
    if not shown:
        return None
    said_of = [
        f"{'without negative rates' if name == 'clamp negative' else 'with every sign positive'} "
        f"{task}-task accuracy changes by {said(effect)}"
        for name, task, effect in shown
    ]
    return f"The negative rates of this checkpoint cause part of its effect: {listed(said_of)}."


def _same(effect: Effect, beyond: Effect) -> bool:
    """Whether the random change is beaten, in the direction of the effect."""
    return beyond.verdict in RESOLVED and effect.value * beyond.value > 0


def random_as_far(name: str) -> str:
    return f"random, as far as {name}"


def _finding(own: Effects, contrasts: Mapping[str, Effects]) -> str:
    signs = [
        f"{name} changes off-task by {said(contrasts[name].off)}"
        for name in SIGN if name in contrasts
    ]  # fmt: skip
    start = f"As learned, off-task {said(own.off)}"
    return f"{start}; {listed(signs)}." if signs else f"{start}; no signs to intervene on."


def variants_of(few: Measurement) -> dict[str, tuple[str, Measurement]]:
    """Each intervention and control by name: its kind, and the measurement."""
    encoder = few.encoder
    found = {f"× {f:g}": ("rates times", _times(few, f)) for f in FACTORS}
    if encoder.rates:
        for name, change in INTERVENTIONS.items():
            changed = intervene(encoder, change, name)
            found[name] = ("rates changed", replace(few, encoder=changed))
            if name in SIGN:
                control = replace(few, encoder=changed, control="random direction", beyond=encoder)
                found[random_as_far(name)] = ("control", control)
        for part in _parts(encoder):
            changed = intervene(encoder, zeroed(part), f"{part} still")
            found[f"{part.removeprefix('body.').rstrip('.')} still"] = (
                "rates zeroed",
                replace(few, encoder=changed),
            )
    for kind in get_args(Control):
        found[kind] = ("control", replace(few, control=kind))
    return found


def _times(few: Measurement, factor: float) -> Measurement:
    encoder = few.encoder
    if encoder.rates:
        return replace(
            few, encoder=intervene(encoder, multiplied(factor), f"rates times {factor:g}")
        )
    rule = replace(few.rule, lr=few.rule.lr * factor)
    return replace(few, rule=rule, encoder=replace(encoder, name=f"{encoder.name}, × {factor:g}"))


def _parts(encoder: Encoder) -> list[str]:
    """Blocks and head as prefixes of names of rates, in order."""
    blocks = [f"body.{tap.layer}." for tap in block_taps(encoder.body)]
    return [p for p in (*blocks, "head.") if any(n.startswith(p) for n in encoder.rates)]
