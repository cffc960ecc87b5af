"""Gates: conditions on an audit that fail a training run, alone or against an earlier audit.

`--fail-if EXPR` fails where the condition holds. `--baseline audit.json` makes an
earlier audit known as ``baseline.…``; unless a condition speaks of it, it is itself a
gate: phases and effects are compared query by query on the same episodes, and one that
is LOWERED by the smallest effect of interest or more, Holm-corrected over the five,
fails. What can be found wrong with a gate is found before measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..probes.measurement import Measurement
from . import audit_parts as parts
from .expression_parser import parse
from .expressions import ExpressionError, Named, Node, Scalar, decide, names, path_text
from .gate_baseline import (
    GateError,
    compared,
    counterpart,
    read_baseline,
    refuse_other_episodes,
    refuse_other_measurement,
    refuse_other_settings,
)
from .gate_checks import check_condition, plain_words
from .gate_paths import resolved, value_at
from .planning import AuditSettings
from .result import Audit, AuditSet, as_set


@dataclass(frozen=True)
class Gates:
    """Conditions, parsed, and the audit they may be held against."""

    conditions: tuple[tuple[str, Node], ...]
    baseline: AuditSet | None = None

    def __bool__(self) -> bool:
        return bool(self.conditions) or self.baseline is not None

    def check(self, asked: AuditSettings) -> None:
        """Refuse a baseline that settings alone show to be another measurement.

        Raises:
            GateError: Naming what differs.
        """
        for old in self.baseline.audits if self.baseline else ():
            refuse_other_settings(asked, old)

    def planned(self, measurements: Sequence[Measurement]) -> None:
        """Refuse a baseline of other images or episodes, known once those are drawn.

        Raises:
            GateError: Naming what differs.
        """
        if self.baseline is not None:
            refuse_other_episodes(measurements, self.baseline)

    @property
    def pairs(self) -> bool:
        """Whether the baseline is itself a gate: no condition speaks of it."""
        return self.baseline is not None and not any(
            resolved(named.path)[0] for _, node in self.conditions for named in names(node)
        )

    def applied(self, result: Audit | AuditSet) -> Audit | AuditSet:
        """The result with the outcome of every gate for every checkpoint.

        Raises:
            GateError: If one cannot be decided, or the baseline is another measurement.
        """
        every = as_set(result)
        found: list[parts.Gate] = []
        for label, audit in zip(every.labels, every.audits, strict=True):
            old = None if self.baseline is None else counterpart(label, self.baseline)
            if old is not None:
                refuse_other_measurement(audit, old)
            found += [_judged(text, node, label, audit, old) for text, node in self.conditions]
            if old is not None and self.pairs:
                found += compared(label, audit, old)
        return result.model_copy(update={"gates": tuple(found)})


def read_gates(conditions: Sequence[str], baseline: Path | None) -> Gates:
    """Gates as the command line gives them, checked as far as they can be before measuring.

    Raises:
        GateError: If a condition is none, names what no audit has, or needs a baseline that was
            not given; or if the baseline cannot be read.
    """
    parsed: list[tuple[str, Node]] = []
    for text in conditions:
        with _about(text):
            node = parse(text)
            check_condition(node, baseline=baseline is not None)
        parsed.append((text, node))
    kept = None if baseline is None else read_baseline(baseline)
    gates = Gates(tuple(parsed), kept)
    if kept is not None and gates.pairs and any(one.bits is None for one in kept.audits):
        raise GateError(
            f"baseline {str(baseline)!r} keeps no correctness bits, so nothing can be paired; "
            "compare numbers with --fail-if 'effects.off.value < baseline.effects.off.value - 0.01'",
            code="no-bits",
        )
    return gates


class _about:
    """Errors within are about one condition."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ExpressionError):
            shown = self.text if len(self.text) <= 80 else f"{self.text[:79]}…"
            raise GateError(f"gate {shown!r}: {error}", code=error.code) from error


def _judged(text: str, node: Node, label: str, audit: Audit, old: Audit | None) -> parts.Gate:
    """One condition on one audit."""
    seen: dict[str, Scalar] = {}

    def lookup(named: Named) -> Scalar:
        source = old if resolved(named.path)[0] and old is not None else audit
        value = value_at(source, named)
        seen[path_text(named.path)] = value
        return value

    with _about(text):
        fails = decide(plain_words(node), lookup)
    values = ", ".join(f"{path} is {_shown(value)}" for path, value in seen.items())
    return parts.Gate(checkpoint=label, gate=text, passed=not fails, sentence=f"{text} ({values})")


def _shown(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value)
