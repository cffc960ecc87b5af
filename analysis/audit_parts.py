"""The parts of an audit, as values that check themselves.

Accuracies and effects are shares in [0, 1]; a percentage point is 0.01. Every part is frozen
and refuses unknown keys, NaN and intervals that end before they begin. :class:`Audit` in
``result.py`` puts them together.
"""

from __future__ import annotations

import base64
import math
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Verdict = Annotated[
    Literal["RAISED", "LOWERED", "TRACE+", "TRACE−", "NO MATERIAL CHANGE", "UNRESOLVED"],
    BeforeValidator(lambda word: str(word).replace("-", "−")),
]
Unit = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Gallery = Literal["support", "fresh"]

ROUNDING = 1e-6  # sums of the same bits in another order; anything larger is another number


class Value(BaseModel):
    """Common manners: frozen, no unknown key, no NaN or infinity."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


class Interval(Value):
    """A share with its 95 % interval."""

    value: Unit
    ci_low: float
    ci_high: float

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        if self.ci_low > self.ci_high:
            raise ValueError(f"ci_low {self.ci_low} lies above ci_high {self.ci_high}")
        return self


class Share(Interval):
    """An accuracy over ``n`` episodes."""

    n: Count


class Cells(Value):
    """Accuracies on {init, adapted} × {on-task T, off-task T′}."""

    init_on: Share
    adapted_on: Share
    init_off: Share
    adapted_off: Share


class Phases(Value):
    """meta-init = (θ, T), on-task = (θ_T, T), off-task = (θ_T, T′)."""

    meta_init: Share
    on_task: Share
    off_task: Share

    @classmethod
    def of(cls, cells: Cells) -> Phases:
        """The three named phases among the four cells."""
        return cls(meta_init=cells.init_on, on_task=cells.adapted_on, off_task=cells.adapted_off)


class Effect(Value):
    """A paired difference over the same episodes, with every interval and its verdict.

    ``ci_low``/``ci_high`` is the headline 95 % interval (``ci_method``), ``ci90_*`` the one
    that decides equivalence; ``t_*`` and ``bca_*`` are 95 % intervals over episodes, there to
    be compared. ``sd`` is over episodes and ``mde`` the smallest effect this many episodes
    would find with 80 % power. ``flip_rate`` is the share of queries whose correctness changed.
    """

    value: float
    ci_low: float
    ci_high: float
    ci_method: str
    n: Count
    flip_rate: Unit | None
    verdict: Verdict
    sd: float
    mde: float
    ci90_low: float
    ci90_high: float
    t_low: float
    t_high: float
    bca_low: float
    bca_high: float
    p_sign_flip: Unit
    p_mcnemar: Unit | None
    sentence: str

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for name in ("ci", "ci90", "t", "bca"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise ValueError(f"{name}_low {low} lies above {name}_high {high}")
        if self.verdict in ("RAISED", "TRACE+") and self.ci_low <= 0:
            raise ValueError(f"{self.verdict} needs ci_low above 0, got {self.ci_low}")
        if self.verdict in ("LOWERED", "TRACE−") and self.ci_high >= 0:
            raise ValueError(f"{self.verdict} needs ci_high below 0, got {self.ci_high}")
        return self


class Effects(Value):
    """on = A(θ_T,T) − A(θ,T); off = A(θ_T,T′) − A(θ,T′); interaction = off − on."""

    on: Effect
    off: Effect
    interaction: Effect


class Reading(Value):
    """Cells, phases and effects under one way of reading the same embeddings."""

    cells: Cells
    phases: Phases
    effects: Effects

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        check_reading(self.cells, self.phases, self.effects)
        return self


class PerEpisode(Value):
    """Paired differences, episode by episode: multiples of 1 / (way × query)."""

    on: tuple[float, ...]
    off: tuple[float, ...]


class Histogram(Value):
    """``counts`` (B,) between ``edges`` (B + 1,)."""

    edges: tuple[float, ...]
    counts: tuple[Count, ...]

    @model_validator(mode="after")
    def _one_more_edge(self) -> Self:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"{len(self.counts)} counts need {len(self.counts) + 1} edges")
        return self


class RateSummary(Value):
    """Learned rates over live entries; ``dead`` ones (gradient always zero) are only counted.

    ``first_order_change`` is −Σ α g², ``cosine`` that of the update with −g. None where there
    is nothing to average: every entry dead, or no gradient measured.
    """

    mean: float | None
    sd: float | None
    share_negative: Unit | None
    dead: Count
    size: Count
    g2_weighted_share_negative: Unit | None
    first_order_change: float | None
    cosine: Annotated[float, Field(ge=-1 - ROUNDING, le=1 + ROUNDING)] | None


class RateLayer(RateSummary):
    """The learned rates of one named tensor."""

    name: str
    histogram: Histogram | None = None


class Rates(Value):
    """Learned rates, layer by layer and over all."""

    layers: tuple[RateLayer, ...]
    overall: RateSummary


class HeadAccuracy(Value):
    """Accuracy of the head on T's queries, before and after adaptation: the checkpoint's own,
    or what ``rule.head`` says it started from."""

    init: Share
    adapted: Share


class Bits(Value):
    """Whether each query was right, and which classes the tasks had: all that effects need.

    ``cells`` are ``(E, way × query)`` bits, class-major, packed by rows as base64;
    ``classes_on`` and ``classes_off`` are ``(E, way)`` class ids.
    """

    cells: dict[str, str]
    classes_on: tuple[tuple[int, ...], ...]
    classes_off: tuple[tuple[int, ...], ...]


def packed(bits: NDArray[np.bool_]) -> str:
    """Bits of any shape as base64."""
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def unpacked(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """:func:`packed` undone.

    >>> unpacked(packed(np.array([[True, False, True]])), (1, 3)).tolist()
    [[True, False, True]]
    """
    raw = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(raw, count=math.prod(shape)).astype(bool).reshape(shape)


class Floors(Value):
    """What features of no merit score on the same tasks. None: not measured."""

    untrained: Interval | None
    pixels: Interval | None
    shuffled_labels: Interval | None


class Gate(Value):
    """A condition under which the audit was to fail, for one checkpoint, and what came of it."""

    checkpoint: str
    gate: str
    passed: bool
    sentence: str


def check_reading(cells: Cells, phases: Phases, effects: Effects) -> None:
    if phases != Phases.of(cells):
        raise ValueError("phases must be the cells: meta_init = init_on, on_task = adapted_on, "
                         "off_task = adapted_off")  # fmt: skip
    on = cells.adapted_on.value - cells.init_on.value
    off = cells.adapted_off.value - cells.init_off.value
    for name, effect, expected in (
        ("on", effects.on, on),
        ("off", effects.off, off),
        ("interaction", effects.interaction, off - on),
    ):
        if abs(effect.value - expected) > ROUNDING:
            raise ValueError(
                f"effects.{name} is {effect.value}, but the cells differ by {expected}"
            )
