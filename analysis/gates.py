"""Gates: conditions on an audit that fail a training run, alone or against an earlier audit.

`--fail-if EXPR` fails where the condition holds. `--baseline audit.json` makes an
earlier audit known as ``baseline.…``; without a condition it is itself the gate:
phases and effects are compared query by query on the same episodes, and one that
is LOWERED by the smallest effect of interest or more, Holm-corrected over the five,
fails. Everything that can be found wrong with a gate is found before measuring.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..data.errors import MetaprobeError
from ..probes.phases import CELLS
from . import audit_parts as parts
from .contrasts import Measured, Quantity, contrasts
from .expression_parser import parse
from .expressions import (
    ExpressionError,
    Literally,
    Named,
    Node,
    Scalar,
    comparisons,
    decide,
    names,
    path_text,
)
from .gate_paths import check_path, resolved, value_at
from .planning import AuditSettings
from .result import Audit, AuditSet, as_set
from .verdicts import Verdict

COMPARED: tuple[Quantity, ...] = ("meta_init", "on_task", "off_task", "on", "off")
"""What a baseline without a condition is compared on: the phases and the two effects."""

LEVEL = 0.05
"""A lowering counts when its Holm-corrected p lies below this."""

LARGEST = 512 * 2**20


class GateError(MetaprobeError):
    """A gate that cannot be understood, or cannot be decided."""


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
            _refuse(list(_settings_differ(asked, old)))

    def applied(self, result: Audit | AuditSet) -> Audit | AuditSet:
        """The result with the outcome of every gate for every checkpoint.

        Raises:
            GateError: If one cannot be decided, or the baseline is another measurement.
        """
        every = as_set(result)
        found: list[parts.Gate] = []
        for label, audit in zip(every.labels, every.audits, strict=True):
            old = None if self.baseline is None else _counterpart(audit, label, self.baseline)
            if old is not None:
                _refuse(list(_differ(audit, old)))
            found += [_judged(text, node, label, audit, old) for text, node in self.conditions]
            if old is not None and not self.conditions:
                found += _compared(label, audit, old)
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
            for named in names(node):
                if resolved(named.path)[0] and baseline is None:
                    raise ExpressionError(
                        f"{path_text(named.path)!r} needs --baseline AUDIT.json", named.at
                    )
                check_path(named)
            _check_verdicts(node)
        parsed.append((text, node))
    kept = None if baseline is None else _read(baseline)
    if kept is not None and not parsed and any(one.bits is None for one in kept.audits):
        raise GateError(
            f"baseline {str(baseline)!r} keeps no correctness bits, so nothing can be paired; "
            "compare numbers with --fail-if 'effects.off.value < baseline.effects.off.value - 0.01'",
            code="no-bits",
        )
    return Gates(tuple(parsed), kept)


class _about:
    """Errors within are about one condition."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ExpressionError):
            shown = self.text if len(self.text) <= 80 else f"{self.text[:79]}…"
            raise GateError(f"gate {shown!r}: {error}", code=error.code) from error


def _check_verdicts(node: Node) -> None:
    """Refuse to compare a verdict with a word that is none: it would never fail."""
    words = [str(word) for word in get_args(Verdict)]
    for one in comparisons(node):
        named = next((p for p in one.parts if isinstance(p, Named)), None)
        text = next((p for p in one.parts if isinstance(p, Literally)), None)
        if named is None or text is None or named.path[-1] != "verdict":
            continue
        if not isinstance(text.value, str) or _sign(text.value) not in words:
            raise ExpressionError(
                f"{text.value!r} is no verdict; the verdicts are {', '.join(words)}",
                text.at,
                code="verdict",
            )


def _sign(word: Scalar) -> Scalar:
    """A verdict with the minus sign that audits use."""
    return "TRACE−" if word == "TRACE-" else word


def _judged(text: str, node: Node, label: str, audit: Audit, old: Audit | None) -> parts.Gate:
    """One condition on one audit."""
    seen: dict[str, Scalar] = {}

    def lookup(named: Named) -> Scalar:
        source = old if resolved(named.path)[0] and old is not None else audit
        value = value_at(source, named)
        seen[path_text(named.path)] = value
        return value

    with _about(text):
        fails = decide(_signed(node), lookup)
    values = ", ".join(f"{path} is {_shown(value)}" for path, value in seen.items())
    return parts.Gate(checkpoint=label, gate=text, passed=not fails, sentence=f"{text} ({values})")


def _signed(node: Node) -> Node:
    """The same condition with `TRACE-` spelt as audits spell it."""
    if isinstance(node, Literally):
        return replace(node, value=_sign(node.value))
    return node if isinstance(node, Named) else replace(node, parts=tuple(map(_signed, node.parts)))


def _shown(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value)


def _compared(label: str, audit: Audit, old: Audit) -> list[parts.Gate]:
    """The audit against an earlier one, query by query."""
    if audit.bits is None:
        raise GateError(f"the audit of {label!r} keeps no correctness bits", code="no-bits")
    found = contrasts(
        [_measured(label, audit), _measured("baseline", old)],
        sesoi=audit.sesoi,
        seed=audit.episodes.seed,
        quantities=COMPARED,
    )
    return [
        parts.Gate(
            checkpoint=label,
            gate=f"baseline: {one.quantity}",
            passed=not (one.verdict == "LOWERED" and one.p_holm < LEVEL),
            sentence=f"{one.quantity} is {100 * one.value:+.2f} points from the baseline's, 95 % "
            f"interval {100 * one.ci_low:+.2f} to {100 * one.ci_high:+.2f}, Holm p "
            f"{one.p_holm:.3g}, {one.n} paired episodes: {one.verdict}",
        )
        for one in found
    ]


def _measured(label: str, audit: Audit) -> Measured:
    kept, size = audit.bits, (audit.episodes.n, audit.episodes.way * audit.episodes.query)
    try:
        if kept is None:
            raise ValueError("there are none")
        whole = 4 * math.ceil(math.ceil(math.prod(size) / 8) / 3)  # base64 of packed bits
        if set(kept.cells) != set(CELLS) or {len(text) for text in kept.cells.values()} != {whole}:
            raise ValueError("cells are missing or cut off")
        cells = {name: parts.unpacked(text, size) for name, text in kept.cells.items()}
    except ValueError as error:
        raise GateError(
            f"the correctness bits of {label!r} are damaged ({error}); measure it again",
            code="damaged",
        ) from error
    return Measured(
        label,
        audit.episodes.sha256,
        cells,
        np.asarray(kept.classes_on, dtype=np.int64),
        np.asarray(kept.classes_off, dtype=np.int64),
    )


def _read(path: Path) -> AuditSet:
    """An earlier audit, or several."""
    file = path / "audit.json" if path.is_dir() else path
    try:
        if file.stat().st_size > LARGEST:
            raise GateError(f"baseline {str(file)!r} has over {LARGEST:,} bytes", code="too-large")
        text = file.read_bytes()
    except OSError as error:
        raise GateError(
            f"baseline {str(path)!r} cannot be read: {error.strerror or error}; give the audit.json "
            "that `metaprobe audit --out DIR` wrote",
            code="missing-file",
        ) from error
    several = b'"metaprobe.audit-set/1"' in text[:200]
    return AuditSet.from_json(text) if several else as_set(Audit.from_json(text))


def _counterpart(audit: Audit, label: str, baseline: AuditSet) -> Audit:
    """The earlier audit that one is held against: the only one, or that of the same name."""
    if len(baseline.audits) == 1:
        return baseline.audits[0]
    found = dict(zip(baseline.labels, baseline.audits, strict=True)).get(label)
    if found is None:
        raise GateError(
            f"the baseline holds {', '.join(baseline.labels)} and none is called {label!r}; give one "
            "with a single checkpoint, or one of the same name",
            code="baseline-differs",
        )
    return found


def _refuse(differences: Sequence[str]) -> None:
    if differences:
        raise GateError(
            f"the baseline is another measurement: {'; '.join(differences[:6])}; measure both alike",
            code="baseline-differs",
        )


def _settings_differ(asked: AuditSettings, old: Audit) -> Iterator[str]:
    """What settings alone show to differ."""
    gallery = "fresh" if asked.gallery == "fresh" else "support"
    pairs: list[tuple[str, Any, Any]] = [
        ("split", asked.split, old.data.split),
        *((name, getattr(asked, name), getattr(old.episodes, name))
          for name in ("way", "shot", "query", "seed")),
        ("episodes", asked.episodes, old.episodes.n),
        ("gallery", gallery, old.gallery),
        ("probe", asked.probe.name, old.probe.name),
        ("probe's k", asked.probe.k, old.probe.k),
        ("probe's metric", asked.probe.metric, old.probe.metric),
        *((name, getattr(asked, name), getattr(old.rule, name))
          for name in ("steps", "norm", "head") if getattr(asked, name) is not None),
    ]  # fmt: skip
    for name, new, before in pairs:
        if new != before:
            yield f"{name} is {new} here and {before} there"


def _differ(new: Audit, old: Audit) -> Iterator[str]:
    """What makes two audits incomparable: images, episodes, rule, probe, gallery."""
    for name in ("data", "off_data"):
        here, there = getattr(new, name), getattr(old, name)
        if (here and here.fingerprint) != (there and there.fingerprint):
            yield f"{name} is {_images(here)} here and {_images(there)} there"
    for group in ("episodes", "rule", "probe"):
        here, there = getattr(new, group).model_dump(), getattr(old, group).model_dump()
        for name in here:
            if here[name] != there[name]:
                yield f"{group}.{name} is {_brief(here[name])} here and {_brief(there[name])} there"
    for name in ("gallery", "preprocessing"):
        if getattr(new, name) != getattr(old, name):
            yield f"{name} is {getattr(new, name)!r} here and {getattr(old, name)!r} there"


def _images(data: parts.Data | None) -> str:
    return "none" if data is None else f"{data.name}/{data.split} {data.fingerprint[:12]}"


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
