"""From correctness bits to effects: paired differences over the same episodes.

    on          = A(θ_T, T) − A(θ, T)
    off         = A(θ_T, T′) − A(θ, T′)
    interaction = off − on, episode by episode

Bits are ``(E, W*Q)`` bool, class-major: column // Q is the position of a query's class among
the W of its task. Nothing else is needed: no features, no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ..probes.phases import CELLS, CellName
from .statistics import (
    Estimate,
    FloatArray,
    IntArray,
    Interval,
    StatisticsError,
    bca_interval,
    classes_by_episodes,
    intervals_agree,
    mcnemar_p,
    minimum_detectable_effect,
    sign_flip_p,
    t_interval,
    wilson_interval,
)
from .verdicts import SESOI, Verdict, episodes_to_resolve, verdict

BitArray = NDArray[np.bool_]
Cells = Mapping[str, ArrayLike] | Mapping[CellName, ArrayLike]

EFFECTS = ("on", "off", "interaction")
CI_METHOD = "t, two-way clustered (classes × episodes)"


@dataclass(frozen=True)
class Share:
    """An accuracy in [0, 1] with its 95 % interval for new classes, over ``n`` episodes."""

    value: float
    ci_low: float
    ci_high: float
    n: int
    queries: int


@dataclass(frozen=True)
class Effect:
    """A paired difference of accuracies (shares), its intervals, tests and verdict.

    Attributes:
        value: Mean over episodes.
        ci_low, ci_high: Headline 95 % interval, for new classes and episodes (``ci_method``).
        ci90_low, ci90_high: The same at 90 %, for equivalence.
        ci_method: How the headline interval was made.
        n: Episodes.
        flip_rate: Share of queries whose correctness changed; for the interaction, of the
            queries of T and T′ together.
        sd: Standard deviation of the difference over episodes.
        se: Standard error behind the headline interval.
        class_se: The part of ``se`` that more episodes over the same classes cannot remove.
        mde: Smallest effect ``n`` episodes detect with 80 % power, two-sided 5 %, from ``sd``:
            for these classes. For new classes it is 2.80 ``se``.
        t_interval, bca_interval: 95 % intervals over episodes, for these classes.
        agree: Whether those two agree; where not, the differences are skewed.
        p_sign_flip: Sign-flip permutation test over episodes.
        mcnemar_p: Exact McNemar test over queries; for the interaction, of flips on T′ against
            flips the other way on T.
        verdict: See :func:`metaprobe.analysis.verdicts.verdict`.
    """

    value: float
    ci_low: float
    ci_high: float
    ci90_low: float
    ci90_high: float
    ci_method: str
    n: int
    flip_rate: float
    sd: float
    se: float
    class_se: float
    mde: float
    t_interval: Interval
    bca_interval: Interval
    agree: bool
    p_sign_flip: float
    mcnemar_p: float
    verdict: Verdict

    def episodes_to_resolve(self, sesoi: float = SESOI) -> int | None:
        """Episodes after which this would not be UNRESOLVED; None if only classes would help."""
        return episodes_to_resolve(self.sd, self.value, sesoi, class_se=self.class_se)


def effects(
    cells: Cells,
    classes_on: ArrayLike,
    classes_off: ArrayLike,
    *,
    sesoi: float = SESOI,
    seed: int = 0,
    resamples: int = 10_000,
) -> dict[str, Effect]:
    """The three effects ``on``, ``off`` and ``interaction``.

    Args:
        cells: Bits ``(E, W*Q)`` under the keys of ``CELLS``.
        classes_on, classes_off: Class ids ``(E, W)`` of T and T′.
        sesoi: Smallest effect of interest, a share.
        seed: Of the bootstrap and the sign flips.
        resamples: Of each.

    Raises:
        StatisticsError: A cell is missing, not bits, or not of the classes' shape; or there are
            fewer than two episodes.
    """
    bits, on, off = checked_cells(cells, classes_on, classes_off)
    changes = {
        name: bits[f"adapted_{name}"].astype(np.int64) - bits[f"init_{name}"]
        for name in ("on", "off")
    }
    parts = {
        "on": [(changes["on"], on)],
        "off": [(changes["off"], off)],
        "interaction": [(changes["off"], off), (-changes["on"], on)],
    }
    return {name: _effect(parts[name], sesoi, seed, resamples) for name in EFFECTS}


def shares(cells: Cells, classes_on: ArrayLike, classes_off: ArrayLike) -> dict[str, Share]:
    """The accuracy of each cell, with its interval for new classes; arguments as in `effects`.

    Wilson's interval at the effective size p(1 − p)/V, V the two-way clustered variance, and
    never more than the number of queries. Where every query is right, or every one wrong,
    nothing shows how far they hang together, and each episode counts once.
    """
    bits, on, off = checked_cells(cells, classes_on, classes_off)
    return {cell: _share(bits[cell], on if cell.endswith("on") else off) for cell in CELLS}


def checked_cells(
    cells: Cells, classes_on: ArrayLike, classes_off: ArrayLike
) -> tuple[dict[str, BitArray], IntArray, IntArray]:
    """Four bit arrays ``(E, W*Q)`` and two class arrays ``(E, W)`` that belong together.

    Raises:
        StatisticsError: They do not.
    """
    on, off = np.asarray(classes_on), np.asarray(classes_off)
    if on.ndim != 2 or on.shape != off.shape or min(on.shape) < 1:
        raise StatisticsError(
            f"class ids {on.shape} and {off.shape} must be two (E, W) arrays of one shape",
            code="classes-mismatch",
        )
    bits: dict[str, BitArray] = {}
    for cell in CELLS:
        if cell not in cells:
            raise StatisticsError(
                f"cell {cell} is missing from {sorted(cells)}; the four cells are"
                f" {', '.join(CELLS)}",
                code="cell-missing",
            )
        array = np.asarray(cells[cell])
        if array.dtype != np.bool_:
            raise StatisticsError(
                f"cell {cell} holds {array.dtype}; correctness bits must be bool",
                code="cells-not-bits",
            )
        bits[cell] = array
    shape = bits["init_on"].shape
    episodes, way = on.shape
    whole = len(shape) == 2 and shape[0] == episodes and shape[1] > 0 and shape[1] % way == 0
    if not whole or any(array.shape != shape for array in bits.values()):
        raise StatisticsError(
            f"cells of shapes {[array.shape for array in bits.values()]} must all be (E, W*Q)"
            f" for the {episodes} episodes of {way} classes given",
            code="cells-mismatch",
        )
    return bits, on.astype(np.int64), off.astype(np.int64)


def slot_means(values: NDArray[np.generic], way: int) -> FloatArray:
    """Means over the Q queries of each class slot: ``(E, W*Q)`` to ``(E, W)``."""
    means = values.reshape(len(values), way, -1).mean(axis=2, dtype=np.float64)
    return np.asarray(means, dtype=np.float64)


def _effect(
    parts: list[tuple[IntArray, IntArray]], sesoi: float, seed: int, resamples: int
) -> Effect:
    """The effect made of ``(changes (E, W*Q) in −1, 0, 1, class ids (E, W))`` added up."""
    # Summed as integers, so that equal differences are equal floats.
    total = np.sum([change.sum(axis=1) for change, _ in parts], axis=0)
    differences = total / parts[0][0].shape[1]
    gained = sum(int(np.count_nonzero(change > 0)) for change, _ in parts)
    lost = sum(int(np.count_nonzero(change < 0)) for change, _ in parts)
    estimate = classes_by_episodes(
        [(slot_means(change, classes.shape[1]), classes) for change, classes in parts]
    )
    sd = float(differences.std(ddof=1)) if np.ptp(differences) > 0 else 0.0
    ci95, ci90 = estimate.interval(0.95), estimate.interval(0.90)
    t = t_interval(differences)
    bca = bca_interval(differences, resamples=resamples, seed=seed)
    return Effect(
        value=estimate.value,
        ci_low=ci95.low,
        ci_high=ci95.high,
        ci90_low=ci90.low,
        ci90_high=ci90.high,
        ci_method=CI_METHOD,
        n=len(differences),
        flip_rate=(gained + lost) / sum(change.size for change, _ in parts),
        sd=sd,
        se=estimate.se,
        class_se=estimate.class_se,
        mde=minimum_detectable_effect(sd, len(differences)),
        t_interval=t,
        bca_interval=bca,
        agree=intervals_agree(t, bca),
        p_sign_flip=sign_flip_p(differences, resamples=resamples, seed=seed),
        mcnemar_p=mcnemar_p(gained, lost),
        verdict=verdict(estimate.value, ci95, ci90, sesoi),
    )


def _share(bits: BitArray, classes: IntArray) -> Share:
    estimate: Estimate = classes_by_episodes([(slot_means(bits, classes.shape[1]), classes)])
    value, variance = float(bits.mean()), estimate.se**2
    if value in (0.0, 1.0):
        size = float(len(bits))
    else:
        size = value * (1 - value) / max(variance, value * (1 - value) / bits.size)
    quantile = float(special.stdtrit(estimate.df, 0.975))
    interval = wilson_interval(value, size, quantile=quantile)
    return Share(value, interval.low, interval.high, n=len(bits), queries=bits.size)
