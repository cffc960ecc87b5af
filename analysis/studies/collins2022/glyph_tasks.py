"""Same-script and mixed-script tasks of real glyphs, and what two kinds of training make of them.

Scripts that no shipped encoder was trained on (Greek and Hebrew chose the step at which training
stopped; the others were never seen). A **same-script** task has five characters of one script; a
**mixed-script** task five of five different ones, a family of them for each script left out, so
that every script counts alike. Hardness is read from frozen embeddings by the rate of head descent,
one image at a time. The gain is accuracy after each encoder's own inner loop from one image a
class: MAML's from its learned head, plain training's (NAL) from the class means of the support,
the head it was chosen by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ....data.datasets import open_dataset
from ....data.images import LabelledImages
from ....models.adapt import adapt
from ....models.checkpoint import shipped
from ....models.encoder import Encoder, load_encoder
from ....models.forward import CHUNK, beside_support, features_of, logits_of, stack
from ....models.heads import starting_head
from ....models.learners import accuracy
from ....models.norms import with_norm
from ....models.tensors import image_tensor, label_tensor
from ....models.threads import one_thread
from ....probes.embed import embed
from ..study import Settings
from .hardness import HeadRates, Split, split_by_rate
from .images import Labels, script_rates
from .mixture import Array
from .setting import LandscapeError

WAY, SHOT, QUERY = 5, 1, 15
NAL = "nal-glyphs-s0"
OTHERS = ("meta-sgd-glyphs-s0", "anil-glyphs-s0", "boil-glyphs-s0")
"""Encoders whose hardness is reported and not judged."""


@dataclass(frozen=True)
class ScriptTasks:
    """Tasks of one kind, as rows of a dataset.

    Args:
        rows: ``(E, WAY, n)``; in each class the first image is the support.
        family: ``(E,)``: the script (same), or the script left out (mixed).
    """

    rows: NDArray[np.int64]
    family: Labels


def unseen_scripts() -> LabelledImages:
    """Every script of glyphs that no shipped encoder was trained on, as one dataset."""
    parts = [open_dataset("glyphs", split) for split in ("validation", "test")]
    shift = len(parts[0].classes)
    return LabelledImages(
        name="glyphs",
        split="validation and test",
        images=np.concatenate([p.images for p in parts]).astype(np.uint8),
        labels=np.concatenate([parts[0].labels, parts[1].labels + shift]),
        ids=np.concatenate([p.ids for p in parts]),
        classes=(*parts[0].classes, *parts[1].classes),
        groups=(*parts[0].groups, *parts[1].groups),
    )


def scripts_of(data: LabelledImages) -> tuple[str, ...]:
    """The groups of a dataset, in order of their names."""
    return tuple(sorted(set(data.groups)))


def draw_script_tasks(
    data: LabelledImages, *, each: int, seed: int
) -> tuple[ScriptTasks, ScriptTasks]:
    """Same-script and mixed-script tasks, ``each`` a script.

    Args:
        data: Images whose groups are scripts, more than `WAY` of them.
        each: Tasks a family.
        seed: Seed of all draws.

    Raises:
        LandscapeError: Too few scripts for a task that mixes them.
    """
    scripts = scripts_of(data)
    if len(scripts) <= WAY:
        raise LandscapeError(
            f"{len(scripts)} scripts; tasks that mix {WAY} of them, with one left out, need more"
        )
    members = {s: np.flatnonzero(np.array(data.groups) == s) for s in scripts}
    rng = np.random.default_rng(seed)
    same, mixed = [], []
    for place, script in enumerate(scripts):
        others = [s for s in scripts if s != script]
        for _ in range(each):
            same.append((place, rng.choice(members[script], WAY, replace=False)))
            chosen = rng.permutation(others)[:WAY]
            mixed.append((place, np.array([rng.choice(members[s]) for s in chosen])))

    def tasks(drawn: Sequence[tuple[int, NDArray[np.int64]]]) -> ScriptTasks:
        rows = [[rng.permutation(data.rows_by_class[c]) for c in classes] for _, classes in drawn]
        return ScriptTasks(np.array(rows), np.array([family for family, _ in drawn]))

    return tasks(same), tasks(mixed)


def accuracy_after(encoder: Encoder, data: LabelledImages, rows: NDArray[np.int64]) -> Array:
    """Accuracy of each task's queries after the encoder's own inner loop, a share ``(E,)``.

    Args:
        encoder: Starts from its stored head where that has `WAY` outputs, else from class means.
        data: The images.
        rows: ``(E, WAY, n)``: one support image a class, then `QUERY` queries.
    """
    features = features_of(with_norm(encoder.body, encoder.norm, support_rows=WAY * SHOT))
    beside = beside_support(features, encoder.norm)
    stored = len(encoder.head.get("head.weight", ())) == WAY
    found = []
    with one_thread():
        for low in range(0, len(rows), CHUNK):
            part = rows[low : low + CHUNK]
            support = image_tensor(data, part[:, :, :SHOT])
            query = image_tensor(data, part[:, :, SHOT : SHOT + QUERY])
            params = stack(encoder.params, len(part))
            with torch.no_grad():
                at_start = features(params, support)
            head = starting_head(
                "stored" if stored else "class-means", encoder.head, at_start, WAY, SHOT
            )
            labels = label_tensor(len(part), WAY, SHOT)
            params = {**params, **head}
            params = adapt(features, params, encoder.rule, encoder.rates, support, labels)
            with torch.no_grad():
                logits = logits_of(params, beside(params, support, query))
            found.append(accuracy(logits, label_tensor(len(part), WAY, QUERY)).numpy())
    return np.concatenate(found)


@dataclass(frozen=True)
class GlyphRun:
    """Everything the image claims are judged by.

    Args:
        scripts: Names of the families.
        same: Same-script tasks.
        mixed: Mixed-script tasks.
        rates: For each encoder, head rates of same-script and mixed-script tasks.
        splits: For each encoder, the tasks of both kinds divided at one rate.
        maml: Accuracy after adaptation on same-script and on mixed-script tasks, ``(E,)`` each,
            the mean over runs of MAML.
        nal: The same of plain training.
        runs: Runs of MAML.
    """

    scripts: tuple[str, ...]
    same: ScriptTasks
    mixed: ScriptTasks
    rates: Mapping[str, tuple[HeadRates, HeadRates]]
    splits: Mapping[str, Split]
    maml: tuple[Array, Array]
    nal: tuple[Array, Array]
    runs: int


def run_glyphs(settings: Settings) -> GlyphRun:
    """Draw the tasks, read their hardness, adapt both kinds of encoder.

    Raises:
        LandscapeError: The checkpoints that are compared are not shipped.
    """
    names = list(shipped())
    maml = [n for n in names if n.startswith("maml-glyphs-s")]
    if NAL not in names or not maml:
        raise LandscapeError(f"{NAL} and a run of MAML are compared; they are not shipped")
    maml = maml[:1] if settings.quick else maml
    data = unseen_scripts()
    same, mixed = draw_script_tasks(data, each=6 if settings.quick else 40, seed=settings.seed)
    read = [NAL, maml[0], *(() if settings.quick else [n for n in OTHERS if n in names])]
    encoders = {n: load_encoder(n) for n in dict.fromkeys([*read, *maml])}
    rates = {n: glyph_rates(encoders[n], data, same, mixed) for n in read}
    if not settings.quick:
        untrained = encoders[NAL].untrained(seed=settings.seed)
        rates["untrained"] = glyph_rates(untrained, data, same, mixed)

    def accuracies(name: str) -> tuple[Array, Array]:
        first, second = (accuracy_after(encoders[name], data, t.rows) for t in (same, mixed))
        return first, second

    runs = [accuracies(name) for name in maml]
    return GlyphRun(
        scripts=scripts_of(data),
        same=same,
        mixed=mixed,
        rates=rates,
        splits={n: split_by_rate(np.concatenate([s.rate, m.rate])) for n, (s, m) in rates.items()},
        maml=(np.mean([r[0] for r in runs], axis=0), np.mean([r[1] for r in runs], axis=0)),
        nal=accuracies(NAL),
        runs=len(runs),
    )


def glyph_rates(
    encoder: Encoder, data: LabelledImages, same: ScriptTasks, mixed: ScriptTasks
) -> tuple[HeadRates, HeadRates]:
    """Head rates of both kinds of task on an encoder's frozen embeddings."""
    # Only the images that tasks hold are embedded, each by itself.
    used, where = np.unique(np.stack([same.rows, mixed.rows]), return_inverse=True)
    part = LabelledImages(
        name=data.name, split=data.split, images=data.images[used], labels=data.labels[used],
        ids=data.ids[used], classes=data.classes, groups=data.groups,
    )  # fmt: skip
    features = embed(encoder, part, None).features
    first, second = where.reshape(2, len(same.rows), -1)
    labels = np.tile(np.repeat(np.arange(WAY), same.rows.shape[2]), (len(same.rows), 1))
    return script_rates(features[first], labels, features[second], labels)
