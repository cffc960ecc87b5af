"""What a ledger says of its runs and data, and of what could not be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ....models.encoder import Encoder
from ...result import Audit
from ...verdicts import METHOD_SEEDS
from ..study import Claim
from ..writing import signed
from .checkpoints import Runs, stored


def not_measured(asked: Claim, why: str) -> Claim:
    """A claim that these runs or data say nothing about."""
    return replace(asked, measured=f"not measured: {why}", verdict="NOT SHOWN")


def rates_start(meta_sgd: Sequence[Encoder]) -> str:
    """Where the learned rates start, as far as the files say."""
    starts = sorted({e.rule.lr for e in meta_sgd if stored(e, "recipe") is not None})
    silent = [e.name for e in meta_sgd if stored(e, "recipe") is None]
    if silent or not starts:
        return "Where the rates start is not in the files, nor is it stated in the paper."
    return (
        f"Rates start at {' or '.join(f'{s:+g}' for s in starts)} here; the paper does not state "
        "its start."
    )


def answer(runs: Runs, claims: Sequence[Claim], audit: Audit) -> str:
    """What was found, on what, and what it does not speak of."""
    said = {v: sum(c.verdict == v for c in claims) for v in ("SUPPORTED", "REFUTED", "NOT SHOWN")}
    lacking = sum(c.measured.startswith("not measured") for c in claims)
    n = len(runs.maml)
    found = (
        f"{_effects(claims, audit.rule.steps)} Of {len(claims)} claims, {said['SUPPORTED']} are supported, {said['REFUTED']} refuted and "
        f"{said['NOT SHOWN']} not shown"
        + (f" ({lacking} of them not measured)" if lacking else "")
        + f", on {n} training run{'s' * (n > 1)} of each learner and {audit.episodes.n} paired "
        f"episodes of {audit.data.name}, {audit.data.split} split ({audit.data.classes} classes); "
        f"{_whose(runs, audit)}."
    )
    few = (
        f" With fewer than {METHOD_SEEDS} runs of each learner nothing can be decided about a "
        "method: every verdict is NOT SHOWN, and the numbers speak of these checkpoints alone."
        if n < METHOD_SEEDS
        else ""
    )
    networks = " and ".join(sorted({e.architecture_text for e in runs.every}))
    paper = "" if audit.data.name == "mini-imagenet" else ", not of mini-ImageNet, the paper's data"
    return f"{found}{few} This speaks of {networks} on {audit.data.name}{paper}."


def _effects(claims: Sequence[Claim], steps: int) -> str:
    """The four changes and the share of negative rates, each with its word."""
    by_id = {c.id: c for c in claims}

    def told(which: str) -> str:
        claim = by_id[which]
        word = claim.measured.partition(": ")[2].partition(";")[0].partition(",")[0]
        return f"{signed(claim.estimate or 0.0)} ({word})"

    return (
        f"In {steps} inner step{'s' * (steps != 1)} nearest-neighbour accuracy changed, in points, "
        f"on the task adapted to by {told('C5')} for MAML and {told('C6')} for Meta-SGD, and on "
        f"another task by {told('C7')} and {told('C8')}. Of Meta-SGD's learned rates "
        f"{by_id['C2'].measured.partition(' of')[0]} are negative."
    )


def _whose(runs: Runs, audit: Audit) -> str:
    """Whether the classes are new to the encoders, as far as their files say."""
    trained = [stored(e, "data") for e in runs.every]
    known = [t for t in trained if isinstance(t, dict) and "fingerprint" in t]
    if len(known) < len(trained):
        return "the files do not say whether the encoders were trained on them"
    tested = (audit.data.name, audit.data.split)
    if any(t["fingerprint"] == audit.data.fingerprint or _of(t) == tested for t in known):
        return "encoders were trained on this split, so nothing here speaks of new classes"
    names = sorted({f"{name}, {split} split" for name, split in map(_of, known)})
    return f"the encoders were trained on {' and '.join(names)}"


def _of(trained: dict[str, Any]) -> tuple[str, str]:
    return str(trained.get("name")), str(trained.get("split"))
