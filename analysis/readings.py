"""From correctness bits to cells, effects and verdicts: no model, no images.

Bits ``(E, W * Q)`` and the classes of every episode are all that is needed, so
an audit that keeps them can be read again (`reread`) and checked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..probes.cells import Bits
from ..probes.phases import CELLS, CellName
from . import audit_parts as parts
from .effects import Effect, effects, shares
from .planning import AuditSettings
from .result import Audit
from .verdicts import OPEN


def reading(
    bits: Mapping[CellName, Bits], episodes: EpisodeList, asked: AuditSettings
) -> parts.Reading:
    """Cells, phases and effects from bits."""
    return _reading(
        {str(c): b for c, b in bits.items()},
        episodes.on.classes,
        apart(episodes),
        asked.sesoi,
        asked.seed,
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
    return f"{said}: {OPEN}{more} would settle it."


def cells_with_intervals(bits: Mapping[CellName, Bits], episodes: EpisodeList) -> parts.Cells:
    """The four accuracies with intervals for new classes."""
    return _cells({str(c): b for c, b in bits.items()}, episodes.on.classes, apart(episodes))


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


def share(bits: Bits, episodes: EpisodeList) -> parts.Share:
    """One accuracy on T with its interval."""
    s = shares(dict.fromkeys(CELLS, bits), episodes.on.classes, episodes.on.classes)["init_on"]
    return parts.Share(value=s.value, ci_low=s.ci_low, ci_high=s.ci_high, n=s.n)


def interval(bits: Bits, episodes: EpisodeList) -> parts.Interval:
    """The same without its count."""
    s = share(bits, episodes)
    return parts.Interval(value=s.value, ci_low=s.ci_low, ci_high=s.ci_high)


def differences(after: Bits, before: Bits) -> tuple[float, ...]:
    """Change of accuracy, episode by episode."""
    return tuple(map(float, after.mean(axis=1) - before.mean(axis=1)))


def apart(episodes: EpisodeList) -> NDArray[np.int64]:
    """Class ids of T′; shifted when they are another dataset's, for they are other classes."""
    same = episodes.fingerprints[0] == episodes.fingerprints[1]
    return episodes.off.classes if same else episodes.off.classes + 10**6
