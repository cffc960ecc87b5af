"""Quality without a classifier: the bare formulas, other people's code, and closed forms."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import silhouette_score

from metaprobe.data.errors import ProbeError
from metaprobe.probes.quality import cdnv, class_separation, logme, nc1, silhouette

Array = NDArray[Any]


def clusters(seed: int = 0, n: int = 60, d: int = 5) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat([0, 1, 2], [n // 2, n // 3, n - n // 2 - n // 3]))
    return random.normal(size=(3, d))[labels] + random.normal(size=(n, d)) + 0.3, labels


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_silhouette_is_scikit_learns_and_the_definition(metric: Any) -> None:
    rows, labels = clusters()
    far, found = cdist(rows, rows, metric), []
    for i, own in enumerate(labels):
        others = [far[i, labels == c].mean() for c in range(3) if c != own]
        inside = far[i, (labels == own) & (np.arange(60) != i)].mean()
        found.append((min(others) - inside) / max(min(others), inside))
    assert silhouette(rows, labels, metric) == pytest.approx(np.mean(found), abs=1e-9)
    theirs = silhouette_score(rows, labels, metric=metric)
    assert silhouette(rows, labels, metric) == pytest.approx(theirs, abs=1e-9)


def test_the_silhouette_of_four_points_on_a_line() -> None:
    found = silhouette(np.array([[0.0], [1], [10], [11]]), [0, 0, 1, 1], "euclidean")
    assert found == pytest.approx((9.5 / 10.5 + 8.5 / 9.5) / 2)


def test_class_separation_is_the_papers_double_sums() -> None:
    rows, labels = clusters()
    far = cdist(rows, rows, "cosine")
    np.fill_diagonal(far, 0)
    blocks = [[far[np.ix_(labels == a, labels == b)].mean() for b in range(3)] for a in range(3)]
    wanted = 1 - np.trace(blocks) / 3 / np.mean(blocks)
    assert class_separation(rows, labels) == pytest.approx(wanted, abs=1e-12)


def test_separation_of_known_angles() -> None:
    right = np.array([[1.0, 0], [2, 0], [0, 1], [0, 5]])
    assert class_separation(right, [0, 0, 1, 1]) == pytest.approx(1)
    assert class_separation(right, [0, 1, 0, 1]) == pytest.approx(0)


def test_variance_over_distance_is_the_formula() -> None:
    rows, labels = clusters()
    parts = [rows[labels == c] for c in range(3)]
    means = [p.mean(0) for p in parts]
    spread = [((p - m) ** 2).sum(1).mean() for p, m in zip(parts, means, strict=True)]
    pairs = [
        (spread[i] + spread[j]) / (2 * ((means[i] - means[j]) ** 2).sum())
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert cdnv(rows, labels) == pytest.approx(np.mean(pairs), abs=1e-12)
    between = np.trace(np.cov(np.array(means).T, bias=True))
    within = np.mean([np.trace(np.cov(p.T, bias=True)) for p in parts])
    assert nc1(rows, labels) == pytest.approx(within / between, abs=1e-12)


def test_spread_and_gap_of_known_points() -> None:
    rows, labels = np.array([[-3.0], [-1], [1], [3]]), [0, 0, 1, 1]
    assert cdnv(rows, labels) == pytest.approx(2 / (2 * 16))  # spreads 1, gap 4
    assert nc1(rows, labels) == pytest.approx(1 / 4)
    collapsed = np.array([[0.0, 1], [0, 1], [2, 0], [2, 0]])
    assert cdnv(collapsed, labels) == nc1(collapsed, labels) == 0
    assert cdnv(rows, [0, 1, 1, 0]) == nc1(rows, [0, 1, 1, 0]) == float("inf")


@pytest.mark.parametrize(("n", "d"), [(60, 5), (24, 40)])
def test_logme_is_the_best_evidence_of_the_bayesian_linear_model(n: int, d: int) -> None:
    rows, labels = clusters(n=n, d=d)
    found = []
    for c in range(3):
        y = (labels == c).astype(float)

        def lost(logs: Array, y: Array = y) -> float:
            prior, noise = np.exp(logs)
            cov = noise * np.eye(n) + prior * rows @ rows.T
            return -float(scipy.stats.multivariate_normal(np.zeros(n), cov).logpdf(y))

        starts = [(a, b) for a in (-6.0, -2.0) for b in (-4.0, -1.0)]
        best = min(
            minimize(lost, s, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8}).fun
            for s in starts
        )
        found.append(-best / n)
    assert logme(rows, labels) == pytest.approx(np.mean(found), abs=1e-6)


def test_logme_agrees_with_scikit_learns_bayesian_ridge() -> None:
    rows, labels = clusters(n=200)
    found = []
    for c in range(3):
        model = BayesianRidge(
            fit_intercept=False, compute_score=True, max_iter=2000, tol=1e-12,
            alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0,
        )  # fmt: skip
        found.append(model.fit(rows, (labels == c).astype(float)).scores_[-1] / 200)
    assert logme(rows, labels) == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize("measure", [silhouette, class_separation, cdnv, nc1, logme])
@pytest.mark.parametrize(
    ("code", "rows", "labels"),
    [
        ("classes", np.eye(4), [0, 0, 0, 0]),
        ("labels", np.eye(4), [0, 1]),
        ("not-finite", np.full((4, 2), np.nan), [0, 0, 1, 1]),
        ("shape", np.ones(4), [0, 0, 1, 1]),
    ],
)
def test_what_is_undefined_is_refused(measure: Any, code: str, rows: Any, labels: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        measure(rows, labels)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "measure", "rows"),
    [
        ("zero-norm", silhouette, [[0.0, 0], [1, 0], [0, 1], [1, 1]]),
        ("zero-norm", class_separation, [[0.0, 0], [1, 0], [0, 1], [1, 1]]),
        ("constant", class_separation, [[1.0, 0], [2, 0], [3, 0], [4, 0]]),
        ("constant", cdnv, np.ones((4, 2))),
        ("constant", nc1, np.ones((4, 2))),
        ("constant", logme, np.zeros((4, 2))),
    ],
)
def test_features_that_vary_in_nothing_are_refused(code: str, measure: Any, rows: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        measure(rows, [0, 0, 1, 1])
    assert caught.value.code == code


def test_classes_of_one_row_each_have_no_silhouette() -> None:
    with pytest.raises(ProbeError, match="no class has a second row"):
        silhouette(np.eye(4), [0, 1, 2, 3])


def test_logme_of_orthonormal_features_has_a_closed_form() -> None:
    """With ``Fᵀ F = I`` the best ``1 + 1 / t`` is the F ratio of a class's column on F.

    Of a column y with ``a`` of its squares along F and ``b`` beyond it, in n rows and r features,
    that is ``(a / r) / (b / (n - r))``, and what is left over is ``s² = b / (n - r)``.
    """
    random = np.random.default_rng(0)
    n, r = 60, 4
    labels = np.arange(n) % 3
    one_hot = np.eye(3)[labels]
    features = np.linalg.qr(np.hstack([one_hot, np.ones((n, 1))]) + random.normal(size=(n, r)))[0]
    told = []
    for column in one_hot.T:
        along = np.square(features.T @ column).sum()
        noise = (column.sum() - along) / (n - r)
        ratio = along / r / noise
        assert ratio > 1  # else the best t is infinite
        told.append(-0.5 * (np.log(2 * np.pi * noise) + 1 + r / n * np.log(ratio)))
    assert logme(features, labels) == pytest.approx(np.mean(told), rel=1e-9)
