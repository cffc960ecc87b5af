"""Which checkpoints are runs of MAML, and which of Meta-SGD: the files say it, never their names.

A checkpoint of ``metaprobe train`` holds the learner it was made with. A stranger's file of
Meta-SGD holds a rate for each parameter; one of MAML holds nothing that would tell, so it has
to be said: ``maml=FILE``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ....data.errors import CheckpointError, MetaprobeError
from ....models.checkpoint import shipped
from ....models.encoder import Encoder, load_encoder

LearnerName = Literal["maml", "meta-sgd"]
LEARNERS: Mapping[LearnerName, str] = {"maml": "MAML", "meta-sgd": "Meta-SGD"}
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")

SAY_IT = "name it as maml=FILE or meta-sgd=FILE if that is what it is, else leave it out"


@dataclass(frozen=True, eq=False)
class Runs:
    """Training runs of both learners, as many of one as of the other.

    Args:
        maml: Runs of MAML.
        meta_sgd: Runs of Meta-SGD, paired with those of MAML by position.
        paired: Whether the partners were trained from the same seed.
    """

    maml: tuple[Encoder, ...]
    meta_sgd: tuple[Encoder, ...]
    paired: bool

    @property
    def every(self) -> tuple[Encoder, ...]:
        return (*self.maml, *self.meta_sgd)


def shipped_runs(most: int | None = None) -> Runs:
    """The runs that travel with the package; the first few where `most` says so."""
    names = list(shipped())
    maml = [n for n in names if n.startswith("maml-glyphs-s")][:most]
    meta_sgd = [n for n in names if n.startswith("meta-sgd-glyphs-s")][:most]
    return find_runs([*maml, *meta_sgd])


def find_runs(sources: Sequence[str], *, arch: str | None = None) -> Runs:
    """Load checkpoints and tell them apart.

    Args:
        sources: Files, folders of files, names of shipped checkpoints; ``maml=…`` or
            ``meta-sgd=…`` before one says what a file does not.
        arch: The architecture of strangers' files, where it cannot be guessed.

    Raises:
        MetaprobeError: If a checkpoint is of neither learner, one is there twice, or the
            learners have unequal numbers of runs.
        CheckpointError: If a file cannot be read or measured.
    """
    found: dict[LearnerName, list[Encoder]] = {"maml": [], "meta-sgd": []}
    seen: dict[str, str] = {}
    for source in sources:
        said, place = _said(source)
        for path in _files(place):
            encoder = load_encoder(path, arch=arch)
            learner = learner_of(encoder, path, said)
            weights = f"{encoder.weights_digest} {encoder.rule_digest}"
            if weights in seen:
                raise MetaprobeError(
                    f"{path!r} holds the same weights and rates as {seen[weights]!r}; a training "
                    "run counts once, so leave one of them out",
                    code="same-run",
                )
            seen[weights] = path
            found[learner].append(encoder)
    maml, meta_sgd = found["maml"], found["meta-sgd"]
    if not maml or len(maml) != len(meta_sgd):
        raise MetaprobeError(
            f"the checkpoints are {_listed('maml', maml)} and {_listed('meta-sgd', meta_sgd)}; the "
            "study pairs them, so give as many of one as of the other, one at the least",
            code="no-checkpoint" if not maml or not meta_sgd else "unequal-runs",
        )
    shapes = {e.shape: e.name for e in (*maml, *meta_sgd)}
    if len(shapes) > 1:
        raise MetaprobeError(
            "all runs must see the same images; "
            + ", ".join(f"{name!r} takes {shape}" for shape, name in shapes.items()),
            code="shapes-differ",
        )
    seeds = [[stored(e, "seed") for e in group] for group in (maml, meta_sgd)]
    paired = all(isinstance(s, int) for s in (*seeds[0], *seeds[1]))
    paired = paired and sorted(seeds[0]) == sorted(seeds[1]) and len({*seeds[0]}) == len(maml)
    if paired:
        maml, meta_sgd = (sorted(g, key=lambda e: int(stored(e, "seed"))) for g in (maml, meta_sgd))
    return Runs(tuple(maml), tuple(meta_sgd), paired)


def learner_of(encoder: Encoder, path: str, said: LearnerName | None = None) -> LearnerName:
    """The learner of a checkpoint, from what its file holds.

    Args:
        encoder: The checkpoint.
        path: What errors call it.
        said: What its owner says it is; that must not contradict the file.

    Raises:
        CheckpointError: If it is neither MAML nor Meta-SGD, or the file does not tell.
    """
    recipe = stored(encoder, "recipe")
    named = recipe.get("learner") if isinstance(recipe, dict) else None
    held = named if isinstance(named, str) else _told_by_rates(encoder, path)
    if said is None and held is None:
        raise CheckpointError(
            f"{path!r} does not say which learner made it and holds no learned rates; {SAY_IT}",
            code="unknown-learner",
        )
    if held is not None and held not in LEARNERS:
        raise CheckpointError(
            f"{path!r} was made by learner {held!r}; the study compares MAML with Meta-SGD, so "
            "leave it out",
            code="other-learner",
        )
    if said is not None and held not in (None, said):
        raise CheckpointError(
            f"{path!r} is called {said} but is a checkpoint of {held}; leave out the '{said}='",
            code="other-learner",
        )
    learner: LearnerName = said or ("maml" if held == "maml" else "meta-sgd")
    if (learner == "meta-sgd") != (encoder.rule.name == "meta-sgd"):
        raise CheckpointError(
            f"{path!r} is called {learner} but adapts by rule {encoder.rule.name!r}; Meta-SGD has a "
            "learned rate for each parameter and MAML has none",
            code="other-learner",
        )
    if encoder.rule.adapts != "all":
        raise CheckpointError(
            f"the inner loop of {path!r} moves {encoder.rule.adapts!r} and not all; that is neither "
            "MAML nor Meta-SGD, so leave it out",
            code="other-learner",
        )
    return learner


def _told_by_rates(encoder: Encoder, path: str) -> LearnerName | None:
    """Meta-SGD where each parameter has a rate of its own; nothing is told by their absence."""
    if not encoder.rates:
        return None
    if encoder.rule.name != "meta-sgd":
        raise CheckpointError(
            f"{path!r} holds learned rates of rule {encoder.rule.name!r}, not one for each "
            "parameter; it is neither MAML nor Meta-SGD, so leave it out",
            code="other-learner",
        )
    return "meta-sgd"


def stored(encoder: Encoder, key: str) -> Any:
    """What a checkpoint's own metadata say; None where they do not."""
    kept = encoder.checkpoint.metadata if encoder.checkpoint is not None else {}
    return kept.get(key) if isinstance(kept, Mapping) else None


def _said(source: str) -> tuple[LearnerName | None, str]:
    """``maml=FILE`` taken apart; a file that has such a name is itself."""
    word, sign, rest = source.partition("=")
    for name in LEARNERS:
        if sign and word == name and not Path(source).exists():
            return name, rest
    return None, source


def _files(source: str) -> list[str]:
    """A file as itself; the checkpoints of a folder that is none."""
    folder = Path(source)
    if not folder.is_dir() or source in shipped() or (folder / "config.json").exists():
        return [source]
    files = sorted(str(p) for p in folder.iterdir() if p.is_file() and p.suffix in SUFFIXES)
    if not files:
        raise MetaprobeError(
            f"folder {source!r} holds no checkpoint ({', '.join(SUFFIXES)})", code="no-checkpoint"
        )
    return files


def _listed(learner: LearnerName, runs: Sequence[Encoder]) -> str:
    names = f" ({', '.join(e.name for e in runs)})" if runs else ""
    return f"{len(runs)} of {LEARNERS[learner]}{names}"
