"""Planted truth: what happened to the features is known, and the measures must say so."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metaprobe.analysis.similarity import (
    MEASURES,
    biased_cka,
    canonical_correlations,
    cka,
    drift_cosine,
    mutual_knn,
    procrustes,
    rsa,
    with_null,
)
from metaprobe.models.backbones import build_backbone
from metaprobe.probes.votes import knn_accuracies

Array = NDArray[Any]


def unrelated(n: int, d: int, seed: int) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), random.normal(size=(n, d))


def test_of_unrelated_features_debiased_cka_says_nothing_and_biased_cka_says_all() -> None:
    found = [(cka(x, y), biased_cka(x, y)) for x, y in (unrelated(75, 1600, s) for s in range(20))]
    debiased, biased = np.array(found).T
    sd = 1 / np.sqrt(75 * 72 / 2)  # a correlation of as many free pairs: 0.06 is three of these
    assert abs(debiased[0]) < 0.06
    assert (np.abs(debiased) < 0.06).mean() >= 0.95
    assert abs(debiased.mean()) < 3 * sd / np.sqrt(20)
    assert debiased.std() == pytest.approx(sd, rel=0.5)
    assert biased.min() > 0.95
    assert "0.95" in MEASURES["biased-cka"].misleads


@pytest.mark.parametrize(
    ("n", "d", "published", "within"),
    [(25, 1600, 0.985, 0.003), (80, 64, 0.457, 0.03), (500, 1600, 0.761, 0.01)],
)
def test_biased_cka_of_unrelated_features_grows_with_width_over_rows(
    n: int, d: int, published: float, within: float
) -> None:
    x, y = unrelated(n, d, 0)
    assert biased_cka(x, y) == pytest.approx(published, abs=within)


@pytest.mark.parametrize(("n", "published"), [(75, 0.89), (640, 0.27), (2000, 0.15)])
def test_canonical_correlations_of_unrelated_features_are_large(n: int, published: float) -> None:
    x, y = unrelated(n, 64, 0)
    assert canonical_correlations(x, y).mean() == pytest.approx(published, abs=0.015)


def test_unrelated_features_share_neighbours_by_chance_and_the_score_says_none() -> None:
    scores = [mutual_knn(*unrelated(75, 30, seed)) for seed in range(20)]
    assert abs(np.mean(scores)) < 0.02
    raw = np.mean(scores) * (1 - 10 / 74) + 10 / 74
    assert raw == pytest.approx(0.135, abs=0.02)


@pytest.mark.parametrize("name", [m.name for m in MEASURES.values() if m.reordered])
def test_a_null_holds_what_unrelated_features_score(name: str) -> None:
    measure, ps = MEASURES[name], []
    for seed in range(40):
        found = with_null(measure, *unrelated(30, 12, seed), seed=seed, repeats=39)
        ps.append(found.p)
        assert found.sd > 0
    # p is uniform on 1/40 … 1 where the rows are unrelated: mean 0.51, standard error 0.046.
    assert abs(np.mean(ps) - 0.5125) < 4 * 0.046
    x, y = unrelated(30, 12, 0)
    assert with_null(measure, x, x + 0.5 * y, repeats=39).p == 1 / 40


def test_a_few_rows_far_out_decide_cka_but_not_the_neighbours() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(1000, 50))
    moved = x.copy()
    moved[:10] += 10 * random.normal(size=50)  # 1 % of the rows, about ten spreads away
    assert cka(x, x) == pytest.approx(1)
    assert cka(x, moved) < 0.2
    assert procrustes(x, moved) > 0.4  # nor is this one above it
    for name in ("rsa-euclidean", "rbf-cka"):
        assert MEASURES[name](x, moved) > 0.9
    assert mutual_knn(x, moved, metric="euclidean") > 0.95


@pytest.mark.parametrize(
    "name", ["cka", "minibatch-cka", "rbf-cka", "procrustes", "rsa", "rsa-euclidean", "mutual-knn"]
)
def test_relabelled_channels_change_no_similarity_of_convolutional_features(name: str) -> None:
    random = np.random.default_rng(0)
    maps = np.maximum(random.normal(size=(60, 16, 5, 5)), 0)  # (N, C, H, W)
    other = np.maximum(maps + random.normal(size=maps.shape), 0)
    relabelled = maps[:, random.permutation(16)]
    measure, flat = MEASURES[name], [m.reshape(60, -1) for m in (maps, relabelled, other)]
    most = measure.high if measure.direction == "higher" else measure.low
    assert measure(flat[0], flat[1]) == pytest.approx(most, abs=1e-9)
    assert measure(flat[1], flat[2]) == pytest.approx(measure(flat[0], flat[2]), abs=1e-9)


def test_an_encoder_turned_by_adaptation_reuses_its_features() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 40)
    before = random.normal(size=(5, 64))[labels] + random.normal(size=(200, 64))
    turn = np.linalg.qr(random.normal(size=(64, 64)))[0]
    after = before @ turn
    assert cka(before, after) == pytest.approx(1)
    assert mutual_knn(before, after) == 1
    assert procrustes(before, after) == pytest.approx(0, abs=1e-12)
    ids = np.arange(200).astype(str)
    accuracies = [
        knn_accuracies(z, labels, z, labels, ks=[1, 5], gallery_ids=ids, query_ids=ids)
        for z in (before, after)
    ]
    assert accuracies[0] == accuracies[1]
    # What hangs on the axes sees it.
    assert abs(drift_cosine(before, after)) < 0.1
    assert rsa(before, after) < 0.999


def test_an_encoder_with_its_channels_relabelled_is_the_same_encoder() -> None:
    torch.manual_seed(0)
    one = build_backbone({"name": "conv4", "filters": 8}).double()
    two = build_backbone({"name": "conv4", "filters": 8}).double()
    two.load_state_dict(one.state_dict())
    random = np.random.default_rng(0)
    for layer in range(1, 5):  # each block's channels in another order, and the next one told
        order = torch.as_tensor(random.permutation(8))
        block = two.get_submodule(f"block{layer}")
        for tensor in block.state_dict().values():
            if tensor.ndim:
                tensor.copy_(tensor[order].clone())
        if layer < 4:
            weight = two.get_parameter(f"block{layer + 1}.conv.weight")
            weight.data = weight.data[:, order]
    images = torch.as_tensor(random.uniform(size=(70, 1, 28, 28)))
    with torch.no_grad():
        x, y = (body(images).flatten(1).numpy() for body in (one, two))
    assert np.abs(x - y).max() > 0.1
    for name in ("cka", "minibatch-cka", "rbf-cka", "procrustes", "rsa-euclidean", "mutual-knn"):
        measure = MEASURES[name]
        most = measure.high if measure.direction == "higher" else measure.low
        assert measure(x, y) == pytest.approx(most, abs=1e-9), name
