r"""Centred kernel alignment: do two encoders find the same images similar?

With Gram matrices ``K = X Xᵀ`` and ``L = Y Yᵀ`` of ``N`` rows,

.. math:: \mathrm{CKA} = \mathrm{HSIC}(K, L) / \sqrt{\mathrm{HSIC}(K, K)\,\mathrm{HSIC}(L, L)}

Kornblith et al. (2019), https://arxiv.org/abs/1905.00414. HSIC here is the unbiased estimate
of Song et al. (2012), whose mean is 0 for unrelated features; it is the inner product of
Gram matrices centred off the diagonal (Székely & Rizzo 2014), so the ratio stays in [-1, 1].
The usual plug-in estimate is near 1 for *unrelated* features once ``D`` nears ``N``:
`biased_cka` is here to show that.

Two routes to one number. With few rows, Gram matrices; with many, feature space in blocks of
rows and ``O(D²)`` memory, where HSIC needs only sums over rows (`streamed`):

.. math:: \|X^\top Y\|_F^2 - \tfrac{N}{N-2} k \cdot l + \tfrac{\sum k \sum l}{(N-1)(N-2)},
          \quad k_i = \|x_i\|^2,\ l_i = \|y_i\|^2, \quad X, Y \text{ centred}
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist, squareform

from ...data.errors import ProbeError
from ...probes.measure import centred, matrix
from ...probes.rows import Floats, Integers
from .pairs import centred_sides, sides
from .streamed import Precision, Products, hsic

_GRAM = 1 << 26  # numbers in all Gram matrices held at once (512 MiB)
_NOTHING = 1e-13  # of its plug-in value: an unbiased HSIC below is rounding


def cka(x: ArrayLike, y: ArrayLike) -> float:
    """Debiased linear CKA.

    Args:
        x: ``(N, D)`` with N of 4 or more.
        y: ``(N, E)``, the same samples.

    Returns:
        In [-1, 1], higher is more alike; 0 on average for unrelated features.

    Raises:
        ProbeError: ``too-few-rows``, ``constant``, ``equidistant`` (all rows are equally
            far apart, so no pair is nearer than another), or as `pairs.sides`.
    """
    one, two = sides(x, y, 4)
    return float(cka_matrix([one], [two])[0, 0])


def cka_matrix(
    xs: Sequence[ArrayLike],
    ys: Sequence[ArrayLike] | None = None,
    *,
    precision: Precision = "double",
) -> Floats:
    """Debiased linear CKA of every layer with every other, each layer's own product made once.

    Args:
        xs: L layers ``(N, D_l)`` of the same N rows.
        ys: M layers, or None for `xs` again (then half of the products are spared).
        precision: Of the products where rows are many (see `streamed`).

    Returns:
        ``(L, M)``.

    Raises:
        ProbeError: ``empty``, ``precision``, or as `cka`.
    """
    own = ys is None
    left = [matrix(x, f"xs[{i}]", 4) for i, x in enumerate(xs)]
    right = left if ys is None else [matrix(y, f"ys[{j}]", 4) for j, y in enumerate(ys)]
    if not left or not right:
        raise ProbeError("no layers to compare; give one on either side", code="empty")
    rows = {len(layer) for layer in [*left, *right]}
    if len(rows) > 1:
        raise ProbeError(
            f"layers of {', '.join(map(str, sorted(rows)))} rows; "
            "row i of all must be the same sample",
            code="rows",
        )
    [n] = rows
    layers = left if own else [*left, *right]
    if _gram_is_cheaper(n, [layer.shape[1] for layer in left], [y.shape[1] for y in right]):
        grams = [off_centred(gram(layer, "a layer")) for layer in layers]
        flat = np.stack([_unit(g, n) for g in grams])
        a, b = flat[: len(left)], flat if own else flat[len(left) :]
        return np.asarray(np.clip(a @ b.T, -1.0, 1.0))
    products = Products.of(left, None if own else right, precision)
    products.add(left, None if own else right)
    return products.cka()


def _gram_is_cheaper(n: int, d: list[int], e: list[int]) -> bool:
    grams = n * n * (sum(d) + sum(e) + len(d) * len(e))
    products = n * (sum(w * w for w in [*d, *e]) + sum(d) * sum(e))
    return grams < products and n * n * (len(d) + len(e)) <= _GRAM


def _unit(gram: Floats, n: int) -> Floats:
    """A Gram matrix as a flat vector of length 1."""
    length = float(np.linalg.norm(gram))
    if length * length <= _NOTHING * n * n:
        raise _equidistant()
    return np.asarray(gram.ravel() / length)


def gram(rows: Floats, what: str = "x") -> Floats:
    """``(N, N)`` inner products of centred rows, whose trace is N."""
    moved = centred(rows, what)
    return np.asarray(moved @ moved.T) * len(moved)


def off_centred(gram: Floats) -> Floats:
    """A Gram matrix centred off its diagonal, which is set to 0 (Székely & Rizzo 2014).

    Rows and columns then sum to 0; the mean product of two such matrices, times
    ``N / (N - 3)``, is the unbiased HSIC.
    """
    n = len(gram)
    out = gram.copy()
    np.fill_diagonal(out, 0.0)
    sums = out.sum(axis=0) / (n - 2)
    out -= sums
    out -= sums[:, None]
    out += sums.sum() / (n - 1)
    np.fill_diagonal(out, 0.0)
    return out


def _reordered(one: Floats, two: Floats, orders: Integers) -> Floats:
    """CKA of two centred Gram matrices, the rows of the second in each of these orders."""
    n = len(one)
    a, b = (_unit(matrix, n).reshape(n, n) for matrix in (one, two))
    found = [float(np.vdot(a, b[np.ix_(o, o)])) for o in orders]
    return np.asarray(np.clip(found, -1.0, 1.0))


def cka_reordered(x: ArrayLike, y: ArrayLike, orders: Integers) -> Floats:
    """`cka` of ``x`` and ``y[order]`` for each order ``(R, N)``, with one product of each side."""
    one, two = sides(x, y, 4)
    n, (d, e) = len(one), (one.shape[1], two.shape[1])
    if n * n * 2 <= _GRAM and n * n < n * d * e:
        return _reordered(off_centred(gram(one, "x")), off_centred(gram(two, "y")), orders)
    x0, y0 = centred(one, "x"), centred(two, "y")
    size = np.sqrt(hsic(x0, x0) * hsic(y0, y0))
    return np.asarray(np.clip([hsic(x0, y0[o]) / size for o in orders], -1.0, 1.0))


def biased_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear CKA by the plug-in estimate: shown only because it misleads.

    Independent Gaussian features of 75 rows and 1600 columns score 0.95.

    Returns:
        In [0, 1].

    Raises:
        ProbeError: ``constant``, or as `pairs.sides`.
    """
    one, two = centred_sides(x, y)
    if len(one) < min(one.shape[1], two.shape[1]):
        one, two = one @ one.T, two @ two.T
        return float(np.vdot(one, two) / (np.linalg.norm(one) * np.linalg.norm(two)))
    shared = np.linalg.norm(one.T @ two) ** 2
    return float(shared / (np.linalg.norm(one.T @ one) * np.linalg.norm(two.T @ two)))


def minibatch_cka(x: ArrayLike, y: ArrayLike, batch: int = 64) -> float:
    """Debiased linear CKA from batches of rows: HSICs are averaged, then divided.

    Each batch gives an unbiased HSIC, whatever its size; they are weighted by rows. Ratios
    are never averaged (Nguyen et al. 2021, https://arxiv.org/abs/2010.15327). Rows of
    different batches are not compared: what the batches have in common is not seen.

    Args:
        x: ``(N, D)``, cut into batches as it stands.
        y: ``(N, E)``.
        batch: Rows of each, 4 or more; a last one of fewer than 4 is left out.

    Raises:
        ProbeError: ``batch``, ``constant`` (in every batch), or as `cka`.
    """
    if batch < 4:
        raise ProbeError(f"batches of {batch} rows; 4 or more are needed", code="batch")
    one, two = centred_sides(x, y, 4)
    found, plain = np.zeros(3), np.zeros(2)
    for start in range(0, len(one) - 3, batch):
        a, b = (s[start : start + batch] - s[start : start + batch].mean(0) for s in (one, two))
        weight = 1 / (len(a) - 3)  # N of the unbiased HSIC, N (N - 3) of which is `hsic`
        found += weight * np.array([hsic(a, b), hsic(a, a), hsic(b, b)])
        plain += weight * np.array([np.vdot(s, s) ** 2 for s in (a, b)])
    if (found[1:] <= _NOTHING * plain).any() or plain.min() < _NOTHING**2:
        raise ProbeError(
            "within every batch all rows are the same or equally far apart, so CKA is undefined",
            code="constant",
        )
    return float(np.clip(found[0] / np.sqrt(found[1] * found[2]), -1.0, 1.0))


def rbf_cka(x: ArrayLike, y: ArrayLike, width: float = 1.0) -> float:
    """Debiased CKA with Gaussian kernels ``exp(-d² / 2σ²)``: nearby pairs count most.

    Args:
        x: ``(N, D)`` with N of 4 or more.
        y: ``(N, E)``.
        width: σ, in units of the median distance between two rows of that side.

    Raises:
        ProbeError: ``width``, ``constant`` (most rows are the same), ``equidistant``, or as
            `cka`.
    """
    one, two = sides(x, y, 4)
    as_is = np.arange(len(one))[None]
    return float(_reordered(_gaussian(one, "x", width), _gaussian(two, "y", width), as_is)[0])


def rbf_cka_reordered(x: ArrayLike, y: ArrayLike, orders: Integers, width: float = 1.0) -> Floats:
    """`rbf_cka` of ``x`` and ``y[order]`` for each order ``(R, N)``."""
    one, two = sides(x, y, 4)
    return _reordered(_gaussian(one, "x", width), _gaussian(two, "y", width), orders)


def _gaussian(rows: Floats, what: str, width: float) -> Floats:
    if not (np.isfinite(width) and width > 0):
        raise ProbeError(f"width {width}; give a number above 0", code="width")
    squares = pdist(centred(rows, what), "sqeuclidean")
    middle = float(np.median(np.sqrt(squares))) ** 2
    if middle == 0:
        raise ProbeError(
            f"{what}: most rows are the same, so their median distance is 0 and the kernel has "
            "no width",
            code="constant",
        )
    return off_centred(squareform(np.exp(-squares / (2 * width * width * middle))))


def _equidistant() -> ProbeError:
    return ProbeError(
        "all rows are equally far apart, so no pair is more alike than another and CKA is "
        "undefined",
        code="equidistant",
    )
