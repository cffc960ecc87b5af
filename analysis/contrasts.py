"""Two checkpoints on the same episodes: which one's effect is larger?

    contrast = effect of a − effect of b, episode by episode

for ``meta_init`` (A(θ, T) itself), ``on``, ``off`` and ``interaction``: a difference in
differences; on request for the other two phases as well. "a is significant, b is not" is no such comparison. All contrasts reported together
are one family, and Holm's correction runs over it. One checkpoint per method: this compares
checkpoints, not methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..data.errors import MetaprobeError
from .effects import CI_METHOD, Cells, checked_cells, slot_means
from .statistics import (
    IntArray,
    classes_by_episodes,
    holm,
    minimum_detectable_effect,
    sign_flip_p,
)
from .verdicts import SESOI, Verdict, verdict

Quantity = Literal["meta_init", "on", "off", "interaction", "on_task", "off_task"]
QUANTITIES: tuple[Quantity, ...] = ("meta_init", "on", "off", "interaction")


class EpisodesDiffer(MetaprobeError):
    """Two checkpoints were not measured on the same episodes, so nothing pairs them."""


@dataclass(frozen=True)
class Measured:
    """One checkpoint's correctness bits and the episodes they come from.

    ``cells`` are bits ``(E, W*Q)`` under the four cell names, ``classes_*`` class ids ``(E, W)``.
    """

    name: str
    episodes_sha256: str
    cells: Cells
    classes_on: ArrayLike
    classes_off: ArrayLike


@dataclass(frozen=True)
class Contrast:
    """``a`` minus ``b`` on one quantity, a share, with intervals for new classes and episodes.

    ``p`` belongs to the 95 % interval (below 0.05 where it excludes zero); ``p_holm`` is
    corrected over the family. ``sd`` is over episodes and ``mde`` follows from it. RAISED means
    that ``a`` is higher.
    """

    a: str
    b: str
    quantity: Quantity
    value: float
    ci_low: float
    ci_high: float
    ci90_low: float
    ci90_high: float
    ci_method: str
    n: int
    sd: float
    mde: float
    p: float
    p_holm: float
    p_sign_flip: float
    verdict: Verdict


def contrasts(
    measured: Sequence[Measured],
    *,
    sesoi: float = SESOI,
    seed: int = 0,
    resamples: int = 10_000,
    quantities: Sequence[Quantity] = QUANTITIES,
) -> tuple[Contrast, ...]:
    """Every pair of checkpoints on every quantity, Holm-corrected over all of them.

    Args:
        measured: Two checkpoints or more; earlier minus later.
        sesoi: Smallest difference of interest, a share.
        seed: Of the sign flips.
        resamples: Sign flips.
        quantities: Which to compare; the family is as large as what is asked.

    Raises:
        EpisodesDiffer: Two checkpoints saw different episodes.
        StatisticsError: Bits and classes do not belong together.
    """
    signed = [_signed_bits(one) for one in measured]
    drafts: list[Contrast] = []
    for i, j in combinations(range(len(measured)), 2):
        _check_same_episodes(measured[i], measured[j])
        for quantity in quantities:
            parts = [
                (one - other, classes)
                for (one, classes), (other, _) in zip(
                    signed[i][quantity], signed[j][quantity], strict=True
                )
            ]
            names = (measured[i].name, measured[j].name)
            drafts.append(_contrast(names, quantity, parts, sesoi, seed, resamples))
    corrected = holm([draft.p for draft in drafts])
    return tuple(
        replace(draft, p_holm=float(p)) for draft, p in zip(drafts, corrected, strict=True)
    )


def _signed_bits(one: Measured) -> dict[Quantity, list[tuple[IntArray, IntArray]]]:
    """Each quantity as parts ``(integers (E, W*Q), class ids (E, W))`` that add up to it."""
    bits, classes_on, classes_off = checked_cells(one.cells, one.classes_on, one.classes_off)
    whole = {cell: array.astype(np.int64) for cell, array in bits.items()}
    on = (whole["adapted_on"] - whole["init_on"], classes_on)
    off = (whole["adapted_off"] - whole["init_off"], classes_off)
    return {
        "meta_init": [(whole["init_on"], classes_on)],
        "on": [on],
        "off": [off],
        "interaction": [off, (-on[0], classes_on)],
        "on_task": [(whole["adapted_on"], classes_on)],
        "off_task": [(whole["adapted_off"], classes_off)],
    }


def _contrast(
    names: tuple[str, str],
    quantity: Quantity,
    parts: list[tuple[IntArray, IntArray]],
    sesoi: float,
    seed: int,
    resamples: int,
) -> Contrast:
    total = np.sum([change.sum(axis=1) for change, _ in parts], axis=0)
    differences = total / parts[0][0].shape[1]
    estimate = classes_by_episodes(
        [(slot_means(change, classes.shape[1]), classes) for change, classes in parts]
    )
    ci95, ci90 = estimate.interval(0.95), estimate.interval(0.90)
    sd = float(differences.std(ddof=1)) if np.ptp(differences) > 0 else 0.0
    return Contrast(
        a=names[0],
        b=names[1],
        quantity=quantity,
        value=estimate.value,
        ci_low=ci95.low,
        ci_high=ci95.high,
        ci90_low=ci90.low,
        ci90_high=ci90.high,
        ci_method=CI_METHOD,
        n=len(differences),
        sd=sd,
        mde=minimum_detectable_effect(sd, len(differences)),
        p=estimate.p,
        p_holm=estimate.p,
        p_sign_flip=sign_flip_p(differences, resamples=resamples, seed=seed),
        verdict=verdict(estimate.value, ci95, ci90, sesoi),
    )


def _check_same_episodes(one: Measured, other: Measured) -> None:
    if one.episodes_sha256 != other.episodes_sha256:
        raise EpisodesDiffer(
            f"{one.name} saw episodes {one.episodes_sha256[:12]} and {other.name}"
            f" {other.episodes_sha256[:12]}; measure both with the same data, split, seed and"
            " episode settings",
            code="episodes-differ",
        )
    same = np.array_equal(one.classes_on, other.classes_on) and np.array_equal(
        one.classes_off, other.classes_off
    )
    if not same or np.shape(one.cells["init_on"]) != np.shape(other.cells["init_on"]):
        raise EpisodesDiffer(
            f"{one.name} and {other.name} carry one episode hash but different classes or query"
            " counts; the records are damaged, measure them again",
            code="episodes-damaged",
        )
