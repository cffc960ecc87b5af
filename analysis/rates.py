"""The learned rates: how many are negative, and does that make a step go uphill?

"The mean rate is negative" is not "the step climbs the loss": a rate counts by
the gradient it multiplies. So beside mean and share this reports the
first-order change of the support loss ``−Σ α g²``, the cosine of the update
with ``−g`` and the share of ``g²`` under negative rates. A dead rate, whose
gradient is structurally zero (a convolution's bias before batch statistics),
was never trained: it is counted and left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..models.encoder import Encoder
from .audit_parts import Histogram, RateLayer, Rates, RateSummary

DEAD = 1e-12
"""A gradient below this share of the largest, in float64, is zero to rounding."""

BINS = 60


def rates_table(
    encoder: Encoder,
    moved: tuple[str, ...],
    trace: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> Rates | None:
    """The rates of an encoder, tensor by tensor.

    Args:
        encoder: With learned rates; without any, the answer is None.
        moved: Names of the tensors that move, in the order of `trace`.
        trace: ``(E, steps, P, 4)``: sums ``g·Δ``, ``g²``, ``g²`` where uphill, ``Δ²``.
        reach: ``(values,)`` largest absolute gradient of each value, the tensors of `moved`
            flattened one after another.
    """
    if not encoder.rates:
        return None
    sizes = [int(_shape(encoder, name)) for name in moved]
    parts = np.split(reach, np.cumsum(sizes)[:-1])
    top = float(reach.max(initial=0.0))
    layers, everything, alive = [], [], []
    for p, (name, part) in enumerate(zip(moved, parts, strict=True)):
        rate = encoder.rates[name].double().numpy().ravel()
        live = np.broadcast_to(part > DEAD * top, part.shape)
        if rate.size != part.size:  # rates for the whole tensor: dead when all of it is
            live = np.full(rate.shape, live.any())
        summary = _summary(rate, live, trace[:, :, p : p + 1])
        layers.append(
            RateLayer(
                name=name.removeprefix("body."), histogram=_histogram(rate[live]), **dict(summary)
            )
        )
        everything.append(rate)
        alive.append(live)
    overall = _summary(np.concatenate(everything), np.concatenate(alive), trace)
    return Rates(layers=tuple(layers), overall=overall)


def _shape(encoder: Encoder, name: str) -> int:
    return (encoder.params | encoder.head)[name].numel()


def _summary(
    rate: NDArray[np.float64], live: NDArray[np.bool_], trace: NDArray[np.float64]
) -> RateSummary:
    """One line of the table; `trace` is ``(E, steps, P', 4)`` of the tensors it speaks of."""
    kept = rate[live]
    sums = trace.sum(axis=2)  # over tensors: the update is one vector
    along, squared, uphill, moved = (sums[..., i] for i in range(4))
    length = np.sqrt(squared * moved)
    stepped = length > 0
    measured = bool(len(kept)) and bool(stepped.any())
    return RateSummary(
        mean=float(kept.mean()) if len(kept) else None,
        sd=float(kept.std()) if len(kept) else None,
        share_negative=float((kept < 0).mean()) if len(kept) else None,
        dead=int((~live).sum()),
        size=int(rate.size),
        g2_weighted_share_negative=float(uphill.sum() / squared.sum()) if measured else None,
        first_order_change=float(along.sum(axis=1).mean()) if measured else None,
        cosine=float((-along[stepped] / length[stepped]).mean()) if measured else None,
    )


def _histogram(kept: NDArray[np.float64]) -> Histogram | None:
    if not len(kept):
        return None
    counts, edges = np.histogram(kept, bins=BINS)
    return Histogram(edges=tuple(map(float, edges)), counts=tuple(map(int, counts)))
