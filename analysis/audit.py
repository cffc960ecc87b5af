"""The audit: checkpoints go in, what adaptation did to their features comes out.

All checkpoints see the same hashed episodes, and every difference is paired.
Effects, intervals and verdicts follow from correctness bits alone
(`effects.py`); what needs a network is in `measured.py`.
"""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.datasets import BUILT_IN, open_dataset
from ..data.episodes import EpisodeList, draw_episodes
from ..data.errors import CheckpointError, DataError, MetaprobeError
from ..data.files import write_whole
from ..data.fit import fit_images
from ..data.images import LabelledImages
from ..data.store import Store
from ..models.encoder import Encoder, load_encoder
from ..models.heads import HeadStart, default_head
from ..models.norms import NormMode
from ..probes.cells import CELLS, Bits, CellName, Gallery, ProbeSettings
from ..probes.extract import Measurement, Moment
from . import audit_parts as parts
from .contrasts import Measured as OneOfSeveral
from .contrasts import contrasts
from .effects import Effect, effects, shares
from .measured import HEADLINE, Measured, Progress, measure, pixels
from .rates import rates_table
from .result import Audit, AuditSet, Contrast, as_set
from .verdicts import SESOI

BOTH: tuple[Moment, ...] = ("init", "adapted")
BEFORE: tuple[Moment, ...] = ("init",)

GalleryChoice = Literal["support", "fresh", "both"]


@dataclass(frozen=True)
class AuditSettings:
    """What to measure, and on which episodes.

    Args:
        data: Dataset of T, as for `open_dataset`.
        split: Its split.
        off_data: Dataset of T′, ``"name"`` or ``"name/split"``; when None, T′ has disjoint
            classes of `data`.
        way: Classes a task.
        shot: Support images a class.
        query: Query images a class.
        episodes: How many.
        seed: Seed of the episodes and of every resampling.
        steps: Inner steps; those of training when None.
        gallery: Which gallery the headline reads; ``"both"`` reads the support first.
        norm: Norm mode; that of training when None.
        head: Where the inner loop's head starts; the stored one where it fits when None.
        probe: How a query is classified.
        sesoi: Smallest effect of interest, a share.
        device: ``"auto"``, ``"cpu"`` or a torch device.
        resize: Whether images may be made to fit the encoder.
    """

    data: str = "glyphs"
    split: str = "test"
    off_data: str | None = None
    way: int = 5
    shot: int = 1
    query: int = 15
    episodes: int = 600
    seed: int = 0
    steps: int | None = None
    gallery: GalleryChoice = "both"
    norm: NormMode | None = None
    head: HeadStart | None = None
    probe: ProbeSettings = HEADLINE
    sesoi: float = SESOI
    device: str = "auto"
    resize: bool = False


def audit(
    checkpoints: str | Path | Encoder | Sequence[str | Path | Encoder],
    settings: AuditSettings | None = None,
    *,
    store: Store | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str | None = None,
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
    encoders = [s if isinstance(s, Encoder) else load_encoder(s) for s in sources]
    audits, found = audit_each(
        encoders, asked, store=store, jobs=jobs, progress=progress, command=command
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
) -> tuple[tuple[Audit, ...], list[Measured]]:
    """An audit of each encoder on the same episodes, and the bits behind them; no contrasts."""
    began = time.perf_counter()
    shared = {shape: draw(asked, shape) for shape in {e.shape for e in encoders}}
    measurements = [plan(encoder, asked, shared[encoder.shape]) for encoder in encoders]
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
    run = parts.Run(
        command=command,
        wall_seconds=time.perf_counter() - began,
        forward_passes=sum(f.computed for f in found),
        cached_entries=sum(f.read for f in found),
    )
    audits = tuple(conclude(one, low[_floor_of(one.measurement)], asked, run) for one in own)
    return audits, own


@dataclass(frozen=True, eq=False)
class Drawn:
    """The images and episodes that encoders of one input shape share."""

    data: LabelledImages
    off_data: LabelledImages
    episodes: EpisodeList
    preprocessing: str


def draw(asked: AuditSettings, shape: tuple[int, int, int]) -> Drawn:
    """Images in the shape `(C, H, W)`, and the episodes over them.

    Raises:
        MetaprobeError: If the data cannot be had, made to fit, or give such episodes.
    """
    data, how = fit_images(open_dataset(asked.data, asked.split), shape, resize=asked.resize)
    off, off_how = data, how
    if asked.off_data is not None:
        off, off_how = fit_images(_open_far(asked), shape, resize=asked.resize)
        shared = sorted(set(off.classes) & set(data.classes))
        if off.name == data.name and shared:
            raise DataError(
                f"{asked.off_data!r} shares {len(shared)} classes with the on-task data (first "
                f"{shared[0]!r}); T and T′ need classes apart",
                code="classes-shared",
            )
    drawn = draw_episodes(
        data,
        asked.episodes,
        way=asked.way,
        shot=asked.shot,
        query=asked.query,
        seed=asked.seed,
        off_data=None if off is data else off,
    )
    return Drawn(data, off, drawn, how if how == off_how else f"{how}; off-task {off_how}")


def _open_far(asked: AuditSettings) -> LabelledImages:
    """The data of T′: a name, ``NAME/SPLIT``, or a path."""
    source = asked.off_data or asked.data
    name, _, split = source.partition("/")
    if name in BUILT_IN:
        whole = asked.split if asked.split in BUILT_IN[name] else "all"
        return open_dataset(name, split or ("all" if name == "digits" else whole))
    return open_dataset(source, asked.split)


def plan(encoder: Encoder, asked: AuditSettings, drawn: Drawn) -> Measurement:
    """What the settings mean for one encoder.

    Raises:
        CheckpointError: If its learned rates are for a head of another width.
    """
    own = encoder.rule
    learned = encoder.rates.get("head.weight")
    if learned is not None and learned.ndim == 2 and len(learned) != asked.way:
        raise CheckpointError(
            f"the learned rates of {encoder.name!r} are for {len(learned)} classes and the episodes "
            f"have {asked.way}; choose --way {len(learned)}",
            code="rates-way",
        )
    rule = own if asked.steps is None else replace(own, steps=asked.steps)
    return Measurement(
        encoder=encoder,
        data=drawn.data,
        off_data=drawn.off_data,
        episodes=drawn.episodes,
        rule=rule,
        norm=asked.norm or encoder.norm,
        head=asked.head or default_head(encoder.head, asked.way, moves=rule.moves("head.weight")),
        device=pick_device(asked.device),
        preprocessing=drawn.preprocessing,
    )


def _floor_of(measurement: Measurement) -> tuple[object, ...]:
    """What an untrained encoder's features depend on: encoders that agree share a floor."""
    encoder = measurement.encoder
    return encoder.architecture_text, encoder.shape, measurement.norm


def untrained(measurement: Measurement) -> Measurement:
    """The same measurement of the same architecture before any training."""
    return replace(measurement, encoder=measurement.encoder.untrained(), head="zeros")


def pick_device(name: str) -> str:
    """A torch device; ``"auto"`` is a GPU where there is one.

    Raises:
        MetaprobeError: If the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise MetaprobeError(
            f"device {name!r} is not available ({str(error).splitlines()[0]}); choose auto or cpu",
            code="device",
        ) from error
    return name


def conclude(found: Measured, floor: Measured, asked: AuditSettings, run: parts.Run) -> Audit:
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
        checkpoint=parts.Checkpoint(
            name=encoder.name,
            path=checkpoint.path if checkpoint else "(in memory)",
            sha256=checkpoint.sha256 if checkpoint else encoder.weights_digest,
            format="safetensors" if checkpoint else "memory",
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
        probe=parts.ProbeUsed(
            name=asked.probe.name,
            k=asked.probe.k,
            metric=asked.probe.metric,
            weights=asked.probe.weights,
        ),
        episodes=parts.Episodes(
            n=len(episodes),
            way=way,
            shot=shot,
            query=query,
            seed=asked.seed,
            sha256=episodes.sha256,
        ),
        rule=parts.RuleUsed(
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
            untrained=_interval(floor.cells[headline]["init_on"], episodes),
            pixels=_interval(pixels(measurement, asked.probe), episodes),
            shuffled_labels=_interval(found.shuffled, episodes),
        ),
        head_accuracy=parts.HeadAccuracy(
            **{n: parts.Share(**_share(b, episodes)) for n, b in found.head.items()}
        ),
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
            classes_off=_nested(_apart(episodes)),
        ),
        per_episode=parts.PerEpisode(
            on=_differences(bits["adapted_on"], bits["init_on"]),
            off=_differences(bits["adapted_off"], bits["init_off"]),
        ),
        environment=environment(measurement.device),
        run=run,
    )


def reread(kept: Audit) -> parts.Reading:
    """Cells, effects and verdicts again, from the bits an audit keeps and nothing else."""
    size = (kept.episodes.n, kept.episodes.way * kept.episodes.query)
    bits = (
        {c: parts.unpacked(text, size) for c, text in kept.bits.cells.items()} if kept.bits else {}
    )
    classes = (kept.bits.classes_on, kept.bits.classes_off) if kept.bits else ((), ())
    on, off = (np.asarray(c, dtype=np.int64) for c in classes)
    return _reading(bits, on, off, kept.sesoi, kept.episodes.seed)


def reading(
    bits: Mapping[CellName, Bits], episodes: EpisodeList, asked: AuditSettings
) -> parts.Reading:
    """Cells, phases and effects from bits."""
    return _reading(
        {str(c): b for c, b in bits.items()},
        episodes.on.classes,
        _apart(episodes),
        asked.sesoi,
        asked.seed,
    )


def _reading(
    bits: Mapping[str, Bits],
    classes_on: NDArray[np.int64],
    classes_off: NDArray[np.int64],
    sesoi: float,
    seed: int,
) -> parts.Reading:
    cells = _cells(bits, classes_on, classes_off)
    found = effects(bits, classes_on, classes_off, sesoi=sesoi, seed=seed)
    told = {}
    for name, e in found.items():
        told[name] = parts.Effect(
            value=e.value,
            ci_low=e.ci_low,
            ci_high=e.ci_high,
            ci_method=e.ci_method,
            n=e.n,
            flip_rate=e.flip_rate,
            verdict=e.verdict,
            sd=e.sd,
            mde=e.mde,
            ci90_low=e.ci90_low,
            ci90_high=e.ci90_high,
            t_low=e.t_interval.low,
            t_high=e.t_interval.high,
            bca_low=e.bca_interval.low,
            bca_high=e.bca_interval.high,
            p_sign_flip=e.p_sign_flip,
            p_mcnemar=e.mcnemar_p,
            sentence=_sentence(e, sesoi),
        )
    return parts.Reading(cells=cells, phases=parts.Phases.of(cells), effects=parts.Effects(**told))


def _sentence(effect: Effect, sesoi: float) -> str:
    """What the verdict rests on, and what would settle an open one."""
    said = (
        f"{100 * effect.value:+.3f} points, 95 % interval {100 * effect.ci_low:+.3f} to "
        f"{100 * effect.ci_high:+.3f}, {effect.n} paired episodes"
    )
    if effect.verdict != "UNRESOLVED":
        return f"{said}: {effect.verdict}."
    needed = effect.episodes_to_resolve(sesoi)
    more = "more classes, not more episodes," if needed is None else f"about {needed:,} episodes"
    return f"{said}: UNRESOLVED; {more} would settle it."


def cells_with_intervals(bits: Mapping[CellName, Bits], episodes: EpisodeList) -> parts.Cells:
    """The four accuracies with intervals for new classes."""
    return _cells({str(c): b for c, b in bits.items()}, episodes.on.classes, _apart(episodes))


def _cells(
    bits: Mapping[str, Bits], classes_on: NDArray[np.int64], classes_off: NDArray[np.int64]
) -> parts.Cells:
    found = shares(bits, classes_on, classes_off)
    return parts.Cells(
        **{
            c: parts.Share(value=s.value, ci_low=s.ci_low, ci_high=s.ci_high, n=s.n)
            for c, s in found.items()
        }
    )


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
            _apart(f.measurement.episodes),
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


def save_audit(result: Audit | AuditSet, folder: Path) -> list[Path]:
    """Write ``audit.json``, ``report.html`` and the figures, each whole or not at all.

    Raises:
        MetaprobeError: If the folder cannot be written.
    """
    from .figures import save_figures
    from .report import write_report

    written = [write_whole(folder / "audit.json", result.to_json().encode())]
    return [
        *written,
        write_report(result, folder),
        *save_figures(as_set(result), folder / "figures"),
    ]


def environment(device: str) -> parts.Environment:
    """Software and device of this run."""
    import faiss

    return parts.Environment(
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


def _nested(classes: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in classes)


def _data(data: LabelledImages) -> parts.Data:
    return parts.Data(
        name=data.name,
        fingerprint=data.fingerprint,
        split=data.split,
        classes=len(data.classes),
        images=len(data),
    )


def _apart(episodes: EpisodeList) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Class ids of T′; shifted when they are another dataset's, for they are other classes."""
    same = episodes.fingerprints[0] == episodes.fingerprints[1]
    return episodes.off.classes if same else episodes.off.classes + 10**6


def _share(bits: Bits, episodes: EpisodeList) -> dict[str, Any]:
    """One accuracy on T with its interval."""
    every = shares(dict.fromkeys(CELLS, bits), episodes.on.classes, episodes.on.classes)["init_on"]
    return {"value": every.value, "ci_low": every.ci_low, "ci_high": every.ci_high, "n": every.n}


def _interval(bits: Bits, episodes: EpisodeList) -> parts.Interval:
    found = _share(bits, episodes)
    return parts.Interval(**{k: found[k] for k in ("value", "ci_low", "ci_high")})


def _differences(after: Bits, before: Bits) -> tuple[float, ...]:
    return tuple(map(float, after.mean(axis=1) - before.mean(axis=1)))


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
