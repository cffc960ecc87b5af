"""The measures' numbers: other people's code, the bare formula, and closed forms."""

import tracemalloc
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from sklearn.cross_decomposition import CCA
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from metaprobe.analysis.similarity import (
    Products,
    biased_cka,
    canonical_correlations,
    centroid_shifts,
    cka,
    cka_matrix,
    drift_change,
    drift_cosine,
    minibatch_cka,
    mutual_knn,
    procrustes,
    pwcca,
    rbf_cka,
    rsa,
    svcca,
)
from metaprobe.data.errors import ProbeError

Array = NDArray[Any]


def two(n: int, d: int, e: int, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, d)) + 3
    return x, np.tanh(x @ random.normal(size=(d, e))) + random.normal(size=(n, e))


def song(k: Array, l: Array) -> float:  # noqa: E741
    """The unbiased HSIC as it is defined: a mean over all quadruples of different rows."""
    n = len(k)
    total = sum(
        k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in permutations(range(n), 4)
    )
    return float(total / (n * (n - 1) * (n - 2) * (n - 3)))


@pytest.mark.parametrize(("d", "e"), [(2, 3), (20, 3), (20, 30)])
def test_cka_is_the_mean_over_all_quadruples_of_rows(d: int, e: int) -> None:
    x, y = two(8, d, e)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    wanted = song(k, l) / np.sqrt(song(k, k) * song(l, l))
    assert cka(x, y) == pytest.approx(wanted, abs=1e-12)
    k, l = (rbf_kernel(z, gamma=0.5 / np.median(pdist(z)) ** 2) for z in (x, y))  # noqa: E741
    wanted = song(k, l) / np.sqrt(song(k, k) * song(l, l))
    assert rbf_cka(x, y) == pytest.approx(wanted, abs=1e-12)


def test_minibatch_cka_averages_the_parts_before_it_divides() -> None:
    x, y = two(19, 4, 5)
    for batch in (8, 6):  # of 8, 8 and three too few; of 6, 6, 6 and one too few
        check_minibatch(x, y, batch, [batch] * (19 // batch))
    x, y = two(21, 4, 5)
    check_minibatch(x, y, 8, [8, 8, 5])  # the last one counts by its rows
    assert minibatch_cka(x, y, batch=21) == pytest.approx(cka(x, y), abs=1e-12)


def check_minibatch(x: Array, y: Array, batch: int, sizes: list[int]) -> None:
    sums, start = np.zeros(3), 0
    for size in sizes:
        k, l = (z[start : start + size] @ z[start : start + size].T for z in (x, y))  # noqa: E741
        sums += size * np.array([song(k, l), song(k, k), song(l, l)])
        start += size
    wanted = sums[0] / np.sqrt(sums[1] * sums[2])
    assert minibatch_cka(x, y, batch=batch) == pytest.approx(wanted, abs=1e-12)


def test_cka_of_diagonal_designs_has_a_closed_form() -> None:
    """Uncorrelated, standardised features: biased CKA is what the spectra share."""
    n = 8
    hadamard = scipy.linalg.hadamard(n)[:, 1:].astype(float)  # centred, orthogonal columns
    x, y = hadamard[:, :4], hadamard[:, 2:6] * [1.0, 2.0, 1.0, 1.0]
    assert biased_cka(x, y) == pytest.approx((1 + 4) / np.sqrt(4 * (1 + 16 + 1 + 1)))
    # Every row is of length² 4 in x and 7 in y: the debiased sums follow.
    shared, own_x, own_y = n * n * 5.0, n * n * 4.0, n * n * 19.0
    less = [
        n * a * b * (n / (n - 2) - n / ((n - 1) * (n - 2))) for a, b in ((4, 7), (4, 4), (7, 7))
    ]
    wanted = (shared - less[0]) / np.sqrt((own_x - less[1]) * (own_y - less[2]))
    assert cka(x, y) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_rows_in_blocks_give_what_all_rows_at_once_give(offset: float) -> None:
    x, y = two(300, 7, 12)
    x, y = x + offset, y - offset
    products = Products.of([x, y], [y])
    for rows in np.array_split(np.arange(300), [1, 2, 50, 50, 299]):
        products.add([x[rows], y[rows]], [y[rows]])
    k, l = (z - z.mean(0) for z in (x, y))  # noqa: E741
    gram = _gram_cka(k @ k.T, l @ l.T)
    assert products.rows == 300
    np.testing.assert_allclose(products.cka(), [[gram], [1.0]], atol=1e-9)
    np.testing.assert_allclose(cka_matrix([x, y]), [[1, gram], [gram, 1]], atol=1e-9)


def _gram_cka(k: Array, l: Array) -> float:  # noqa: E741
    """The estimate written out with Gram matrices (Song et al. 2012, equation 5)."""

    def h(a: Array, b: Array) -> float:
        n = len(a)
        a, b = (m - np.diag(np.diag(m)) for m in (a, b))
        one = np.ones(n)
        first = np.trace(a @ b) + one @ a @ one * (one @ b @ one) / ((n - 1) * (n - 2))
        return float(first - 2 / (n - 2) * (one @ a @ b @ one))

    return float(h(k, l) / np.sqrt(h(k, k) * h(l, l)))


@pytest.mark.parametrize("n", [40, 3000])  # by Gram matrices, and in feature space
def test_a_matrix_of_cka_is_its_entries(n: int) -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(n, 20))
    xs = [base @ random.normal(size=(20, d)) + random.normal(size=(n, d)) for d in (8, 20, 33)]
    ys = [xs[0] + random.normal(size=(n, 8)), random.normal(size=(n, 5))]
    np.testing.assert_allclose(
        cka_matrix(xs, ys), [[cka(x, y) for y in ys] for x in xs], atol=1e-10
    )
    own = cka_matrix(xs)
    np.testing.assert_allclose(own, own.T, atol=0)
    np.testing.assert_allclose(own, cka_matrix(xs, xs), atol=1e-10)
    np.testing.assert_allclose(np.diag(own), 1, atol=1e-10)


def test_products_in_float32_are_as_good_as_it_takes() -> None:
    random = np.random.default_rng(0)
    x = (np.maximum(random.normal(size=(9000, 40)), 0) + 1).astype(np.float32)
    y = (x + random.normal(size=x.shape)).astype(np.float32)
    exact = cka_matrix([x, y])
    np.testing.assert_allclose(cka_matrix([x, y], precision="single"), exact, atol=1e-6)
    with pytest.raises(ProbeError, match="choose 'double' or 'single'"):
        cka_matrix([x, y], precision="half")  # type: ignore[arg-type]


def test_rows_that_come_in_blocks_take_the_memory_of_one_block() -> None:
    random = np.random.default_rng(0)
    products = Products.of([np.empty((0, 50))], [np.empty((0, 50))])
    tracemalloc.start()
    for _ in range(20):
        block = random.normal(size=(4096, 50))
        products.add([block], [block + random.normal(size=block.shape)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert products.rows == 20 * 4096
    assert peak < 6 * 4096 * 50 * 8  # of 40 blocks seen
    assert products.cka()[0, 0] == pytest.approx(0.5, abs=0.02)


def test_canonical_correlations_are_scipys_angles_and_scikit_learns_scores() -> None:
    x, y = two(120, 5, 3)
    angles = scipy.linalg.subspace_angles(x - x.mean(0), y - y.mean(0))
    found = canonical_correlations(x, y)
    np.testing.assert_allclose(found, np.sort(np.cos(angles))[::-1], atol=1e-12)
    a, b = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(x, y)
    theirs = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found, theirs, atol=1e-5)
    assert svcca(x, y, keep=1) == pytest.approx(found.mean(), abs=1e-12)


def test_correlations_of_shared_directions_are_one_and_of_others_nothing() -> None:
    hadamard = scipy.linalg.hadamard(16)[:, 1:].astype(float)  # centred, orthogonal columns
    x, y = hadamard[:, :3], hadamard[:, [0, 1, 7]]
    np.testing.assert_allclose(canonical_correlations(x, y), [1, 1, 0], atol=1e-12)
    assert svcca(x, y, keep=1) == pytest.approx(2 / 3)
    assert pwcca(x, y) == pytest.approx(2 / 3)  # each column holds a third of x
    assert pwcca(x * [1, 1, 6], y) == pytest.approx(2 / 8)  # here the lost one holds 6 of 8


def test_svcca_drops_the_directions_with_little_variance() -> None:
    random = np.random.default_rng(0)
    signal = np.linalg.qr(random.normal(size=(400, 3)))[0] * 20
    x = np.hstack([signal, 0.01 * random.normal(size=(400, 10))])
    y = np.hstack([signal @ random.normal(size=(3, 3)), 0.01 * random.normal(size=(400, 10))])
    assert svcca(x, y) == pytest.approx(1, abs=1e-4)
    assert svcca(x, y, keep=1) < 0.5


# the second keeps directions too small for the covariance's eigenvectors
@pytest.mark.parametrize(("decay", "keep"), [(0.2, 0.99), (4.0, 1 - 1e-9)])
def test_the_quick_way_to_svcca_is_the_plain_one(decay: float, keep: float) -> None:
    random = np.random.default_rng(0)
    scales = np.arange(1, 41) ** -decay
    x = random.normal(size=(900, 40)) * scales
    y = x + random.normal(size=x.shape) * scales[::-1]
    kept = []
    for z in (x, y):
        u, s, _ = np.linalg.svd(z - z.mean(0), full_matrices=False)
        kept.append(u[:, : int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), keep)) + 1])
    wanted = np.cos(scipy.linalg.subspace_angles(*kept)).mean()
    assert svcca(x, y, keep) == pytest.approx(wanted, abs=1e-9)


def test_pwcca_is_the_weighted_mean_of_morcos_and_others() -> None:
    x, y = two(90, 4, 6)
    x, y = x - x.mean(0), y - y.mean(0)
    # From the covariances, as an eigenproblem; ours goes by orthonormal bases.
    xx, yy, xy = x.T @ x, y.T @ y, x.T @ y
    values, vectors = scipy.linalg.eigh(xy @ np.linalg.solve(yy, xy.T), xx)
    h = x @ vectors
    h /= np.linalg.norm(h, axis=0)
    weights = np.array([sum(abs(h[:, i] @ x[:, j]) for j in range(4)) for i in range(4)])
    wanted = weights @ np.sqrt(values) / weights.sum()
    assert pwcca(x, y) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("d", "e"), [(6, 6), (6, 4), (80, 80), (80, 5)])
def test_procrustes_is_scipys(d: int, e: int) -> None:
    x, y = two(50, d, e)
    wide = max(d, e)
    padded = [np.pad(z, ((0, 0), (0, wide - z.shape[1]))) for z in (x, y)]
    _, _, left = scipy.spatial.procrustes(*padded)  # which also scales: 1 - (nuclear norm)²
    assert procrustes(x, y) == pytest.approx(2 - 2 * np.sqrt(1 - left), abs=1e-9)
    a, b = (z - z.mean(0) for z in padded)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    turn, _ = scipy.linalg.orthogonal_procrustes(a, b)
    assert procrustes(x, y) == pytest.approx(np.linalg.norm(a @ turn - b) ** 2, abs=1e-9)


def test_procrustes_of_orthogonal_features_is_two_and_its_root_is_a_metric() -> None:
    hadamard = scipy.linalg.hadamard(16)[:, 1:].astype(float)
    assert procrustes(hadamard[:, :3], hadamard[:, 3:8]) == pytest.approx(2)
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b, c = random.normal(size=(3, 12, 4))
        ab, bc, ac = (np.sqrt(procrustes(*p)) for p in ((a, b), (b, c), (a, c)))
        assert ac <= ab + bc + 1e-12


def test_rsa_is_scipys_correlation_of_scipys_distances() -> None:
    x, y = two(25, 9, 6)
    for distance in ("correlation", "euclidean"):
        a, b = pdist(x, distance), pdist(y, distance)
        spearman, pearson = scipy.stats.spearmanr(a, b)[0], scipy.stats.pearsonr(a, b)[0]
        assert rsa(x, y, distance) == pytest.approx(spearman, abs=1e-12)
        assert rsa(x, y, distance, "pearson") == pytest.approx(pearson, abs=1e-12)


def test_rsa_of_points_on_a_line_has_a_closed_form() -> None:
    x, y = np.array([[0.0], [1.0], [3.0]]), np.array([[0.0], [1.0], [-4.0]])
    # Distances 1 3 2 and 1 4 5, ranks 1 3 2 and 1 2 3.
    assert rsa(x, y, "euclidean") == pytest.approx(0.5)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_mutual_neighbours_are_scikit_learns(metric: Any) -> None:
    x, y = two(80, 9, 6)
    k, near = 7, []
    for z in (x, y):
        search = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(z)
        near.append(search.kneighbors(return_distance=False))  # of the others
    share = np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)])
    chance = k / 79
    wanted = (share - chance) / (1 - chance)
    assert mutual_knn(x, y, k, metric) == pytest.approx(wanted, abs=1e-12)


def test_a_row_of_the_same_image_is_no_neighbour() -> None:
    x, y = two(40, 5, 5)
    ids = np.arange(40) // 2
    same = ids[:, None] == ids
    near = [np.argsort(cdist(z, z) + 1e9 * same)[:, :5] for z in (x, y)]
    share = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(*near, strict=True)])
    wanted = (share - 5 / 38) / (1 - 5 / 38)
    assert mutual_knn(x, y, 5, "euclidean", ids=ids) == pytest.approx(wanted, abs=1e-12)


def test_drift_of_a_known_move() -> None:
    x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    y = np.array([[0.0, 1.0], [0.0, 5.0], [3.0, 3.0]])
    assert drift_cosine(x, y) == pytest.approx((0 + 1 + np.sqrt(0.5)) / 3)
    assert drift_change(x, y) == pytest.approx(np.sqrt((2 + 9 + 9) / (1 + 4 + 9)))
    spread = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    shifts = centroid_shifts(x, y, ["a", "b", "a"])
    np.testing.assert_allclose(shifts, np.array([np.hypot(-0.5, 2.0), 3.0]) / spread)


def test_rbf_cka_of_two_rectangles_is_the_correlation_of_their_three_kernels() -> None:
    """A rectangle's kernel is ``Σ k_m M_m`` over the three ways to pair four corners.

    Without the diagonal and centred, ``⟨M_m, M_m⟩ = 8/3`` and ``⟨M_m, M_n⟩ = -4/3``, so that
    ``⟨K, L⟩ = 4 Σ (k_m - k̄)(l_m - l̄)``. The median distance of each is its longer side.
    """
    x = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])  # pairs 01|23, 02|13, 03|12
    y = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1.5], [0.0, 1.5]])
    for width in (0.5, 1.0, 2.0):
        first, second = (
            np.exp(-np.array(squares) / (2 * (width * longer) ** 2))
            for squares, longer in (((1.0, 4.0, 5.0), 2.0), ((9.0, 11.25, 2.25), 3.0))
        )
        expected = np.corrcoef(first, second)[0, 1]
        assert rbf_cka(x, y, width) == pytest.approx(expected, abs=1e-9)
