"""What a section found, as a value: lines of numbers, one sentence, and what to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from ..audit_parts import Count, Effect, Value, Verdict
from ..audit_parts import Unit as Share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Unit = Literal["points", "share", "number"]


class Line(Value):
    """One number of a section, with its 95 % interval.

    ``group`` is the curve or block it belongs to, ``label`` its name there and ``x`` its place
    on the axis of a curve. Effects are shares: 0.01 is a percentage point. None: not defined.
    ``p`` is there where the value was compared with a null; the section's notes say which.
    """

    group: str
    label: str
    x: float | None = None
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    unit: Unit = "points"
    verdict: Verdict | None = None
    n: Count = 0
    p: Share | None = None


class Section(Value):
    """One question and its answer.

    ``finding`` says what the numbers say; ``cause`` is there only where an intervention shows
    one. ``episodes`` are the first so many of the audit's own. ``map`` is a map as `map.json` has
    it, with small pictures of its images, where that is what there is to see.
    """

    title: str
    question: str
    finding: str
    cause: str | None = None
    notes: tuple[str, ...] = ()
    episodes: Count
    axis: str | None = None
    lines: tuple[Line, ...]
    map: dict[str, JsonValue] | None = None

    def plot(self) -> Figure:
        """Its picture: a panel a quantity, or its map; of a section without numbers, its sentence."""
        from .figure import draw

        return draw(self)

    def table(self) -> pd.DataFrame:
        """One row a line: group, label, x, value, ci_low, ci_high, unit, verdict, n, p."""
        import pandas as pd

        return pd.DataFrame(
            [line.model_dump() for line in self.lines], columns=[*Line.model_fields]
        )

    def _repr_html_(self) -> str:
        from ..fragments import fragment

        cause = [] if self.cause is None else [self.cause]
        return fragment(f"{self.title}: {self.question}", [self.finding, *cause], self.plot())


def effect_line(group: str, label: str, effect: Effect, x: float | None = None) -> Line:
    """A line of a paired difference and its verdict."""
    return Line(
        group=group,
        label=label,
        x=x,
        value=effect.value,
        ci_low=effect.ci_low,
        ci_high=effect.ci_high,
        verdict=effect.verdict,
        n=effect.n,
    )
