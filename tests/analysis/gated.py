"""Audits with planted bits, and what gates say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from metaprobe.analysis.audit_parts import Bits, packed
from metaprobe.analysis.gates import read_gates
from metaprobe.analysis.result import Audit, AuditSet

EPISODES = 60


def outcome(audit: Audit | AuditSet, *conditions: str, baseline: Path | None = None) -> list[bool]:
    found = read_gates(conditions, baseline).applied(audit)
    return [gate.passed for gate in found.gates]


def with_bits(audit: Audit, loss: float = 0.0, *, cells: tuple[str, ...] = ()) -> Audit:
    """The audit with planted bits: `loss` of the queries that were right turn wrong in `cells`."""
    rng = np.random.default_rng(3)
    size = (audit.episodes.n, audit.episodes.way * audit.episodes.query)
    drop = np.random.default_rng(4)
    kept = {}
    for cell in ("init_on", "adapted_on", "init_off", "adapted_off"):
        bits = rng.random(size) < 0.8
        lost = drop.random(size) < (loss if cell in cells else 0)
        kept[cell] = packed(bits & ~lost)
    classes = np.stack([rng.permutation(40)[:10] for _ in range(audit.episodes.n)])
    on, off = (
        tuple(tuple(map(int, row)) for row in part) for part in (classes[:, :5], classes[:, 5:])
    )
    return audit.model_copy(update={"bits": Bits(cells=kept, classes_on=on, classes_off=off)})


def changed(audit: Audit, part: str, **fields: Any) -> Audit:
    return audit.model_copy(update={part: getattr(audit, part).model_copy(update=fields)})


def write(path: Path, audit: Audit | AuditSet) -> Path:
    path.write_text(audit.to_json(), encoding="utf-8")
    return path
