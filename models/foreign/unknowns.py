"""The sizes of a built-in network of which layers are missing, from the layers that are left."""

from __future__ import annotations

from typing import Any

from .ask import Ask
from .structure import Structure

COLOURS = 4
"""More channels than this are features, not an image's."""


class Unknown(ValueError):
    """A size that left no trace, and how to say it."""


def architecture_of(family: str, layers: Structure, ask: Ask) -> dict[str, Any]:
    """Enough of an architecture to build it: its widths, channels, and first convolution.

    Raises:
        Unknown: If one of them can be neither seen nor was said.
    """
    shapes = [c.shape for c in layers.convolutions]
    widths = {s[0] for s in shapes} | {s[1] for s in shapes if s[1] > COLOURS}
    widths |= {n.shape[0] for n in layers.norms if len(n.shape) == 1}
    seen = {s[1] for s in shapes if s[1] <= COLOURS}
    if len(seen) == 1:
        channels: Any = seen.pop()
    else:
        channels = ask.settings.get("channels")
        if not isinstance(channels, int) or not 1 <= channels <= COLOURS:
            raise Unknown(
                "the channels of an image: its first convolution; say "
                f"--arch {family}:channels=1 or channels=3"
            )
    found: dict[str, Any] = {"name": family, "channels": channels}
    if family == "conv4":
        if len(widths) != 1:
            raise Unknown(f"one number of filters: {sorted(widths)} are there")
        return {**found, "filters": widths.pop()}
    heads = {one.shape[1] for one in layers.linears}
    if len(widths) == 3 and len(heads) == 1 and min(heads) > max(widths):
        widths |= heads  # the last stage is gone, and the head takes its mean
    if len(widths) != 4:
        raise Unknown(
            f"the width of a stage: {', '.join(map(str, sorted(widths)))} are left of four"
        )
    found["widths"] = sorted(widths)
    if family == "resnet12":
        return found
    stems = [s for s in shapes if s[1] <= COLOURS]
    wide = stems[0][2] == 7 if stems else ask.settings.get("wide_stem")
    if not isinstance(wide, bool):
        raise Unknown(
            "the side of its first convolution; say "
            f"--arch {family}:wide_stem=true for 7x7, or false for 3x3"
        )
    return {**found, "wide_stem": wide}
