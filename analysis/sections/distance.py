"""Does the off-task effect depend on how far T′ lies from T?

Near to far: T's own classes against support images that adaptation never saw; some classes
shared; classes apart; other scripts; other families; another dataset. The distance is measured
and not assumed: for each class of T′, the cosine distance from its centroid to the nearest
class centroid of T, among query features at meta-init; averaged over classes and episodes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ...data.datasets import open_dataset
from ...data.episodes import EpisodeList, Tasks, draw_episodes
from ...data.fit import fit_images
from ...probes.extract import extract
from ...probes.measurement import Measurement
from ...probes.rows import Floats, Integers
from ..readings import reading
from .context import Context
from .values import Line, Section
from .words import said

TASKS: tuple[Literal["on", "off"], ...] = ("on", "off")

FARTHER: dict[str, tuple[str, str]] = {
    "other scripts": ("glyphs", "train"),
    "other families": ("glyphs", "far"),
    "another dataset": ("digits", "all"),
}
"""Where T′ is drawn from, when not from T's own data."""


def run(context: Context) -> Section:
    """Off-task effects from near to far."""
    levels = levels_of(context)
    found = context.bits(list(levels.values()))
    lines, distances, values, words = [], [], [], []
    for (label, measurement), bits in zip(levels.items(), found, strict=True):
        effect = reading(bits, measurement.episodes, context.settings).effects.off
        far = how_far(context, measurement)
        distances.append(float(far.mean()))
        values.append(effect.value)
        words.append((label, effect))
        lines.append(
            Line(
                group="off-task", label=label, x=distances[-1], value=effect.value,
                ci_low=effect.ci_low, ci_high=effect.ci_high, verdict=effect.verdict, n=effect.n,
            )
        )  # fmt: skip
    rank = stats.spearmanr(distances, values) if len(set(values)) > 1 else None
    near, far_ = words[int(np.argmin(distances))], words[int(np.argmax(distances))]
    finding = f"Nearest ({near[0]}): {said(near[1])}; farthest ({far_[0]}): {said(far_[1])}. "
    finding += (
        "The effect is the same at every distance."
        if rank is None
        else f"Across {len(values)} levels, effect and distance have a rank correlation of "
        f"{rank.statistic:+.2f} (p = {rank.pvalue:.2g}).".replace("+-", "-").replace("-", "−")
    )
    return Section(
        title="Distance",
        question="Does the effect off-task depend on how far away the task is?",
        finding=finding,
        notes=(
            "Distance: cosine distance from each class centroid of T′ to the nearest one of T, "
            "query features at meta-init, averaged over classes and episodes.",
            "Shared classes keep T's queries, which adaptation never sees, and get fresh support "
            "images. Levels share their T; the levels are few and not independent.",
        ),
        episodes=len(context.few.episodes),
        axis="distance of T′ from T",
        lines=tuple(lines),
    )


def levels_of(context: Context) -> dict[str, Measurement]:
    few = context.few
    way = few.episodes.on.shape[0]
    levels: dict[str, Measurement] = {}
    if few.data is few.off_data:
        levels["same classes, new images"] = _shared(few, way)
        for shared in range(way - 1, 0, -1):
            levels[f"{shared} of {way} classes shared"] = _shared(few, shared)
        levels["classes apart"] = few
    else:
        levels[f"{few.off_data.name}/{few.off_data.split}"] = few
    asked = context.settings
    for label, (name, split) in FARTHER.items():
        if (few.data.name, few.data.split) == (name, split):
            continue
        if (few.off_data.name, few.off_data.split) == (name, split):
            continue
        off, _ = fit_images(open_dataset(name, split), few.encoder.shape, resize=asked.resize)
        if off.name == few.data.name and set(off.classes) & set(few.data.classes):
            continue
        drawn = draw_episodes(
            few.data, len(few.episodes), way=way, shot=asked.shot, query=asked.query,
            seed=asked.seed, off_data=off,
        )  # fmt: skip
        levels[label] = replace(
            few, off_data=off,
            episodes=EpisodeList(few.episodes.on, drawn.off, drawn.seed, drawn.fingerprints),
        )  # fmt: skip
    return levels


def _shared(few: Measurement, shared: int) -> Measurement:
    """The measurement with T′ made of so many classes of T and the rest of its own."""
    on, off = few.episodes.on, few.episodes.off

    def mixed(ours: Integers, theirs: Integers) -> Integers:
        return np.concatenate([ours[:, :shared], theirs[:, shared:]], axis=1)

    tasks = Tasks(
        mixed(on.classes, off.classes),
        mixed(on.gallery, off.support),
        mixed(on.query, off.query),
        mixed(on.support, off.gallery),
    )
    return replace(
        few, episodes=EpisodeList(on, tasks, few.episodes.seed, few.episodes.fingerprints)
    )


def how_far(context: Context, measurement: Measurement) -> Floats:
    """``(E,)`` distances of T′ from T at meta-init."""
    way = measurement.episodes.on.shape[0]
    support = way * measurement.episodes.on.shape[1]
    out = []
    for block in measurement.blocks:
        found, computed = extract(measurement, block, context.store, ("init",))
        context.computed, context.read = context.computed + computed, context.read + 1 - computed
        on, off = (_centroids(found["init"].part(task, "query", support), way) for task in TASKS)
        out.append((1 - (off @ on.transpose(0, 2, 1)).max(axis=2)).mean(axis=1))
    return np.concatenate(out)


def _centroids(rows: NDArray[np.float32], way: int) -> Floats:
    """``(E, W, D)`` class means of class-major rows, of length 1."""
    means = rows.astype(float).reshape(len(rows), way, -1, rows.shape[-1]).mean(axis=2)
    lengths = np.linalg.norm(means, axis=-1, keepdims=True)
    return np.asarray(means / np.where(lengths == 0, 1, lengths))
