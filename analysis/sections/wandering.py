"""Are adapted features universal? Then they do not fall off-task, however far they wander."""

from __future__ import annotations

from ...probes.cells import Bits
from ...probes.wander import wander
from .context import Context
from .values import Section, effect_line
from .words import said

TASKS = 10
"""Tasks adapted to in succession, without reset."""


def run(context: Context) -> Section:
    """Off-task effects along a walk through tasks."""
    few, probe = context.few, context.settings.probe
    blocks = few.blocks
    found = context.each_block(
        "wandering", lambda i: wander(few, blocks[i], TASKS, context.store, probe)
    )
    bits: Bits = found["bits"].astype(bool)
    lines, effects = [], []
    for task in range(TASKS + 1):
        effect = context.effects(
            {"init_on": bits[:, 0], "adapted_on": bits[:, task],
             "init_off": bits[:, 0], "adapted_off": bits[:, task]}
        ).off  # fmt: skip
        effects.append(effect)
        lines.append(effect_line("off-task", str(task), effect, x=float(task)))
    last = effects[-1]
    if not _body_moves(context):
        verdict = (
            "Adaptation moves nothing in the body, so its features cannot fall, universal or not"
        )
    elif last.verdict in ("LOWERED", "TRACE−"):
        verdict = "Features fall off-task as they wander, so they are not universal"
    elif last.verdict == "UNRESOLVED":
        verdict = "Whether features fall off-task as they wander is not resolved"
    else:
        verdict = "Features do not fall off-task as they wander, as universal ones would not"
    return Section(
        title="Wandering",
        question="Do features fall off-task when adaptation goes on from task to task?",
        finding=f"{verdict}: after {TASKS} tasks {said(last)}, after one {said(effects[1])}.",
        notes=(
            "T′ is asked against meta-init on the same queries. The tasks are those T of the same "
            "episodes whose classes are apart from T and T′, or share fewest; each begins with a "
            "head of its own. Rounding grows along a walk: another machine may give single episodes "
            "other numbers.",
        ),
        episodes=len(bits),
        axis="tasks adapted to",
        lines=tuple(lines),
    )


def _body_moves(context: Context) -> bool:
    """Whether any step of any episode moved a parameter that features depend on."""
    trace, moved = context.found.trace, context.found.measurement.moved
    body = [p for p, name in enumerate(moved) if name.startswith("body.")]
    return trace is not None and bool(trace[:, :, body, 3].any())
