"""What an audit found, as a value: every number, where it came from, nothing rounded.

Schema ``metaprobe.audit/1`` (one checkpoint) and ``metaprobe.audit-set/1`` (several, with
contrasts). Accuracies and effects are shares in [0, 1]; a percentage point is 0.01. The
values are frozen, refuse unknown keys and NaN, and check themselves: the phases must be the
cells, and each effect must be the difference of its cells. Whatever may differ between two
runs of one command lives in ``run``, ``created`` and ``environment``; all else repeats byte
for byte.

The JSON Schema in ``docs/audit.schema.json`` is :func:`schema_text`, and a test compares.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator

from ..data.errors import DataError, MetaprobeError
from ..data.fit import AS_STORED
from .audit_parts import (
    ROUNDING,
    Bits,
    Cells,
    Effects,
    Floors,
    Gallery,
    Gate,
    HeadAccuracy,
    PerEpisode,
    Phases,
    Rates,
    Reading,
    Unit,
    Value,
    Verdict,
    check_reading,
)
from .provenance import Checkpoint, Data, Environment, Episodes, ProbeUsed, RuleUsed, Run
from .sections.values import Section

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Audit", "AuditSet", "Contrast", "as_set", "schema_text"]

T = TypeVar("T", bound=Value)

FigureKind = Literal["phases", "effects", "episodes", "rates"]


class Audit(Value):
    """What adaptation did to one checkpoint's features.

    ``gallery`` names the gallery of the headline numbers; ``other_gallery`` reads the same
    embeddings against the other. ``layers`` and ``probes`` hold further readings by name.
    ``sesoi`` is the smallest effect of interest, a share: 0.0025 is a quarter of a point.
    """

    schema_id: Annotated[Literal["metaprobe.audit/1"], Field(alias="schema")] = "metaprobe.audit/1"
    created: AwareDatetime
    version: str
    checkpoint: Checkpoint
    data: Data
    off_data: Data | None = None
    preprocessing: str = AS_STORED
    probe: ProbeUsed = ProbeUsed()
    episodes: Episodes
    rule: RuleUsed
    gallery: Gallery
    sesoi: Annotated[float, Field(gt=0)] = 0.0025
    cells: Cells
    phases: Phases
    effects: Effects
    floors: Floors
    head_accuracy: HeadAccuracy | None = None
    other_gallery: Reading | None = None
    layers: dict[str, Reading] = Field(default_factory=dict)
    probes: dict[str, Phases] = Field(default_factory=dict)
    rates: Rates | None
    sections: dict[str, Section] = Field(default_factory=dict)
    per_episode: PerEpisode
    bits: Bits | None = None
    gates: tuple[Gate, ...] = ()
    environment: Environment
    run: Run = Run()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        check_reading(self.cells, self.phases, self.effects)
        for name, effect in (("on", self.effects.on), ("off", self.effects.off)):
            differences: tuple[float, ...] = getattr(self.per_episode, name)
            if len(differences) != self.episodes.n:
                raise ValueError(
                    f"per_episode.{name} has {len(differences)} entries, not {self.episodes.n}"
                )
            mean = math.fsum(differences) / max(len(differences), 1)
            if abs(mean - effect.value) > ROUNDING:
                raise ValueError(
                    f"per_episode.{name} averages {mean}, effects.{name} says {effect.value}"
                )
        return self

    def to_json(self) -> str:
        """The audit as JSON text, keys in schema order, numbers unrounded."""
        return _dump(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Audit:
        """Reads :meth:`to_json` back.

        Raises:
            DataError: The text is not a valid ``metaprobe.audit/1``.
        """
        return _load(cls, text)

    def table(self) -> pd.DataFrame:
        """One row per quantity: checkpoint, quantity, value, ci_low, ci_high, n, verdict."""
        return as_set(self).table()

    @property
    def other_data(self) -> Data | None:
        """Where T′ comes from, if not from the data of T."""
        return None if self.off_data == self.data else self.off_data

    def plot(self, kind: FigureKind = "effects") -> Figure:
        """A figure; see :meth:`AuditSet.plot`."""
        return as_set(self).plot(kind)

    def _repr_html_(self) -> str:
        return as_set(self)._repr_html_()


class Contrast(Value):
    """Checkpoint ``a`` minus checkpoint ``b`` on one quantity, over the same episodes."""

    a: str
    b: str
    quantity: str
    value: float
    ci_low: float
    ci_high: float
    p: Unit
    p_holm: Unit
    verdict: Verdict


class AuditSet(Value):
    """Several audits side by side, and the contrasts between them."""

    schema_id: Annotated[Literal["metaprobe.audit-set/1"], Field(alias="schema")] = (
        "metaprobe.audit-set/1"
    )
    audits: Annotated[tuple[Audit, ...], Field(min_length=1)]
    contrasts: tuple[Contrast, ...] = ()
    gates: tuple[Gate, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The checkpoints' names, fit to print, numbered where two are the same."""
        names = [_printable(audit.checkpoint.name) for audit in self.audits]
        return tuple(
            f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
            for i, name in enumerate(names)
        )

    def to_json(self) -> str:
        """The set as JSON text, keys in schema order, numbers unrounded."""
        return _dump(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> AuditSet:
        """Reads :meth:`to_json` back.

        Raises:
            DataError: The text is not a valid ``metaprobe.audit-set/1``.
        """
        return _load(cls, text)

    def table(self) -> pd.DataFrame:
        """One row per checkpoint and quantity (columns as in :meth:`Audit.table`)."""
        import pandas as pd

        rows = [
            {"checkpoint": label, "quantity": quantity, **numbers}
            for label, audit in zip(self.labels, self.audits, strict=True)
            for quantity, numbers in _quantities(audit)
        ]
        columns = ["checkpoint", "quantity", "value", "ci_low", "ci_high", "n", "verdict"]
        return pd.DataFrame(rows, columns=columns).astype({"n": "Int64"})

    def plot(self, kind: FigureKind = "effects") -> Figure:
        """A figure over all checkpoints: ``phases``, ``effects``, ``episodes`` or ``rates``.

        Raises:
            MetaprobeError: If there is no such figure.
        """
        from .figures import FIGURES

        if kind not in FIGURES:
            raise MetaprobeError(
                f"there is no figure {kind!r}; choose from {', '.join(FIGURES)}", code="figure"
            )
        return FIGURES[kind](self)

    def _repr_html_(self) -> str:
        from .report import notebook_html

        return notebook_html(self)


def as_set(result: Audit | AuditSet) -> AuditSet:
    """One audit as a set of one, with its gates; a set as itself."""
    if isinstance(result, Audit):
        return AuditSet(audits=(result,), gates=result.gates)
    return result


def schema_text() -> str:
    """The JSON Schema of an ``audit.json``: one audit, or a set of them."""
    either: TypeAdapter[Audit | AuditSet] = TypeAdapter(
        Annotated[Audit | AuditSet, Field(discriminator="schema_id")]
    )
    schema = either.json_schema(by_alias=True, mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "metaprobe audit"}
    return json.dumps({**head, **_prose(schema)}, indent=2, ensure_ascii=False) + "\n"


def _printable(name: str) -> str:
    """No line break and no terminal escape hides in a name."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def _prose(node: Any) -> Any:
    """Docstrings as plain descriptions: one line, no markup."""
    if isinstance(node, dict):
        return {key: _prose(value) for key, value in node.items()}
    if isinstance(node, str):
        return " ".join(node.replace("``", "`").split())
    return [_prose(item) for item in node] if isinstance(node, list) else node


def _quantities(audit: Audit) -> list[tuple[str, dict[str, Any]]]:
    """Every headline number of one audit, named ``kind.quantity``, in reading order."""
    rows: list[tuple[str, dict[str, Any]]] = []
    head = audit.head_accuracy
    for kind, group in (
        ("phases", audit.phases),
        ("cells", audit.cells),
        ("effects", audit.effects),
        ("floors", audit.floors),
        ("head_accuracy", head),
    ):
        for name, part in () if group is None else group:
            if part is not None:
                keys = ("value", "ci_low", "ci_high", "n", "verdict")
                rows.append((f"{kind}.{name}", {k: getattr(part, k, None) for k in keys}))
    return rows


def _dump(value: Value) -> str:
    plain = value.model_dump(mode="json", by_alias=True)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    # A raw line break never occurs inside a JSON string, so this only touches lists of numbers.
    flat = re.sub(r"\[\n\s+([-+0-9.eE,\s]+?)\n\s*\]", _one_line, text)
    return flat + "\n"


def _one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\s+", " ", match[1]) + "]"


def _load(kind: type[T], text: str | bytes) -> T:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top"
        raise DataError(
            f"This JSON is not a {kind.__name__}: at {where}, {first['msg']}"
            f" ({error.error_count()} such faults); write it with `metaprobe audit --out DIR`.",
            code="audit-schema",
        ) from error
