r"""The shape of a cloud of features, without labels: how many directions does it use?

With ``λ_i`` the eigenvalues of the features' covariance and ``σ_i`` the singular values of the
features themselves, largest first:

| measure | it is | source |
|---|---|---|
| `effective_rank` | ``exp(-Σ p_i ln p_i)``, ``p_i = σ_i / Σ σ + 1e-7`` (RankMe) | Garrido et al. 2023 |
| `participation_ratio` | ``(Σ λ)² / Σ λ²`` | Gao et al. 2017 |
| `alpha_req` | the slope α of ``λ_i ∝ i^-α`` on a stated window of i | Agrawal et al. 2022 |
| `two_nn` | intrinsic dimension from each row's two nearest neighbours | Facco et al. 2017 |
| `dead_share`, `duplicated_share` | features that never change, or repeat another | |

None is good or bad by itself. A rank is at most ``min(N, D)`` and grows with N on one and the
same encoder, so ranks are compared at one N: ``at`` draws that many rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.errors import ProbeError
from ..probes.measure import Change, Measure, centred, matrix
from ..probes.neighbours import nearest_neighbours
from ..probes.rows import Floats

RANKME_EPSILON = 1e-7
_SAME = 1e-6  # of the largest range a feature has: one that varies less is dead
_POSITIVE = 1e-12  # of the largest eigenvalue: one below is rounding


def effective_rank(features: ArrayLike, at: int | None = None, seed: int = 0) -> float:
    """RankMe: the exponential of the entropy of the singular values, features not centred.

    Args:
        features: ``(N, D)``.
        at: Rows to draw, so that encoders are compared at one N; None takes all.
        seed: Of the draw.

    Returns:
        From 1 to ``min(N, D)``.

    Raises:
        ProbeError: ``at``, ``constant`` (zero throughout), or as `matrix`.
    """
    rows = _drawn(matrix(features), at, seed)
    peak = np.abs(rows).max()
    if peak == 0:
        raise ProbeError("the features are zero throughout: they have no rank", code="constant")
    sizes = np.linalg.svd(rows / np.float64(peak), compute_uv=False)
    p = sizes / sizes.sum() + RANKME_EPSILON
    return max(1.0, float(np.exp(-(p * np.log(p)).sum())))


def participation_ratio(features: ArrayLike) -> float:
    """How many directions share the variance: D for equal ones, 1 for a line.

    Args:
        features: ``(N, D)`` with N of 2 or more.

    Raises:
        ProbeError: ``constant``, or as `matrix`.
    """
    rows = centred(matrix(features, least=2))  # of Frobenius norm 1, so Σ λ is 1
    product = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    return float(1 / np.square(product).sum())


def alpha_req(features: ArrayLike, window: tuple[int, int] = (3, 50)) -> float:
    """How fast the covariance's spectrum decays: α in ``λ_i ∝ i^-α``.

    A line through ``(log i, log λ_i)`` with weights ``1 / i``. The literature's windows differ
    (3-50, 5-50, 11-100) and so do its values: state yours.

    Args:
        features: ``(N, D)``.
        window: First and last index i, counted from 1.

    Returns:
        0 for equal eigenvalues; about 1 where each octave of directions holds the same.

    Raises:
        ProbeError: ``window`` (also where fewer eigenvalues than its end are above 0),
            ``constant``, or as `matrix`.
    """
    first, last = window
    if not 1 <= first < last:
        raise ProbeError(
            f"window {window}; give a first index of 1 or more, then a later one", code="window"
        )
    values = np.square(np.linalg.svd(centred(matrix(features, least=2)), compute_uv=False))
    count = int((values > _POSITIVE * values[0]).sum())
    if count < last:
        raise ProbeError(
            f"the window ends at eigenvalue {last}, and only {count} are above 0; "
            "choose an earlier end, or give more rows",
            code="window",
        )
    index = np.arange(first, last + 1)
    x, y, weights = np.log(index), np.log(values[first - 1 : last]), 1 / index
    weights /= weights.sum()
    x = x - weights @ x
    return float(-(weights * x) @ y / ((weights * x) @ x))


def two_nn(features: ArrayLike, discard: float = 0.1) -> float:
    """Intrinsic dimension from the ratio of each row's second to its first distance.

    Where density hardly changes between the two, the ratio μ has ``F(μ) = 1 - μ^-d``; d is the
    slope through the origin of ``-log(1 - F)`` on ``log μ``. Rows that repeat another are
    left out (their first distance is 0).

    Args:
        features: ``(N, D)`` with 10 or more different rows.
        discard: Share of the largest ratios to leave out, as they sit in thin places.

    Raises:
        ProbeError: ``discard``, ``too-few-rows``, ``equidistant`` (all ratios are 1), or as
            `matrix`.
    """
    if not 0 < discard < 1:
        raise ProbeError(f"discard {discard}; give a share between 0 and 1", code="discard")
    rows = matrix(features)
    peak = np.ldexp(1.0, np.frexp(np.abs(rows).max())[1])  # a power of two rounds nothing
    rows = np.unique(rows / peak, axis=0)
    if len(rows) < 10:
        raise ProbeError(f"{len(rows)} different rows; 10 or more are needed", code="too-few-rows")
    ids = np.arange(len(rows))
    near = nearest_neighbours(rows, rows, 2, metric="euclidean", gallery_ids=ids, query_ids=ids)
    ratios = np.sort(near.distances[:, 1] / near.distances[:, 0])
    kept = np.log(ratios[: int(len(rows) * (1 - discard))])
    if not kept.any():
        raise ProbeError(
            "each row's two nearest neighbours are equally far, as on a grid, so the dimension "
            "is undefined",
            code="equidistant",
        )
    height = -np.log1p(-np.arange(1, len(kept) + 1) / len(rows))
    return float(kept @ height / (kept @ kept))


def dead_share(features: ArrayLike) -> float:
    """Share of features that are the same in every row (to 1e-6 of the largest range).

    Args:
        features: ``(N, D)`` with N of 2 or more.

    Raises:
        ProbeError: As `matrix`.
    """
    return float((~_alive(matrix(features, least=2))).mean())


def duplicated_share(features: ArrayLike, within: float = 1e-6) -> float:
    """Share of features that an earlier one repeats, up to scale, sign and shift.

    Args:
        features: ``(N, D)`` with N of 3 or more (any two features of two rows correlate).
        within: How near to 1 the absolute correlation must be.

    Returns:
        In [0, 1); dead features repeat nothing.

    Raises:
        ProbeError: As `matrix`.
    """
    rows = matrix(features, least=3)
    alive = rows[:, _alive(rows)].astype(np.float64)
    alive -= alive.mean(axis=0)
    alive /= np.abs(alive).max(axis=0)
    alive /= np.linalg.norm(alive, axis=0)
    repeated = 0
    for start in range(0, alive.shape[1], 1024):
        block = alive[:, start : start + 1024]
        like = np.abs(alive[:, : start + block.shape[1]].T @ block) >= 1 - within
        earlier = np.arange(len(like))[:, None] < np.arange(start, len(like))
        repeated += int((like & earlier).any(axis=0).sum())
    return float(repeated / rows.shape[1])


def _alive(rows: NDArray[Any]) -> NDArray[np.bool_]:
    ranges = np.ptp(rows, axis=0)
    return np.asarray(ranges > _SAME * ranges.max())


def _drawn(rows: NDArray[Any], at: int | None, seed: int) -> Floats | NDArray[Any]:
    if at is None:
        return rows
    if not 1 <= at <= len(rows):
        raise ProbeError(
            f"at={at} of {len(rows)} rows; choose 1 to {len(rows)}, the same for all encoders",
            code="at",
        )
    return rows[np.random.default_rng(seed).choice(len(rows), at, replace=False)]


_ROWS = ("features (N, D)",)
_RIGID: frozenset[Change] = frozenset({"permutation", "rotation", "scale", "shift"})
_AXES: frozenset[Change] = frozenset({"permutation", "scale", "shift"})

_ALL = (
    Measure(
        name="effective-rank",
        title="Effective rank (RankMe)",
        kind="geometry",
        function=effective_rank,
        takes=_ROWS,
        direction="neither",
        low=1,
        high=float("inf"),
        invariant_to=frozenset({"permutation", "rotation", "scale"}),
        cost="O(N D min(N, D))",
        source="Garrido et al. 2023",
        misleads="N differs: it is at most min(N, D) and grows with N, so fix `at`; features are "
        "not centred, so a large mean lowers it",
    ),
    Measure(
        name="participation-ratio",
        title="Participation ratio",
        kind="geometry",
        function=participation_ratio,
        takes=_ROWS,
        direction="neither",
        low=1,
        high=float("inf"),
        invariant_to=_RIGID,
        cost="O(N D min(N, D))",
        source="Gao et al. 2017",
        misleads="a few directions hold most variance: it counts those alone",
    ),
    Measure(
        name="alpha-req",
        title="α-ReQ (indices 3-50)",
        kind="geometry",
        function=alpha_req,
        takes=_ROWS,
        direction="neither",
        low=0,
        high=float("inf"),
        invariant_to=_RIGID,
        cost="O(N D min(N, D))",
        source="Agrawal et al. 2022",
        misleads="windows differ between papers; with few rows the tail is sampling noise",
    ),
    Measure(
        name="two-nn",
        title="Intrinsic dimension (TwoNN)",
        kind="geometry",
        function=two_nn,
        takes=_ROWS,
        direction="neither",
        low=0,
        high=float("inf"),
        invariant_to=_RIGID,
        cost="O(N² D)",
        source="Facco et al. 2017",
        misleads="the dimension is high: 40 reads as 24 to 27 at some thousand rows",
    ),
    Measure(
        name="dead",
        title="Dead features (share)",
        kind="geometry",
        function=dead_share,
        takes=_ROWS,
        direction="neither",
        low=0,
        high=1,
        invariant_to=_AXES,
        cost="O(N D)",
        source="—",
        misleads="few rows: a feature that fires rarely looks dead",
    ),
    Measure(
        name="duplicated",
        title="Duplicated features (share)",
        kind="geometry",
        function=duplicated_share,
        takes=_ROWS,
        direction="neither",
        low=0,
        high=1,
        invariant_to=_AXES,
        cost="O(N D²)",
        source="—",
        misleads="few rows: features that seldom fire correlate by chance",
    ),
)

MEASURES = {measure.name: measure for measure in _ALL}
