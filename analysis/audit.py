"""The audit: checkpoints go in, what adaptation did to their features comes out.

All checkpoints see the same hashed episodes, and every difference is paired.
What is asked is planned (`planning.py`), measured by running networks
(`measured.py`) and concluded from correctness bits (`readings.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..data.errors import MetaprobeError
from ..data.files import write_together
from ..data.keys import canonical_json
from ..data.store import Store
from ..models.encoder import Encoder, load_encoder
from ..probes.cells import Gallery
from ..probes.measurement import Measurement, Moment
from . import provenance
from .conclusions import conclude
from .contrasts import Measured as OneOfSeveral
from .contrasts import contrasts
from .measured import Measured, Progress, measure
from .pages import ExtraSection
from .planning import AuditSettings, GalleryChoice, draw, pick_device, plan, untrained
from .readings import apart, reading, reread
from .result import Audit, AuditSet, Contrast, as_set
from .sections.context import Context, check_sections, further

__all__ = [
    "AuditSettings",
    "GalleryChoice",
    "audit",
    "audit_each",
    "compare_effects",
    "pick_device",
    "reading",
    "reread",
    "save_audit",
]

Check = Callable[[Sequence[Measurement]], None]

BOTH: tuple[Moment, ...] = ("init", "adapted")
BEFORE: tuple[Moment, ...] = ("init",)


def audit(
    checkpoints: str | Path | Encoder | Sequence[str | Path | Encoder],
    settings: AuditSettings | None = None,
    *,
    store: Store | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str | None = None,
    check: Check | None = None,
    **changes: Any,
) -> Audit | AuditSet:
    """Measure what adaptation does to the features of one checkpoint, or of several.

    Args:
        checkpoints: Files, names of shipped checkpoints, or encoders.
        settings: What to measure.
        store: Where embeddings are kept; nothing is kept when None.
        jobs: Blocks of episodes measured side by side; never changes a number.
        progress: Told of every block.
        command: The command line, for the record.
        check: Told of what will be measured, images and episodes drawn, before it is; may refuse.
        **changes: Single settings, such as ``episodes=300``.

    Returns:
        An `Audit` for one checkpoint, an `AuditSet` with contrasts for several.

    Raises:
        MetaprobeError: If a checkpoint, the data or a setting cannot be used.
    """
    asked = AuditSettings(**{**(_fields(settings) if settings else {}), **changes})
    one = isinstance(checkpoints, str | Path | Encoder)
    sources = [checkpoints] if isinstance(checkpoints, str | Path | Encoder) else [*checkpoints]
    if not sources:
        raise MetaprobeError("no checkpoint was given; name one or more", code="no-checkpoint")
    if asked.episodes < 2:
        raise MetaprobeError(
            f"episodes is {asked.episodes}; an interval needs 2 or more", code="episodes-small"
        )
    if not asked.sesoi > 0:
        raise MetaprobeError(
            f"the smallest effect of interest is {asked.sesoi}; a share above 0 is needed",
            code="sesoi",
        )
    check_sections(asked.sections)
    encoders = [s if isinstance(s, Encoder) else load_encoder(s) for s in sources]
    audits, found = audit_each(
        encoders, asked, store=store, jobs=jobs, progress=progress, command=command, check=check
    )
    if one:
        return audits[0]
    return AuditSet(audits=audits, contrasts=compare_effects(found, audits, asked))


def audit_each(
    encoders: Sequence[Encoder],
    asked: AuditSettings,
    *,
    store: Store | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str | None = None,
    check: Check | None = None,
) -> tuple[tuple[Audit, ...], list[Measured]]:
    """An audit of each encoder on the same episodes, and the bits behind them; no contrasts."""
    began = time.perf_counter()
    shared = {shape: draw(asked, shape, progress) for shape in {e.shape for e in encoders}}
    measurements = [plan(encoder, asked, shared[encoder.shape]) for encoder in encoders]
    if check is not None:
        check(measurements)
    floors = {_floor_of(m): untrained(m) for m in measurements}
    found = measure(
        [*measurements, *floors.values()],
        store,
        probe=asked.probe,
        moments=[BOTH] * len(measurements) + [BEFORE] * len(floors),
        jobs=jobs,
        progress=progress,
    )
    own = found[: len(measurements)]
    low = dict(zip(floors, found[len(measurements) :], strict=True))
    run = provenance.Run(
        command=command,
        wall_seconds=time.perf_counter() - began,
        forward_passes=sum(f.computed for f in found),
        cached_entries=sum(f.read for f in found),
    )
    audits = tuple(
        further(
            conclude(one, low[_floor_of(one.measurement)], asked, run),
            Context(one, asked, store, jobs, progress, encoders),
        )
        for one in own
    )
    return audits, own


def _floor_of(measurement: Measurement) -> tuple[object, ...]:
    """What an untrained encoder's features depend on: encoders that agree share a floor."""
    encoder = measurement.encoder
    return canonical_json(dict(encoder.architecture)), encoder.shape, measurement.norm


def compare_effects(
    found: Sequence[Measured], audits: Sequence[Audit], asked: AuditSettings
) -> tuple[Contrast, ...]:
    """Differences between checkpoints on the same episodes."""
    gallery: Gallery = "fresh" if asked.gallery == "fresh" else "support"
    labels = AuditSet(audits=tuple(audits)).labels
    measured = [
        OneOfSeveral(
            label,
            f.measurement.episodes.sha256,
            dict(f.cells[gallery]),
            f.measurement.episodes.on.classes,
            apart(f.measurement.episodes),
        )
        for label, f in zip(labels, found, strict=True)
    ]
    if len(measured) < 2:
        return ()
    kept = ("a", "b", "quantity", "value", "ci_low", "ci_high", "p", "p_holm", "verdict")
    return tuple(
        Contrast(**{k: getattr(c, k) for k in kept})
        for c in contrasts(measured, sesoi=asked.sesoi, seed=asked.seed)
    )


def save_audit(
    result: Audit | AuditSet, folder: Path, extra_sections: Sequence[ExtraSection] = ()
) -> list[Path]:
    """Write ``audit.json``, ``report.html``, ``table.tex`` and the figures, all of them whole or none.

    Args:
        result: What was measured.
        folder: Where to.
        extra_sections: As for `report_html`.

    Raises:
        MetaprobeError: If the folder cannot be written.
    """
    from .figures import figure_files
    from .latex import latex_table
    from .report import report_html

    figures = figure_files(as_set(result))
    return write_together(
        {
            folder / "audit.json": result.to_json().encode(),
            folder / "report.html": report_html(result, extra_sections).encode(),
            folder / "table.tex": latex_table(as_set(result)).encode(),
            **{folder / "figures" / name: content for name, content in figures.items()},
        }
    )


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
