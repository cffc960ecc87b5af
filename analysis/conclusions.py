"""One encoder's bits become its audit: every number beside where it came from."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.images import LabelledImages
from ..probes.cells import Gallery
from . import audit_parts as parts
from . import provenance
from .measured import Measured, pixels
from .planning import AuditSettings
from .rates import rates_table
from .readings import apart, cells_with_intervals, differences, interval, reading, share
from .result import Audit


def conclude(found: Measured, floor: Measured, asked: AuditSettings, run: provenance.Run) -> Audit:
    """The audit of one encoder, from bits."""
    measurement, encoder = found.measurement, found.measurement.encoder
    episodes, checkpoint = measurement.episodes, encoder.checkpoint
    headline: Gallery = "fresh" if asked.gallery == "fresh" else "support"
    other: Gallery = "support" if headline == "fresh" else "fresh"
    read = {g: reading(found.cells[g], episodes, asked) for g in (headline, other)}
    bits = found.cells[headline]
    way, shot, query = episodes.on.shape
    return Audit(
        created=datetime.now(UTC),
        version=version("metaprobe"),
        checkpoint=provenance.Checkpoint(
            name=encoder.name,
            path=checkpoint.path if checkpoint else "(in memory)",
            sha256=checkpoint.sha256 if checkpoint else encoder.weights_digest,
            format=checkpoint.format if checkpoint else "memory",
            architecture=encoder.architecture_text,
            embedding_dim=encoder.embedding_dim,
            layer="embedding",
            head=encoder.strip_report.head if encoder.strip_report else None,
            load_report=encoder.load_report.to_json() if encoder.load_report else {},
            strip_report=encoder.strip_report.to_json() if encoder.strip_report else {},
        ),
        data=_data(measurement.data),
        off_data=_data(measurement.off_data),
        preprocessing=measurement.preprocessing,
        probe=provenance.ProbeUsed(
            name=asked.probe.name,
            k=asked.probe.k,
            metric=asked.probe.metric,
            weights=asked.probe.weights,
        ),
        episodes=provenance.Episodes(
            n=len(episodes),
            way=way,
            shot=shot,
            query=query,
            seed=asked.seed,
            sha256=episodes.sha256,
        ),
        rule=provenance.RuleUsed(
            name=measurement.rule.name,
            steps=measurement.rule.steps,
            adapts=measurement.rule.adapts,
            norm=measurement.norm,
            head=measurement.head,
            rate=measurement.rule.lr if measurement.rule.name == "sgd" else None,
        ),
        gallery=headline,
        sesoi=asked.sesoi,
        **dict(read[headline]),
        floors=parts.Floors(
            untrained=interval(floor.cells[headline]["init_on"], episodes),
            pixels=interval(pixels(measurement, asked.probe), episodes),
            shuffled_labels=interval(found.shuffled, episodes),
        ),
        head_accuracy=parts.HeadAccuracy(**{n: share(b, episodes) for n, b in found.head.items()}),
        other_gallery=read[other] if asked.gallery == "both" else None,
        probes={
            name: parts.Phases.of(cells_with_intervals(b, episodes))
            for name, b in found.probes.items()
        },
        rates=None
        if found.trace is None or found.reach is None
        else rates_table(encoder, measurement.moved, found.trace, found.reach),
        bits=parts.Bits(
            cells={c: parts.packed(b) for c, b in bits.items()},
            classes_on=_nested(episodes.on.classes),
            classes_off=_nested(apart(episodes)),
        ),
        per_episode=parts.PerEpisode(
            on=differences(bits["adapted_on"], bits["init_on"]),
            off=differences(bits["adapted_off"], bits["init_off"]),
        ),
        environment=environment(measurement.device),
        run=run,
    )


def environment(device: str) -> provenance.Environment:
    """Software and device of this run."""
    import faiss

    return provenance.Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        faiss=faiss.__version__,
        device=torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        threads=1,
        git=_commit(),
    )


def _commit() -> str | None:
    """The commit of a source checkout; None for an installed package."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        out = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip() or None


def _data(data: LabelledImages) -> provenance.Data:
    return provenance.Data(
        name=data.name,
        fingerprint=data.fingerprint,
        split=data.split,
        classes=len(data.classes),
        images=len(data),
        notes=data.notes,
    )


def _nested(classes: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in classes)
