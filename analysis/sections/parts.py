"""Which part of the network must move? The same checkpoint under other inner loops.

All of it, the body with the head still (BOIL's view), the head alone (ANIL's view), and with
blocks 1 to l still, as Raghu et al. 2020 (table 1) froze them. NIL classifies by a vote over
the support at meta-init, with no adaptation at all.
"""

from __future__ import annotations

from dataclasses import replace

from ...models.layers import block_taps
from ...probes.measurement import Measurement
from ..interventions import restricted
from .context import Context
from .values import Line, Section, effect_line
from .words import said

FROM_MEANS = (
    "A head of zeros that stays still gives the body no gradient: body only starts from the class "
    "means of the support (one shot can fit these so surely that little moves), all others from zeros."
)


def run(context: Context) -> Section:
    """Effects of restricted inner loops under one probe, and the NIL test."""
    few = context.few
    variants = variants_of(few)
    found = context.bits(list(variants.values()))
    lines: list[Line] = []
    effects = {}
    for name, bits in zip(variants, found, strict=True):
        effects[name] = context.effects(bits)
        for task in ("on", "off"):
            lines.append(effect_line(f"effect {task}-task", name, getattr(effects[name], task)))
    before = context.found.probes["nil"]["init_on"][: len(few.episodes)]
    head = context.found.head["adapted"][: len(few.episodes)]
    nil = context.effects(
        {"init_on": head, "adapted_on": before, "init_off": head, "adapted_off": before}
    ).on
    lines.append(effect_line("NIL", "vote at meta-init − adapted head", nil))
    finding = "; ".join(f"{name}: off-task {said(e.off)}" for name, e in list(effects.items())[:2])
    return Section(
        title="Which part moves",
        question="Is it the body or the head whose movement matters?",
        finding=f"{finding[0].upper()}{finding[1:]}. A vote at meta-init, without any adaptation, "
        f"differs from the adapted head by {said(nil)}.",
        notes=(
            *([FROM_MEANS] if few.head == "zeros" else []),
            "Head only leaves every feature where it was, so its effects are exactly zero; its "
            "worth shows in the head's own accuracy.",
            "Blocks still: those blocks keep their meta-init parameters, all later ones and the "
            "head move.",
        ),
        episodes=len(few.episodes),
        lines=tuple(lines),
    )


def variants_of(few: Measurement) -> dict[str, Measurement]:
    encoder, rule = few.encoder, few.rule
    variants = {"as trained": few}
    for label, adapts in (("body only, head still", "body"), ("head only", "head")):
        view = restricted(encoder, adapts)  # type: ignore[arg-type]
        if view.rates or not encoder.rates:
            # a head of zeros that stays gives the body no gradient at all
            head = "class-means" if adapts == "body" and few.head == "zeros" else few.head
            still_or_not = replace(rule, adapts=adapts)
            variants[label] = replace(few, encoder=view, rule=still_or_not, head=head)
    still: tuple[str, ...] = rule.frozen
    blocks = [tap.layer for tap in block_taps(encoder.body)]
    for at, block in enumerate(blocks):
        still += tuple(n for n in encoder.params if n.startswith(f"body.{block}."))
        frozen = replace(rule, frozen=still)
        if any(frozen.moves(n) for n in [*encoder.params, "head.weight"]):
            named = f"blocks 1–{at + 1} still" if at else "block 1 still"
            rates = {n: r for n, r in encoder.rates.items() if frozen.moves(n)}
            variants[named] = replace(few, rule=frozen, encoder=replace(encoder, rates=rates))
    return variants
