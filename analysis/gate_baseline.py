"""An earlier audit to be held against: read, shown to be of the same episodes, compared by query."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.errors import MetaprobeError
from ..probes.measurement import Measurement
from ..probes.phases import CELLS
from . import audit_parts as parts
from . import provenance
from .contrasts import Measured, Quantity, contrasts
from .planning import AuditSettings
from .result import Audit, AuditSet, as_set

COMPARED: tuple[Quantity, ...] = ("meta_init", "on_task", "off_task", "on", "off")
"""What an audit is compared with its baseline on: the phases and the two effects."""

LEVEL = 0.05
"""A lowering counts when its Holm-corrected p lies below this."""

LARGEST = 512 * 2**20


class GateError(MetaprobeError):
    """A gate that cannot be understood, or cannot be decided."""


def read_baseline(path: Path) -> AuditSet:
    """An earlier audit, or several, from its ``audit.json`` or the folder of it.

    Raises:
        GateError: If there is none, or it is of another version.
    """
    file = path / "audit.json" if path.is_dir() else path
    try:
        if file.exists() and not file.is_file():
            raise GateError(f"baseline {str(file)!r} is no file", code="not-a-file")
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
    try:
        return AuditSet.from_json(text) if several else as_set(Audit.from_json(text))
    except MetaprobeError as error:
        what = str(error).removesuffix(".").partition("; write it")[0]
        raise GateError(
            f"baseline {str(file)!r} is no audit that this version reads ({what}); measure it again",
            code=error.code,
        ) from error


def counterpart(label: str, baseline: AuditSet) -> Audit:
    """The earlier audit that one is held against: the only one, or that of the same name.

    Raises:
        GateError: If there is none of that name.
    """
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


def refuse_other_settings(asked: AuditSettings, old: Audit) -> None:
    """Refuse a baseline that settings alone show to be another measurement.

    Raises:
        GateError: Naming what differs.
    """
    _refuse(list(_settings_differ(asked, old)))


def refuse_other_episodes(planned: Sequence[Measurement], baseline: AuditSet) -> None:
    """Refuse a baseline of other images or episodes, known once they are drawn.

    Raises:
        GateError: Naming what differs.
    """
    for one in planned:
        if any(one.episodes.sha256 == old.episodes.sha256 for old in baseline.audits):
            continue
        old = baseline.audits[0]
        here = f"{one.data.name}/{one.data.split} {one.data.fingerprint[:12]}"
        same = one.data.fingerprint == old.data.fingerprint
        _refuse(
            [
                f"episodes.sha256 is {one.episodes.sha256[:12]} here and {old.episodes.sha256[:12]} there"
            ]
            if same
            else [f"data is {here} here and {_images(old.data)} there"]
        )


def refuse_other_measurement(new: Audit, old: Audit) -> None:
    """Refuse a baseline that was measured in any other way.

    Raises:
        GateError: Naming what differs.
    """
    _refuse(list(_differ(new, old)))


def compared(label: str, audit: Audit, old: Audit) -> list[parts.Gate]:
    """The audit against an earlier one, query by query: a gate for each of `COMPARED`.

    Raises:
        GateError: If either keeps no correctness bits, or damaged ones.
    """
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


def _images(data: provenance.Data | None) -> str:
    return "none" if data is None else f"{data.name}/{data.split} {data.fingerprint[:12]}"


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
