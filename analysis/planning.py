"""What an audit is asked for, and what that means for one encoder.

Settings name data by words; a plan holds images that fit the encoder, episodes
over them, and the rule, norm and head that this encoder's features will meet.
Nothing here runs a network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..data.datasets import BUILT_IN, open_dataset
from ..data.episodes import EpisodeList, draw_episodes
from ..data.errors import CheckpointError, MetaprobeError
from ..data.fit import fit_images
from ..data.images import LabelledImages
from ..data.readers.options import ReadOptions
from ..models.encoder import Encoder
from ..models.heads import HeadStart, default_head
from ..models.layer_list import check_taps
from ..models.layers import parse_tap
from ..models.norms import NormMode
from ..models.rules import PARTS, Rule, parse_rule
from ..probes.cells import ProbeSettings
from ..probes.measurement import Measurement
from .measured import HEADLINE, Progress
from .verdicts import SESOI

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
        image_size: Side that image files are brought to before; as they are when None.
        max_unreadable: Share of image files that may be left out as unreadable or mislabelled.
        rule: Another inner loop than the checkpoint's, such as ``"sgd:lr=0.01"``; rates that it
            has learned are then left aside.
        adapts: Which parameters move: all, head, body, or a regular expression over their
            names; the checkpoint's own choice when None.
        layers: Further layers to read, ``NAME`` or ``NAME:POOL`` (see `models.layers`).
        sections: Which sections of `sections.context.SECTIONS` to add.
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
    image_size: int | None = None
    max_unreadable: float = 0.0
    rule: str | None = None
    adapts: str | None = None
    layers: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Drawn:
    """The images and episodes that encoders of one input shape share."""

    data: LabelledImages
    off_data: LabelledImages
    episodes: EpisodeList
    preprocessing: str


def draw(
    asked: AuditSettings, shape: tuple[int, int, int], progress: Progress | None = None
) -> Drawn:
    """Images in the shape `(C, H, W)`, and the episodes over them.

    Raises:
        MetaprobeError: If the data cannot be had, made to fit, or give such episodes.
    """
    options = ReadOptions(asked.image_size, asked.max_unreadable, progress=progress)
    found = open_dataset(asked.data, asked.split, options=options)
    data, how = fit_images(found, shape, resize=asked.resize)
    off, off_how = data, how
    if asked.off_data is not None:
        off, off_how = fit_images(_open_far(asked, options), shape, resize=asked.resize)
    drawn = draw_episodes(
        data,
        asked.episodes,
        way=asked.way,
        shot=asked.shot,
        query=asked.query,
        seed=asked.seed,
        off_data=None if asked.off_data is None else off,
    )
    return Drawn(data, off, drawn, how if how == off_how else f"{how}; off-task {off_how}")


def _open_far(asked: AuditSettings, options: ReadOptions) -> LabelledImages:
    """The data of T′: a name, ``NAME/SPLIT``, or a path."""
    source = asked.off_data or asked.data
    name, _, split = source.partition("/")
    if name in BUILT_IN:
        whole = asked.split if asked.split in BUILT_IN[name] else "all"
        return open_dataset(name, split or ("all" if name == "digits" else whole))
    return open_dataset(source, asked.split, options=options)


def plan(encoder: Encoder, asked: AuditSettings, drawn: Drawn) -> Measurement:
    """What the settings mean for one encoder.

    Raises:
        CheckpointError: If its learned rates are for a head of another width, no parameter
            would move, an expression names one by one of two names, or it has no such layer as is
            to be read.
    """
    check_taps(encoder.body, [parse_tap(text) for text in asked.layers], encoder.shape)
    rule = _rule(encoder, asked)
    _refuse_two_meanings(encoder, rule)
    if asked.rule is not None and encoder.rates:
        encoder = _without_rates(encoder, asked.rule)
    learned = encoder.rates.get("head.weight")
    if learned is not None and learned.ndim == 2 and len(learned) != asked.way:
        raise CheckpointError(
            f"the learned rates of {encoder.name!r} are for {len(learned)} classes and the episodes "
            f"have {asked.way}; choose --way {len(learned)}",
            code="rates-way",
        )
    head = asked.head or default_head(encoder.head, asked.way, moves=rule.moves("head.weight"))
    if head == "stored":
        rule = replace(rule, frozen=tuple(sorted({*rule.frozen, *encoder.lacking})))
    if not rule.movable(
        dict.fromkeys([*encoder.params, "head.weight", "head.bias"], torch.empty(0))
    ):
        raise CheckpointError(
            f"no parameter of {encoder.name!r} moves when {rule.adapts!r} does; its names are like "
            f"{next(iter(encoder.params))!r} and 'head.weight'",
            code="moves-nothing",
        )
    if rule.name == "lslr-steps" and rule.steps:
        rule.at(encoder.rates, rule.steps - 1)  # refuses here rather than after an hour
    return Measurement(
        encoder=encoder,
        data=drawn.data,
        off_data=drawn.off_data,
        episodes=drawn.episodes,
        rule=rule,
        norm=asked.norm or encoder.norm,
        head=head,
        device=pick_device(asked.device),
        preprocessing=drawn.preprocessing,
    )


def _rule(encoder: Encoder, asked: AuditSettings) -> Rule:
    """The checkpoint's inner loop, changed where the caller says."""
    own = encoder.rule
    if asked.rule is not None:
        own = replace(parse_rule(asked.rule), adapts=own.adapts, frozen=encoder.still)
    if asked.steps is not None:
        own = replace(own, steps=asked.steps)
    return own if asked.adapts is None else replace(own, adapts=asked.adapts)


def _without_rates(encoder: Encoder, rule: str) -> Encoder:
    """The encoder as if it had learned no rates, with a word that it has."""
    report = encoder.load_report
    if report is not None:
        said = f"the rates that the file has learned are left aside for {rule}"
        report = replace(report, assumed=(*report.assumed, said))
    return replace(encoder, rates={}, load_report=report)


def _refuse_two_meanings(encoder: Encoder, rule: Rule) -> None:
    """An expression must name the same parameters by the names here and by the file's.

    A parameter may have a further name in the file, or a second one in its network where it is
    shared; an expression that hits one of them alone could be meant either way.

    Raises:
        CheckpointError: Naming a parameter, by both.
    """
    if rule.adapts in PARTS:
        return
    report = encoder.load_report
    further = [
        (f"body.{n}" if f"body.{n}" in encoder.params else n, theirs)
        for n, theirs in (report.names if report else {}).items()
    ]
    meant = any(re.search(rule.adapts, theirs) for _, theirs in further)
    first: dict[Tensor, str] = {}
    shared = [
        (first.setdefault(parameter, f"body.{name}"), f"body.{name}")
        for name, parameter in encoder.body.named_parameters(remove_duplicate=False)
    ]
    for name, other in [*(further if meant else []), *(s for s in shared if s[0] != s[1])]:
        here, there = (re.search(rule.adapts, n) is not None for n in (name, other))
        if here != there and (there or (name, other) not in shared):
            raise CheckpointError(
                f"{rule.adapts!r} names a parameter by one of its two names, {name!r} here and "
                f"{other!r} {'in the file' if (name, other) in further else 'too, being shared'}; "
                "choose an expression that hits both names or neither",
                code="two-names",
            )


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
