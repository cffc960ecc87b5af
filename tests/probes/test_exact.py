"""The certificate holds against a proposer that rounds as badly as the bound allows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metaprobe.probes import exact
from metaprobe.probes.exact import Singles, Space, search, space_of
from metaprobe.probes.rows import checked_rows, pair_distances

Array = NDArray[Any]


class Careless:
    """Proposes the candidates nearest by distances that are off by the whole bound at random."""

    def __init__(self, rounding: float, seed: int) -> None:
        self.rounding, self.random = rounding, np.random.default_rng(seed)
        self.fetched: list[int] = []

    def __call__(self, queries: Singles, gallery: Singles, k: int) -> tuple[Singles, Array]:
        self.fetched.append(k)
        q, g = queries.astype(float), gallery.astype(float)
        far = np.square(q[:, None] - g).sum(axis=2)
        lengths = np.linalg.norm(q, axis=1)[:, None] + np.linalg.norm(g, axis=1)
        far += self.random.choice([-0.95, 0.95], far.shape) * self.rounding * lengths**2
        shuffled = self.random.permuted(np.tile(np.arange(len(g)), (len(q), 1)), axis=1)
        order = np.lexsort((shuffled, far), axis=-1)[:, :k]
        return np.take_along_axis(far, order, 1).astype(np.float32), order


def crowded(seed: int) -> tuple[Array, Array]:
    """Rows so alike, far from the origin, that float32 cannot tell their distances apart."""
    random = np.random.default_rng(seed)
    gallery = np.concatenate([random.normal(size=(150, 8)), np.full((150, 8), 3.0)])
    gallery[150:] += random.normal(size=(150, 8)) * 1e-7
    return gallery, np.concatenate([random.normal(size=(10, 8)), gallery[150:160]])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(6))
def test_a_proposer_within_the_bound_cannot_change_the_answer(seed: int, metric: str) -> None:
    gallery, queries = (checked_rows(x, "rows", metric) for x in crowded(seed))
    space = space_of(gallery, queries)
    careless = Careless(space.rounding, seed)
    found = search(space, 4, careless)
    pairs = np.indices((len(queries), len(gallery))).reshape(2, -1)
    far = pair_distances(queries, pairs[0], gallery, pairs[1]).reshape(len(queries), -1)
    np.testing.assert_array_equal(found.indices, np.argsort(far, axis=1, kind="stable")[:, :4])
    assert len(set(careless.fetched)) > 1, "the data never made the search fetch more"


def test_without_the_certificate_that_proposer_does_change_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    believe = exact._could_belong

    def at_once(*arguments: Any) -> tuple[Array, Array]:
        keep, settled = believe(*arguments)
        return keep, np.ones_like(settled)

    rows = [checked_rows(x, "rows", "euclidean") for x in crowded(0)]
    space: Space = space_of(rows[0], rows[1])
    right = search(space, 4, Careless(space.rounding, 0))
    monkeypatch.setattr(exact, "_could_belong", at_once)
    wrong = search(space, 4, Careless(space.rounding, 0))
    assert (wrong.indices != right.indices).any()


def test_ordinary_data_needs_no_second_fetch_and_few_second_measurements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[int] = []

    def counted(queries: Any, which: Array, gallery: Any, near: Array) -> Array:
        measured.append(len(which))
        return pair_distances(queries, which, gallery, near)

    monkeypatch.setattr(exact, "pair_distances", counted)
    random = np.random.default_rng(0)
    rows = [checked_rows(random.normal(size=(n, 32)), "rows", "cosine") for n in (1000, 200)]
    space = space_of(rows[0], rows[1])
    plain = Careless(0.0, 0)
    search(space, 1, plain)
    assert plain.fetched == [1 + exact.SLACK]
    assert sum(measured) < 1.05 * 200
