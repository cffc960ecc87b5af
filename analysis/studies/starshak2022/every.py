"""A line for every audited checkpoint: phases and effects, with both galleries."""

from __future__ import annotations

from ...audit_parts import Interval
from ...result import AuditSet
from ..writing import signed

COLUMNS = (
    "checkpoint", "gallery", "meta-init", "on-task", "off-task", "on effect", "off effect",
    "interaction", "own head",
)  # fmt: skip


def audit_table(found: AuditSet) -> str:
    """The table in Markdown, with the floors below it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for one in found.audits:
        other = "fresh" if one.gallery == "support" else "support"
        for gallery, read in ((one.gallery, one), (other, one.other_gallery)):
            if read is None:
                continue
            phases = [f"{p.value:.3f}" for _, p in read.phases]
            told = [
                f"{signed(100 * e.value)} [{signed(100 * e.ci_low)}, {signed(100 * e.ci_high)}] "
                f"{e.verdict}"
                for _, e in read.effects
            ]
            head = _value(one.head_accuracy.adapted if one.head_accuracy else None)
            lines.append(
                "| " + " | ".join([one.checkpoint.name, gallery, *phases, *told, head]) + " |"
            )
    floors = found.audits[0].floors
    lines.append(
        f"\nFloors on the same tasks: untrained encoder {_value(floors.untrained)}, raw pixels "
        f"{_value(floors.pixels)}, shuffled labels {_value(floors.shuffled_labels)}."
    )
    lines.append(
        "\nANIL moves the head alone, so its features cannot change. NAL has no head for episodes, "
        "so it adapts from a head of zeros."
    )
    return "\n".join(lines) + "\n"


def _value(told: Interval | None) -> str:
    return "–" if told is None else f"{told.value:.3f}"
