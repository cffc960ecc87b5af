"""Learned rates as densities, one above the other: a row for each tensor, its own height."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .audit_parts import Histogram, RateLayer
from .figure_parts import INK, OFF, ON, QUIET, STEPS, short
from .number_words import percent
from .result import Audit

FloatArray = NDArray[np.float64]

MOST_LAYERS = 24


def drawn_layers(audit: Audit) -> list[RateLayer]:
    """The layers with a histogram, in order; the largest when there are too many."""
    layers = [] if audit.rates is None else [x for x in audit.rates.layers if x.histogram]
    smallest = sorted((x.size for x in layers), reverse=True)[:MOST_LAYERS][-1:]
    return [x for x in layers if x.size >= smallest[0]][:MOST_LAYERS]


def ridge(axis: Axes, layers: Sequence[RateLayer]) -> None:
    """One density per layer, each scaled to its own height, on a common axis of rates."""
    reach = max(_reach(layer) for layer in layers)
    for row, layer in enumerate(layers):
        if layer.histogram is not None and layer.sd and layer.mean is not None:
            _one_density(axis, layer.histogram, row)
            axis.plot([layer.mean] * 2, [row + 0.37, row + 0.49], color=INK, linewidth=1.4)
        else:
            _one_rate(axis, layer.mean or 0.0, row)
        axis.text(1.01, row + 0.2, percent(layer.share_negative), fontsize=8.5, va="center",
                  transform=axis.get_yaxis_transform())  # fmt: skip
    axis.text(1.01, -0.6, "< 0", fontsize=8.5, color=QUIET, va="bottom",
              transform=axis.get_yaxis_transform())  # fmt: skip
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_yticks(np.arange(len(layers)) + 0.2, [short(layer.name) for layer in layers])
    axis.set(ylim=(len(layers) - 0.4, -0.6), xlim=(-reach, reach), xlabel="learned rate")
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    sns.despine(ax=axis, left=True)


def _one_density(axis: Axes, histogram: Histogram, row: int) -> None:
    edges, density = _density(histogram)
    x, y = np.repeat(edges, 2)[1:-1], row + 0.35 - np.repeat(0.8 * density, 2)
    below, above = x <= 0, x >= 0
    axis.fill_between(x[below], y[below], row + 0.35, facecolor=OFF, alpha=0.6, hatch="////",
                      edgecolor="white", linewidth=0)  # fmt: skip
    axis.fill_between(x[above], y[above], row + 0.35, color=ON, alpha=0.25, linewidth=0)
    axis.plot(x, y, color=INK, linewidth=0.7)


def _density(histogram: Histogram) -> tuple[FloatArray, FloatArray]:
    """Edges (B + 1,) and densities (B,) with peak 1.

    The bin around zero is cut at zero; where values are few, neighbouring bins are joined on
    either side of it, so that a small tensor shows its shape and not its single values.
    """
    edges = np.asarray(histogram.edges, dtype=float)
    total = np.concatenate([[0.0], np.cumsum(histogram.counts)])
    few = math.ceil(len(histogram.counts) / max(8, 2 * math.sqrt(total[-1])))
    zero = float(np.clip(0, edges[0], edges[-1]))
    below, above = edges[edges < zero][::-1], edges[edges > zero]
    inner = np.concatenate([below[few - 1 :: few], above[few - 1 :: few]])
    # A sliver left over at an end would show as a spike.
    half = few * (edges[-1] - edges[0]) / len(histogram.counts) / 2
    inner = inner[(inner > edges[0] + half) & (inner < edges[-1] - half)]
    joined = np.unique(np.concatenate([edges[[0, -1]], inner, [zero]]))
    density = np.diff(np.interp(joined, edges, total)) / np.diff(joined)
    return joined, density / max(float(density.max(initial=0)), 1e-300)


def _one_rate(axis: Axes, rate: float, row: int) -> None:
    """A tensor whose rates are all the same: a stem, no density."""
    colour = OFF if rate < 0 else ON
    axis.plot([rate, rate], [row + 0.35, row - 0.2], color=colour, linewidth=1.4)
    axis.plot(rate, row - 0.2, "o", color=colour, markersize=4)
    axis.axhline(row + 0.35, color=INK, linewidth=0.5)


def _reach(layer: RateLayer) -> float:
    """How far from zero 99.8 % of the rates lie."""
    histogram = layer.histogram
    if histogram is None or not layer.sd:
        return 1.5 * max(abs(layer.mean or 0.0), 1e-12)
    edges, counts = np.asarray(histogram.edges), np.asarray(histogram.counts, dtype=float)
    if not counts.sum():
        return float(abs(edges).max())
    share = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    ends = np.interp([0.001, 0.999], share, edges)
    return 1.1 * float(max(abs(ends).max(), 1e-12))
