"""Each measure computed another way: by other people's code, or from its definition.

No rival calls the project; all are at the settings of the register, but where `SETTINGS` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import scipy.linalg
import scipy.spatial
import scipy.special
import scipy.stats
import skdim.id
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist, squareform
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import (
    BayesianRidge,
    LinearRegression,
    LogisticRegression,
    RidgeClassifier,
)
from sklearn.metrics.pairwise import paired_cosine_distances, rbf_kernel
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.preprocessing import LabelBinarizer

Array = NDArray[Any]
Rival = Callable[..., float]

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "logistic": {"strengths": (1.0,)},  # scikit-learn chooses none
    "minibatch-cka": {"batch": 50},
}


# ---- quality, of a gallery and queries


def knn(gallery: Array, labels: Array, queries: Array, truth: Array) -> float:
    near = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(gallery, labels)
    return float(near.score(queries, truth))


def dino_knn(gallery: Array, labels: Array, queries: Array, truth: Array) -> float:
    mass: Any = lambda far: np.exp((1 - far) / 0.07)  # noqa: E731
    model = KNeighborsClassifier(20, metric="cosine", algorithm="brute", weights=mass)
    return float(model.fit(gallery, labels).score(queries, truth))


def class_mean(gallery: Array, labels: Array, queries: Array, truth: Array) -> float:
    names = np.unique(labels)
    means = np.stack([gallery[labels == name].mean(axis=0) for name in names])
    return float((names[cdist(queries, means, "cosine").argmin(axis=1)] == truth).mean())


def nil(gallery: Array, labels: Array, queries: Array, truth: Array) -> float:
    votes = scipy.special.softmax(1 - cdist(queries, gallery, "cosine"), axis=1)
    binary = LabelBinarizer().fit(labels)
    return float((binary.classes_[(votes @ binary.transform(labels)).argmax(1)] == truth).mean())


def ridge(gallery: Array, labels: Array, queries: Array, truth: Array) -> float:
    return float(RidgeClassifier(alpha=1.0).fit(gallery, labels).score(queries, truth))


def logistic(gallery: Array, labels: Array, queries: Array, truth: Array) -> float:
    middle = gallery.mean(axis=0)
    spread = (gallery - middle).std()
    model = LogisticRegression(C=1.0, max_iter=2000).fit((gallery - middle) / spread, labels)
    return float(model.score((queries - middle) / spread, truth))


# ---- quality, of one labelled set


def leave_one_out(rows: Array, labels: Array) -> float:
    model = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    return float(cross_val_score(model, rows, labels, cv=LeaveOneOut()).mean())


def silhouette(rows: Array, labels: Array) -> float:
    far, found = cdist(rows, rows, "cosine"), []
    for i, own in enumerate(labels):
        others = min(far[i, labels == c].mean() for c in np.unique(labels) if c != own)
        inside = far[i, (labels == own) & (np.arange(len(rows)) != i)].mean()
        found.append((others - inside) / max(others, inside))
    return float(np.mean(found))


def class_separation(rows: Array, labels: Array) -> float:
    far, names = cdist(rows, rows, "cosine"), np.unique(labels)
    np.fill_diagonal(far, 0)
    blocks = [[far[np.ix_(labels == a, labels == b)].mean() for b in names] for a in names]
    return float(1 - np.trace(blocks) / len(names) / np.mean(blocks))


def cdnv(rows: Array, labels: Array) -> float:
    parts = [rows[labels == c] for c in np.unique(labels)]
    pairs = [
        (np.trace(np.cov(a.T, bias=True)) + np.trace(np.cov(b.T, bias=True)))
        / (2 * scipy.spatial.distance.sqeuclidean(a.mean(0), b.mean(0)))
        for a, b in combinations(parts, 2)
    ]
    return float(np.mean(pairs))


def nc1(rows: Array, labels: Array) -> float:
    parts = [rows[labels == c] for c in np.unique(labels)]
    between = np.trace(np.cov(np.array([p.mean(0) for p in parts]).T, bias=True))
    return float(np.mean([np.trace(np.cov(p.T, bias=True)) for p in parts]) / between)


def logme(rows: Array, labels: Array) -> float:
    found = []
    for name in np.unique(labels):
        model = BayesianRidge(
            fit_intercept=False, compute_score=True, max_iter=5000, tol=1e-12,
            alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0,
        )  # fmt: skip
        found.append(model.fit(rows, (labels == name).astype(float)).scores_[-1] / len(rows))
    return float(np.mean(found))


def _hits(rows: Array, labels: Array) -> list[Array]:
    """For each row whether its neighbours, nearest first, are of its class."""
    far = squareform(pdist(rows, "cosine"))
    np.fill_diagonal(far, np.inf)
    return [labels[np.argsort(far[i])[:-1]] == labels[i] for i in range(len(rows))]


def r_precision(rows: Array, labels: Array) -> float:
    return float(np.mean([hits[: hits.sum()].mean() for hits in _hits(rows, labels)]))


def map_at_r(rows: Array, labels: Array) -> float:
    return float(
        np.mean(
            [
                sum(hits[: j + 1].mean() for j in range(hits.sum()) if hits[j]) / hits.sum()
                for hits in _hits(rows, labels)
            ]
        )
    )


def recall_at_5(rows: Array, labels: Array) -> float:
    return float(np.mean([hits[:5].any() for hits in _hits(rows, labels)]))


# ---- similarity


def song(k: Array, l: Array) -> float:  # noqa: E741
    """Song et al. 2012, equation 5."""
    n, one = len(k), np.ones(len(k))
    k, l = (m - np.diag(np.diag(m)) for m in (k, l))  # noqa: E741
    first = np.trace(k @ l) + one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2))
    return float((first - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3)))


def _linear(x: Array, y: Array) -> Array:
    return np.array([song(a @ a.T, b @ b.T) for a, b in ((x, y), (x, x), (y, y))])


def cka(x: Array, y: Array) -> float:
    xy, xx, yy = _linear(x, y)
    return float(xy / np.sqrt(xx * yy))


def minibatch_cka(x: Array, y: Array) -> float:
    parts = [slice(i, i + 50) for i in range(0, len(x), 50)]
    weights = [len(x[p]) for p in parts]
    xy, xx, yy = np.average([_linear(x[p], y[p]) for p in parts], axis=0, weights=weights)
    return float(xy / np.sqrt(xx * yy))


def rbf_cka(x: Array, y: Array) -> float:
    k, l = (rbf_kernel(z, gamma=0.5 / np.median(pdist(z)) ** 2) for z in (x, y))  # noqa: E741
    return float(song(k, l) / np.sqrt(song(k, k) * song(l, l)))


def biased_cka(x: Array, y: Array) -> float:
    h = np.eye(len(x)) - 1 / len(x)
    k, l = (h @ z @ z.T @ h for z in (x, y))  # noqa: E741
    return float(np.vdot(k, l) / np.linalg.norm(k) / np.linalg.norm(l))


def svcca(x: Array, y: Array) -> float:
    kept = []
    for z in (x, y):
        u, s, _ = np.linalg.svd(z - z.mean(0), full_matrices=False)
        kept.append(u[:, : int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), 0.99)) + 1])
    return float(np.cos(scipy.linalg.subspace_angles(*kept)).mean())


def pwcca(x: Array, y: Array) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    xy = x.T @ y
    values, vectors = scipy.linalg.eigh(xy @ np.linalg.solve(y.T @ y, xy.T), x.T @ x)
    many = min(x.shape[1], y.shape[1])
    h = (x @ vectors)[:, ::-1][:, :many]
    weights = np.abs((h / np.linalg.norm(h, axis=0)).T @ x).sum(axis=1)
    return float(weights @ np.sqrt(values[::-1][:many]) / weights.sum())


def procrustes(x: Array, y: Array) -> float:
    wide = max(x.shape[1], y.shape[1])
    padded = [np.pad(z, ((0, 0), (0, wide - z.shape[1]))) for z in (x, y)]
    left = scipy.spatial.procrustes(*padded)[2]  # which also scales: 1 - (nuclear norm)²
    return float(2 - 2 * np.sqrt(1 - left))


def rsa(x: Array, y: Array) -> float:
    return float(scipy.stats.spearmanr(pdist(x, "correlation"), pdist(y, "correlation"))[0])


def rsa_euclidean(x: Array, y: Array) -> float:
    return float(scipy.stats.spearmanr(pdist(x), pdist(y))[0])


def mutual_knn(x: Array, y: Array) -> float:
    near = [
        NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute")
        .fit(z)
        .kneighbors(return_distance=False)
        for z in (x, y)
    ]
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*near, strict=True)])
    chance = 10 / (len(x) - 1)
    return float((share - chance) / (1 - chance))


def drift_cosine(x: Array, y: Array) -> float:
    return float(1 - paired_cosine_distances(x, y).mean())


def drift_change(x: Array, y: Array) -> float:
    return float(np.linalg.norm(y - x, "fro") / np.linalg.norm(x, "fro"))


def centroid_shift(x: Array, y: Array, labels: Array) -> float:
    moved = [
        np.linalg.norm(y[labels == c].mean(0) - x[labels == c].mean(0)) for c in np.unique(labels)
    ]
    return float(np.mean(moved) / np.sqrt(np.trace(np.cov(x.T, bias=True))))


# ---- geometry


def effective_rank(rows: Array) -> float:
    sizes = np.sqrt(np.maximum(np.linalg.eigvalsh(rows.T @ rows), 0))
    return float(np.exp(scipy.stats.entropy(sizes)))


def participation_ratio(rows: Array) -> float:
    values = np.linalg.eigvalsh(np.cov(rows.T))
    return float(values.sum() ** 2 / (values**2).sum())


def alpha_req(rows: Array) -> float:
    values = np.sort(np.linalg.eigvalsh(np.cov(rows.T)))[::-1]
    index = np.arange(3, 51)
    line = LinearRegression().fit(
        np.log(index)[:, None], np.log(values[2:50]), sample_weight=1 / index
    )
    return float(-line.coef_[0])


def two_nn(rows: Array) -> float:
    return float(skdim.id.TwoNN(discard_fraction=0.1).fit(rows).dimension_)


def dead(rows: Array) -> float:
    return float(1 - VarianceThreshold(1e-12).fit_transform(rows).shape[1] / rows.shape[1])


def duplicated(rows: Array) -> float:
    alive = rows[:, np.ptp(rows, axis=0) > 0]
    alike = np.triu(np.abs(np.corrcoef(alive.T)) > 1 - 1e-6, 1)
    return float(alike.any(axis=0).sum() / rows.shape[1])


RIVALS: dict[str, Rival] = {
    "knn": knn,
    "dino-knn": dino_knn,
    "class-mean": class_mean,
    "nil": nil,
    "ridge": ridge,
    "logistic": logistic,
    "leave-one-out": leave_one_out,
    "silhouette": silhouette,
    "class-separation": class_separation,
    "cdnv": cdnv,
    "nc1": nc1,
    "logme": logme,
    "r-precision": r_precision,
    "map-at-r": map_at_r,
    "recall-at-k": recall_at_5,
    "cka": cka,
    "minibatch-cka": minibatch_cka,
    "rbf-cka": rbf_cka,
    "biased-cka": biased_cka,
    "svcca": svcca,
    "pwcca": pwcca,
    "procrustes": procrustes,
    "rsa": rsa,
    "rsa-euclidean": rsa_euclidean,
    "mutual-knn": mutual_knn,
    "drift-cosine": drift_cosine,
    "drift-change": drift_change,
    "centroid-shift": centroid_shift,
    "effective-rank": effective_rank,
    "participation-ratio": participation_ratio,
    "alpha-req": alpha_req,
    "two-nn": two_nn,
    "dead": dead,
    "duplicated": duplicated,
}
