"""Each measure on features so plain that its value can be worked out by hand.

A case is the arrays, the value, and why. Settings are those of the register, so that what is
checked is the measure as reports and documentation name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[Any]
Case = tuple[tuple[Any, ...], float, str]


def at(*degrees: float) -> Array:
    """Unit rows ``(N, 2)`` at these angles."""
    turned = np.deg2rad(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


HADAMARD = scipy.linalg.hadamard(16)[:, 1:].astype(float)  # centred, orthogonal columns
DESIGNS = HADAMARD[:, :4], HADAMARD[:, 2:6] * [1.0, 2.0, 1.0, 1.0]


def debiased(n: int) -> float:
    """CKA of `DESIGNS` without bias, repeated to n rows: of length² 4 in one and 7 in the other.

    All rows being as far from their mean, the sums that debiasing takes off are plain.
    """
    rest = n / (n - 2) - n / ((n - 1) * (n - 2))
    sums = [n * n * whole - n * a * b * rest for whole, a, b in ((5, 4, 7), (4, 4, 4), (19, 7, 7))]
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def rectangles() -> Case:
    """A rectangle's three ways to pair its corners have a distance each; its median is the longer
    side. Centred and without a diagonal, CKA is the correlation of the two sides' three kernels."""
    x = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    y = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1.5], [0.0, 1.5]])
    one = np.exp(-np.array([1.0, 4.0, 5.0]) / 8)
    two = np.exp(-np.array([9.0, 11.25, 2.25]) / 18)
    return (x, y), float(np.corrcoef(one, two)[0, 1]), "three kernels, correlated"


def lines_of_rows() -> tuple[Array, Array]:
    """Rows whose features, each row's mean taken off, lie at 0°, 10°, 40° and 0°, 10°, −50°."""
    flat = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])
    return at(0, 10, 40) @ flat + 3, at(0, 10, -50) @ flat - 1


def groups() -> tuple[Array, Array]:
    """44 rows in four piles of eleven: in turn on one side, dealt round on the other."""
    return np.eye(4)[np.arange(44) // 11], np.eye(4)[np.arange(44) % 4]


def orthonormal() -> Case:
    """With ``Fᵀ F = I`` the best noise ratio has a closed form, class by class."""
    random = np.random.default_rng(0)
    n, r = 60, 4
    labels = np.arange(n) % 3
    columns = np.eye(3)[labels]
    features = np.linalg.qr(np.hstack([columns, np.ones((n, 1))]) + random.normal(size=(n, r)))[0]
    told = []
    for column in columns.T:
        along = np.square(features.T @ column).sum()
        noise = (column.sum() - along) / (n - r)
        told.append(-(np.log(2 * np.pi * noise) + 1 + r / n * np.log(along / r / noise)) / 2)
    return (features, labels), float(np.mean(told)), "the F ratio of each class's column"


def spectrum(alpha: float) -> Array:
    """Centred rows whose covariance has the eigenvalues ``i ** -alpha``."""
    base = np.random.default_rng(0).normal(size=(200, 60))
    return np.asarray(
        np.linalg.qr(base - base.mean(0))[0] * np.arange(1, 61) ** (-alpha / 2), dtype=float
    )


def corners(d: float) -> Array:
    """Rectangles far from one another, whose sides have the ratios of a cloud of dimension d."""
    n, kept = 40, 36
    heights = -np.log1p(-np.arange(1, kept + 1) / n).reshape(-1, 4).mean(axis=1)
    sides = np.exp(np.append(heights, 2 * heights[-1]) / d)  # the last lies beyond the cut
    found = [
        [(10 * sides.max() * i + x, y) for x in (0.0, 1.0) for y in (0.0, side)]
        for i, side in enumerate(sides)
    ]
    return np.reshape(found, (n, 2))


MOVE = (
    np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]),
    np.array([[0.0, 1.0], [0.0, 5.0], [3.0, 3.0]]),
)
LINE = np.array([[-3.0], [-1], [1], [3]])
FEATURES = np.array([[0.0, 1, 7, -1, 2], [1, 1, 8, 0, 2], [5, 1, 6, 2, 2], [2, 1, 9, 1, 2]])
PAIRED = np.stack([FEATURES[:, 0], 3 - 2 * FEATURES[:, 0], FEATURES[:, 2], FEATURES[:, 2] / 9], 1)
BETWEEN = at(0, 90, 20, 22, 23, 24, 25, 26)


def near(boundary: float, step: float = 0.1) -> tuple[Array, Sequence[str]]:
    """Queries to either side of a boundary in degrees, and one of them told wrong."""
    return at(boundary - step, boundary + step, boundary + step), list("aba")


CASES: dict[str, list[Case]] = {
    "knn": [((at(0, 90), list("ab"), *near(45)), 2 / 3, "the nearer of two")],
    "dino-knn": [
        (
            (
                at(0, *[60] * 19),
                ["a", *"b" * 19],
                *near(30 - np.rad2deg(np.arcsin(0.07 * np.log(19)))),
            ),
            2 / 3,
            "nineteen votes at 60° against one at 0°: cos φ − cos(60° − φ) = T ln 19",
        )
    ],
    "class-mean": [
        (
            (
                [[4.0, 0], [0, 1], [0, 1]],
                list("aab"),
                *near((np.rad2deg(np.arctan(0.25)) + 90) / 2),
            ),
            2 / 3,
            "means at arctan(1/4) and 90°",
        )
    ],
    "nil": [
        (
            (at(0, 90, 90), list("abb"), *near(np.rad2deg(np.arccos(np.log(2) / np.sqrt(2))) - 45)),
            2 / 3,
            "one vote against two: cos φ − sin φ = ln 2",
        )
    ],
    "ridge": [
        (
            ([[0.0], [0], [3]], list("aab"), [[1.583], [1.584], [1.584]], list("aba")),
            2 / 3,
            "weight 2 / (6 + 1), level 1/3 at mean 1: the boundary is 1 + 7/12",
        )
    ],
    "logistic": [
        (
            ([[-2.0], [-1], [1], [2]], list("aabb"), [[-0.1], [0.1], [0.1]], list("aba")),
            2 / 3,
            "by symmetry the boundary is 0, whatever the strength",
        )
    ],
    "leave-one-out": [((at(0, 1, 3, 10, 14), list("aabbb")), 4 / 5, "3° is nearer to 1° than 10°")],
    "silhouette": [
        ((at(0, 180, 90, 90), [0, 0, 1, 1]), 1 / 4, "−1/2 twice, 1 twice"),
    ],
    "class-separation": [((at(0, 90, 0, 0), list("aabb")), 1 / 3, "within 1/4, in all 3/8")],
    "cdnv": [((LINE, [0, 0, 1, 1]), 1 / 16, "spreads 1, gap 4")],
    "nc1": [((LINE, [0, 0, 1, 1]), 1 / 4, "spreads 1 and 1, means 2 from theirs")],
    "logme": [orthonormal()],
    "r-precision": [((at(0, 2, 9, 5, 40), list("aaabb")), 3 / 10, "1/2 thrice of five")],
    "map-at-r": [((at(0, 2, 9, 5, 40), list("aaabb")), 1 / 4, "1/2, 1/2, 1/4 of five")],
    "recall-at-k": [((BETWEEN, list("aabbbbbb")), 3 / 4, "five of b are nearer to either a")],
    "cka": [(DESIGNS, debiased(16), "rows of equal length")],
    "minibatch-cka": [
        (DESIGNS, debiased(16), "one batch"),
        (tuple(np.tile(d, (8, 1)) for d in DESIGNS), debiased(64), "two batches that say the same"),
    ],
    "rbf-cka": [rectangles()],
    "biased-cka": [(DESIGNS, 5 / np.sqrt(4 * 19), "what the spectra share: (1 + 4) / √(4 · 19)")],
    "svcca": [((HADAMARD[:, :3], HADAMARD[:, [0, 1, 7]]), 2 / 3, "correlations 1, 1, 0")],
    "pwcca": [
        ((HADAMARD[:, :3] * [1, 1, 6], HADAMARD[:, [0, 1, 7]]), 2 / 8, "the lost one holds 6 of 8")
    ],
    "procrustes": [
        (
            (HADAMARD[:, :2] * [3, 4], HADAMARD[:, :2]),
            2 - 2 * 7 / (5 * np.sqrt(2)),
            "nuclear norm (3 + 4) / (5 √2)",
        )
    ],
    "rsa": [(lines_of_rows(), 1 / 2, "ranks 1 3 2 and 1 2 3")],
    "rsa-euclidean": [(([[0.0], [1], [3]], [[0.0], [1], [-4]]), 1 / 2, "ranks 1 3 2 and 1 2 3")],
    "mutual-knn": [(groups(), -8 / 121, "2/11 of neighbours kept, where chance keeps 10/43")],
    "drift-cosine": [(MOVE, (1 + np.sqrt(0.5)) / 3, "cosines 0, 1, √½")],
    "drift-change": [(MOVE, np.sqrt(20 / 14), "moved by 20, of length 14, squared")],
    "centroid-shift": [
        (
            (*MOVE, list("aba")),
            (np.hypot(0.5, 2) + 3) / 2 / np.sqrt(22 / 9),
            "means moved by (−1/2, 2) and (0, 3), rows at 22/9, squared",
        )
    ],
    "effective-rank": [((np.diag([2.0, 1, 1]),), 2**1.5, "p = 1/2, 1/4, 1/4")],
    "participation-ratio": [
        ((np.vstack([np.diag([2.0, 1]), -np.diag([2.0, 1])]),), 25 / 17, "λ ∝ 4, 1")
    ],
    "alpha-req": [((spectrum(1.7),), 1.7, "a planted power law")],
    "two-nn": [((corners(2.5),), 2.5, "planted ratios of distances")],
    "dead": [((FEATURES,), 2 / 5, "the second and the last never change")],
    "duplicated": [((PAIRED,), 2 / 4, "the second turns the first, the last shrinks the third")],
}
