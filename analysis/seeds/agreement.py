"""How far runs agree on the signs of their rates, as one number a run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ...models.encoder import Encoder
from ..sections.reliability import agreement, start_of
from ..statistics import FloatArray


def agreements(encoders: Sequence[Encoder]) -> FloatArray:
    """Jackknife pseudo-values ``(S,)`` of the mean agreement of pairs beyond chance.

    Their mean is the mean over pairs, and their spread that of a U-statistic over runs (Arvesen
    1969): pairs that share a run are not independent.
    """
    names = [n for n, r in encoders[0].rates.items() if r.numel() > 1]
    pairs = list(combinations(range(len(encoders)), 2))
    found = np.array([agreement(encoders[a], encoders[b], names) for a, b in pairs])
    many = len(encoders)
    without = [
        np.mean([x for x, pair in zip(found, pairs, strict=True) if run not in pair])
        for run in range(many)
    ]
    return np.asarray(many * found.mean() - (many - 1) * np.array(without))


def of_one_start(encoders: Sequence[Encoder]) -> list[Encoder]:
    """The largest group of runs that share their first weights."""
    starts = [start_of(e) for e in encoders]
    known = [s for s in starts if s is not None]
    if not known:
        return []
    most = max(dict.fromkeys(known), key=known.count)
    return [e for e, s in zip(encoders, starts, strict=True) if s == most]
