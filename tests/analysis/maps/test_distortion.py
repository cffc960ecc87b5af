"""Distortion, held to scikit-learn and to planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from metaprobe.analysis.maps import distortion as module
from metaprobe.analysis.maps.distortion import distortion
from metaprobe.data.errors import ProbeError


@settings(max_examples=25, deadline=None)
@given(n=st.integers(12, 60), k=st.integers(1, 5), seed=st.integers(0, 2**20))
def test_trustworthiness_is_scikit_learns_and_continuity_its_mirror(
    n: int, k: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    high, low = random.normal(size=(n, 8)), random.normal(size=(n, 2))
    found = distortion(high.astype(np.float32), low, k, "euclidean")
    single = high.astype(np.float32).astype(np.float64)
    assert found.trustworthiness == pytest.approx(trustworthiness(single, low, n_neighbors=k))
    assert found.continuity == pytest.approx(trustworthiness(low, single, n_neighbors=k))


def test_the_share_kept_is_that_of_two_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TABLE", 700)  # several blocks
    random = np.random.default_rng(1)
    high, low = random.normal(size=(90, 5)).astype(np.float32), random.normal(size=(90, 2))
    near = [
        NearestNeighbors(n_neighbors=7, metric=metric).fit(z).kneighbors(return_distance=False)
        for z, metric in ((high, "cosine"), (low, "euclidean"))
    ]
    both = [len(set(a) & set(b)) for a, b in zip(*near, strict=True)]
    assert distortion(high, low, 7).kept == pytest.approx(np.mean(both) / 7)


def test_a_map_that_keeps_everything_scores_one_and_noise_scores_chance() -> None:
    random = np.random.default_rng(2)
    flat = random.normal(size=(400, 2)).astype(np.float32)
    perfect = distortion(flat, flat.astype(float), metric="euclidean")
    assert (perfect.trustworthiness, perfect.continuity, perfect.kept) == (1, 1, 1)
    noise = distortion(flat, random.normal(size=(400, 2)), metric="euclidean")
    assert noise.kept == pytest.approx(noise.chance, abs=0.02)
    assert noise.trustworthiness == pytest.approx(0.5, abs=0.05)


def test_few_rows_have_fewer_neighbours_and_fewer_than_four_none() -> None:
    flat = np.random.default_rng(3).normal(size=(9, 2)).astype(np.float32)
    assert distortion(flat, flat.astype(float), 10).k == 3
    with pytest.raises(ProbeError, match="4 or more"):
        distortion(flat[:3], flat[:3].astype(float))
    with pytest.raises(ProbeError, match="one each"):
        distortion(flat, flat[:5].astype(float))
