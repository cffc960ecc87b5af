"""How do accuracies go with the inner steps, beyond the number trained with?"""

from __future__ import annotations

from ...probes.cells import Bits
from .context import Context
from .values import Section, effect_line
from .words import said


def run(context: Context) -> Section:
    """Effects at every inner step of one trajectory."""
    bits: Bits = context.trajectory["bits"].astype(bool)[:, :, -1]
    trained = context.found.measurement.rule.steps
    lines, at = [], {}
    for step in range(bits.shape[1]):
        effects = context.effects(
            {
                "init_on": bits[:, 0, 0],
                "init_off": bits[:, 0, 1],
                "adapted_on": bits[:, step, 0],
                "adapted_off": bits[:, step, 1],
            }
        )
        at[step] = effects
        for task in ("on", "off"):
            lines.append(
                effect_line(f"{task}-task", str(step), getattr(effects, task), x=float(step))
            )
    last = bits.shape[1] - 1
    finding = (
        f"At the {trained} inner steps asked for, on-task {said(at[trained].on)} and off-task "
        f"{said(at[trained].off)}"
    )
    finding += (
        "."
        if last == trained
        else f"; after {last} steps on-task {said(at[last].on)} and off-task {said(at[last].off)}."
    )
    return Section(
        title="Steps",
        question="How do features change with more inner steps than in training?",
        finding=finding,
        notes=("Each step is compared with meta-init on the same queries; step 0 is meta-init.",),
        episodes=len(bits),
        axis="inner steps",
        lines=tuple(lines),
    )
