"""The search equals brute force in float64, whatever FAISS rounds, and says no to the rest."""

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from metaprobe.data.errors import ProbeError
from metaprobe.probes import neighbours as module
from metaprobe.probes.neighbours import (
    Metric,
    Neighbours,
    episode_neighbours,
    nearest_neighbours,
    nearest_neighbours_streamed,
    rows_available,
    zero_rows,
)

Array = NDArray[Any]
METRICS: list[Metric] = ["cosine", "euclidean"]


def plain_search(
    gallery: Array, queries: Array, k: int, metric: str, rank: Array | None = None
) -> tuple[Array, Array]:
    """Six lines of numpy that know nothing of FAISS."""
    g, q = gallery.astype(float), queries.astype(float)
    if metric == "cosine":
        g, q = (x / np.sqrt((x**2).sum(1, keepdims=True)) for x in (g, q))
    far = ((q[:, None] - g) ** 2).sum(-1)
    # no cosine is below -1: what lies beyond a distance of 2 is rounding
    far = np.minimum(far / 2, 2.0) if metric == "cosine" else np.sqrt(far)
    order = np.lexsort(
        (np.broadcast_to(np.arange(len(g)) if rank is None else rank, far.shape), far)
    )
    return order[:, :k], np.take_along_axis(far, order, 1)[:, :k]


def data(kind: str, n: int, m: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    gallery, queries = (rng.normal(size=(rows, d)).astype("f4") for rows in (n, m))
    if kind == "duplicated":
        gallery = gallery[rng.integers(0, max(n // 10, 1), n)]
        queries[: m // 2] = gallery[: m // 2]
    if kind == "tied":
        gallery, queries = (np.round(x).astype("f4") * 2 + 1 for x in (gallery, queries))
    if kind == "outlier":
        gallery[0] *= np.float32(1e18)
    if kind == "narrow":
        gallery, queries = (np.float32(100) + np.float32(1e-3) * x for x in (gallery, queries))
    return gallery, queries


def same(one: Neighbours, other: Neighbours) -> bool:
    return bool(
        np.array_equal(one.indices, other.indices)
        and np.array_equal(one.distances, other.distances)
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["random", "duplicated", "tied", "outlier", "narrow"])
@pytest.mark.parametrize(
    ("n", "m", "d", "k"), [(300, 80, 16, 5), (60, 50, 1, 40), (400, 50, 64, 1)]
)
def test_ids_and_distances_are_those_of_a_plain_numpy_search(
    kind: str, metric: Metric, n: int, m: int, d: int, k: int
) -> None:
    gallery, queries = data(kind, n, m, d)
    found = nearest_neighbours(gallery, queries, k, metric=metric)
    rows, far = plain_search(gallery, queries, k, metric)
    np.testing.assert_array_equal(found.indices, rows)
    np.testing.assert_array_equal(found.distances, far)
    assert found.indices.dtype == np.int64
    assert found.distances.dtype == np.float64


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["random", "duplicated", "tied"])
def test_neighbours_are_those_of_scikit_learns_brute_force(kind: str, metric: Metric) -> None:
    gallery, queries = (x.astype(float) for x in data(kind, 500, 100, 12))
    found = nearest_neighbours(gallery, queries, 7, metric=metric)
    theirs = NearestNeighbors(n_neighbors=7, algorithm="brute", metric=metric).fit(gallery)
    far, rows = theirs.kneighbors(queries)
    np.testing.assert_allclose(found.distances, far, atol=1e-6)  # theirs loses 8 digits near 0
    if kind == "random":
        np.testing.assert_array_equal(found.indices, rows)
    # In a tie at the k-th place their choice may differ; what is clearly nearer may not.
    for ours, others, distances in zip(found.indices, rows, far, strict=True):
        assert set(others[distances < distances[-1] - 1e-6]) <= set(ours)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS))
def test_any_small_grid_of_ties_is_searched_as_numpy_would(
    data: st.DataObject, metric: Metric
) -> None:
    n, m, d = (data.draw(st.integers(1, high)) for high in (40, 6, 4))
    k = data.draw(st.integers(1, n))
    number = st.integers(-2, 2)

    def rows(count: int) -> Array:
        drawn = data.draw(st.lists(number, min_size=count * d, max_size=count * d))
        grid = np.array(drawn, dtype=float).reshape(count, d)
        grid[~grid.any(axis=1), 0] = 1
        return grid

    gallery, queries = rows(n), rows(m)
    ids = np.array(data.draw(st.permutations(range(n))))
    found = nearest_neighbours(gallery, queries, k, metric=metric, gallery_ids=ids)
    expected = plain_search(gallery, queries, k, metric, rank=ids)
    np.testing.assert_array_equal(found.indices, expected[0])
    np.testing.assert_array_equal(found.distances, expected[1])
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    blocks = np.split(gallery, cuts)
    assert same(
        nearest_neighbours_streamed(blocks, queries, k, metric=metric, gallery_ids=ids), found
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["random", "duplicated", "tied", "outlier"])
def test_a_gallery_in_blocks_gives_the_same_bits_as_in_one_piece(kind: str, metric: Metric) -> None:
    gallery, queries = data(kind, 500, 60, 9)
    whole = nearest_neighbours(gallery, queries, 30, metric=metric)
    for pieces in (2, 7, 40):
        blocks: Iterator[Array] = iter(np.array_split(gallery, pieces))
        assert same(nearest_neighbours_streamed(blocks, queries, 30, metric=metric), whole)


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_is_left_out_across_blocks_too(metric: Metric) -> None:
    gallery, _ = data("duplicated", 200, 2, 5)
    ids = np.random.default_rng(1).integers(0, 60, 200)
    names = np.array([f"image-{i}" for i in ids])
    whole = nearest_neighbours(
        gallery, gallery, 12, metric=metric, gallery_ids=names, query_ids=names
    )
    blocks = np.array_split(gallery, 23)
    streamed = nearest_neighbours_streamed(
        blocks, gallery, 12, metric=metric, gallery_ids=names, query_ids=names
    )
    assert same(whole, streamed)
    assert not (names[whole.indices] == names[:, None]).any()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["random", "duplicated", "tied"])
def test_the_order_of_the_gallery_changes_no_id(kind: str, metric: Metric) -> None:
    gallery, queries = data(kind, 400, 60, 6)
    ids = np.array([f"s{i:04d}" for i in range(400)])
    first = nearest_neighbours(gallery, queries, 5, metric=metric, gallery_ids=ids)
    shuffle = np.random.default_rng(3).permutation(400)
    other = nearest_neighbours(
        gallery[shuffle], queries, 5, metric=metric, gallery_ids=ids[shuffle]
    )
    np.testing.assert_array_equal(ids[first.indices], ids[shuffle][other.indices])
    np.testing.assert_array_equal(first.distances, other.distances)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_batches_threads_and_an_offset_change_no_id(dtype: str) -> None:
    # FAISS alone gave other neighbours for 300 of 300 queries on such data (640 features, +1000).
    rng = np.random.default_rng(0)
    gallery, queries = (np.round(rng.normal(size=(n, 640)) * 256) / 256 for n in (1500, 300))
    far = [(x + 1000).astype(dtype) for x in (gallery, queries)]  # exact: 18 bits
    reference = nearest_neighbours(gallery, queries, 5, metric="euclidean")
    before = faiss.omp_get_max_threads()
    try:
        for threads, batch in ((1, 300), (1, 19), (2, 300), (2, 19), (1, 1)):
            faiss.omp_set_num_threads(threads)
            last = 300 if batch > 1 else 40
            parts = [
                nearest_neighbours(far[0], far[1][i : i + batch], 5, metric="euclidean")
                for i in range(0, last, batch)
            ]
            indices = np.concatenate([part.indices for part in parts])
            np.testing.assert_array_equal(indices, reference.indices[:last])
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("metric", METRICS)
def test_a_batch_has_the_same_bits_as_its_queries_one_by_one(metric: Metric) -> None:
    gallery, queries = data("random", 300, 30, 33)
    whole = nearest_neighbours(gallery, queries, 9, metric=metric)
    for i in range(30):
        one = nearest_neighbours(gallery, queries[i : i + 1], 9, metric=metric)
        np.testing.assert_array_equal(one.indices[0], whole.indices[i])
        np.testing.assert_array_equal(one.distances[0], whole.distances[i])


def test_a_row_is_never_its_own_neighbour_even_among_exact_duplicates() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(50, 8)), 4, axis=0)
    ids = np.arange(200)
    found = nearest_neighbours(rows, rows, 3, gallery_ids=ids, query_ids=ids)
    assert not (found.indices == ids[:, None]).any()
    np.testing.assert_array_equal(
        found.indices // 4, np.repeat(np.arange(50), 4)[:, None] + [0] * 3
    )
    assert (found.distances == 0).all()


def test_an_id_that_occurs_in_many_rows_is_left_out_in_all_of_them() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 4))
    ids = np.zeros(300, dtype=int)
    ids[-3:] = [1, 2, 3]
    found = nearest_neighbours(rows, rows[:5], 3, gallery_ids=ids, query_ids=ids[:5])
    assert {297, 298, 299} == set(found.indices[0]) == set(found.indices[4])
    np.testing.assert_array_equal(rows_available(ids, [0, 1, 9]), [3, 299, 300])


def test_noise_in_a_hundred_classes_scores_chance_leave_one_out() -> None:
    rng = np.random.default_rng(0)
    rows, labels, ids = rng.normal(size=(2000, 16)), np.repeat(np.arange(100), 20), np.arange(2000)
    own = nearest_neighbours(rows, rows, 1)
    assert (labels[own.indices[:, 0]] == labels).all()  # the mistake this guards against
    out = nearest_neighbours(rows, rows, 1, gallery_ids=ids, query_ids=ids)
    share = float((labels[out.indices[:, 0]] == labels).mean())
    assert abs(share - 19 / 1999) < 4 * np.sqrt(0.0095 / 2000)


@pytest.mark.parametrize("metric", METRICS)
def test_a_collapsed_gallery_is_one_tie_in_order_of_id(metric: Metric) -> None:
    gallery = np.tile(np.array([0.1, 0.2, 0.3], dtype=np.float32), (100, 1))
    queries = np.random.default_rng(0).normal(size=(9, 3))
    ids = np.arange(100)[::-1]
    found = nearest_neighbours(gallery, queries, 4, metric=metric, gallery_ids=ids)
    np.testing.assert_array_equal(found.indices, np.tile([99, 98, 97, 96], (9, 1)))


def test_lengths_do_not_matter_to_the_cosine_and_very_long_or_short_rows_work() -> None:
    gallery, queries = (x.astype(float) for x in data("random", 100, 20, 8))
    reference = nearest_neighbours(gallery, queries, 3)
    scale = 2.0 ** np.random.default_rng(0).integers(-300, 300, (100, 1))
    assert same(nearest_neighbours(gallery * scale, queries * 2.0**-400, 3), reference)
    tiny = nearest_neighbours(gallery * 2.0**-400, queries * 2.0**-400, 3, metric="euclidean")
    normal = nearest_neighbours(gallery, queries, 3, metric="euclidean")
    np.testing.assert_array_equal(tiny.indices, normal.indices)
    np.testing.assert_array_equal(tiny.distances, normal.distances * 2.0**-400)


# --- episodes ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("g", "k"), [(5, 1), (5, 5), (25, 3), (60, 2)])
@pytest.mark.parametrize("kind", ["random", "duplicated", "tied"])
def test_each_episode_is_searched_as_if_it_were_alone(
    kind: str, g: int, k: int, metric: Metric
) -> None:
    gallery, queries = data(kind, 30 * g, 30 * 8, 7)
    gallery, queries = gallery.reshape(30, g, 7), queries.reshape(30, 8, 7)
    found = episode_neighbours(gallery, queries, k, metric=metric)
    assert found.indices.shape == (30, 8, k)
    for e in range(30):
        rows, far = plain_search(gallery[e], queries[e], k, metric)
        np.testing.assert_array_equal(found.indices[e], rows)
        np.testing.assert_array_equal(found.distances[e], far)
    brute = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    if kind == "random":
        theirs = brute.fit(gallery[0].astype(float)).kneighbors(queries[0].astype(float))[1]
        np.testing.assert_array_equal(found.indices[0], theirs)


def test_faiss_proposes_in_every_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    def knn(queries: Array, gallery: Array, k: int) -> Any:
        calls.append((len(queries), len(gallery)))
        return faiss.knn(queries, gallery, k)

    monkeypatch.setattr(module, "faiss", type("Faiss", (), {"knn": staticmethod(knn)}))
    gallery, queries = data("random", 6 * 5, 6 * 15, 4)
    episode_neighbours(gallery.reshape(6, 5, 4), queries.reshape(6, 15, 4), 1)
    assert calls == [(15, 5)] * 6


def test_no_episode_or_no_query_gives_empty_answers() -> None:
    assert episode_neighbours(np.ones((0, 5, 3)), np.ones((0, 2, 3)), 2).indices.shape == (0, 2, 2)
    assert episode_neighbours(np.ones((2, 5, 3)), np.ones((2, 0, 3)), 1).indices.shape == (2, 0, 1)
    assert nearest_neighbours(np.ones((5, 3)), np.ones((0, 3)), 2).distances.shape == (0, 2)


# --- rows of zeros ----------------------------------------------------------------------


def test_rows_of_zeros_are_an_error_under_cosine_that_counts_them() -> None:
    gallery, queries = data("random", 20, 10, 4)
    queries[[3, 7]] = 0
    with pytest.raises(ProbeError, match=r"queries: 2 of 10 rows .*the first is row 3") as caught:
        nearest_neighbours(gallery, queries, 1)
    assert caught.value.code == "zero-norm"
    np.testing.assert_array_equal(np.flatnonzero(zero_rows(queries)), [3, 7])
    with pytest.raises(ProbeError, match=r"\(episode, row\) 0, 3"):
        episode_neighbours(gallery.reshape(2, 10, 4), queries.reshape(2, 5, 4), 1)


def test_rows_of_zeros_are_at_distance_one_where_that_is_asked_for() -> None:
    gallery, queries = data("random", 30, 10, 4)
    gallery[5], queries[3] = 0, 0
    found = nearest_neighbours(gallery, queries, 30, zeros="orthogonal")
    np.testing.assert_array_equal(found.indices[3], np.arange(30))
    assert (found.distances[3] == 1).all()
    assert (found.distances[found.indices == 5] == 1).all()
    theirs = NearestNeighbors(n_neighbors=30, algorithm="brute", metric="cosine").fit(gallery)
    np.testing.assert_allclose(found.distances, theirs.kneighbors(queries)[0], atol=1e-6)
    kept = nearest_neighbours(np.delete(gallery, 5, 0), np.delete(queries, 3, 0), 1)
    again = nearest_neighbours(gallery, np.delete(queries, 3, 0), 1, zeros="orthogonal")
    np.testing.assert_array_equal(kept.distances, again.distances)


# --- what is refused --------------------------------------------------------------------

ROWS = np.random.default_rng(0).normal(size=(10, 4))


def spoiled(value: float) -> Array:
    rows = ROWS.copy()
    rows[6, 2] = value
    return rows


def test_a_row_is_called_its_own_neighbour_only_where_it_is_one() -> None:
    for queries, said in ((range(10), True), (range(10, 20), False)):
        with pytest.raises(ProbeError, match="choose k <=") as refused:
            nearest_neighbours(ROWS, ROWS, 99, gallery_ids=range(10), query_ids=queries)
        assert ("(a row is not its own neighbour)" in str(refused.value)) == said


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("k-too-large", {"k": 11}),
        ("k-too-large", {"k": 10, "gallery_ids": range(10), "query_ids": range(10)}),
        ("k", {"k": 0}),
        ("k", {"k": 1.5}),
        ("k", {"k": True}),
        ("not-finite", {"gallery": spoiled(np.nan)}),
        ("not-finite", {"queries": spoiled(np.inf)}),
        ("not-finite", {"queries": spoiled(-1e200)}),
        ("zero-norm", {"gallery": np.zeros((10, 4))}),
        ("dimension", {"queries": np.ones((10, 5))}),
        ("empty", {"gallery": np.ones((0, 4))}),
        ("shape", {"gallery": np.ones(4)}),
        ("shape", {"gallery": np.ones((4, 0))}),
        ("shape", {"gallery": np.array([["a", "b"]])}),
        ("shape", {"queries": np.ones((2, 4), dtype=complex)}),
        ("metric", {"metric": "manhattan"}),
        ("zeros", {"zeros": "ignore"}),
        ("device", {"device": "tpu"}),
        ("device", {"device": "cuda:99"}),
        ("ids", {"query_ids": range(10)}),
        ("ids", {"gallery_ids": range(9)}),
        ("ids", {"gallery_ids": range(11)}),
        ("ids", {"gallery_ids": range(10), "query_ids": range(9)}),
        ("ids", {"gallery_ids": range(10), "query_ids": [str(i) for i in range(10)]}),
        ("ids", {"gallery_ids": np.linspace(0, 1, 10)}),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(code: str, arguments: dict[str, Any]) -> None:
    given_: dict[str, Any] = {"gallery": ROWS, "queries": ROWS, "k": 2, **arguments}
    with pytest.raises(ProbeError) as caught:
        nearest_neighbours(**given_)
    assert caught.value.code == code


def test_episodes_refuse_what_does_not_match() -> None:
    for code, gallery, queries, k in [
        ("shape", np.ones((2, 5, 3)), np.ones((3, 5, 3)), 1),
        ("shape", np.ones((5, 3)), np.ones((2, 5, 3)), 1),
        ("dimension", np.ones((2, 5, 3)), np.ones((2, 5, 4)), 1),
        ("k-too-large", np.ones((2, 5, 3)), np.ones((2, 5, 3)), 6),
        ("k-too-large", np.ones((2, 0, 3)), np.ones((2, 5, 3)), 1),
        ("k", np.ones((2, 5, 3)), np.ones((2, 5, 3)), 0),
    ]:
        with pytest.raises(ProbeError) as caught:
            episode_neighbours(gallery, queries, k)
        assert caught.value.code == code


def test_a_faiss_that_leaves_places_empty_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def knn(queries: Array, gallery: Array, k: int) -> tuple[Array, Array]:
        return np.full((len(queries), k), 3e38, "f4"), np.full((len(queries), k), -1)

    monkeypatch.setattr(faiss, "knn", knn)
    with pytest.raises(ProbeError) as caught:
        nearest_neighbours(ROWS, ROWS, 1, device="cpu")
    assert caught.value.code == "search-incomplete"


def test_a_gpu_is_used_where_faiss_finds_one_and_the_search_is_worth_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[int] = []

    def knn_gpu(resources: object, queries: Array, gallery: Array, k: int, device: int) -> Any:
        used.append(device)
        return faiss.knn(queries, gallery, k)

    expected = nearest_neighbours(ROWS, ROWS, 2, device="cpu")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
    monkeypatch.setattr(module, "_gpu_memory", lambda gpu: None)
    assert same(nearest_neighbours(ROWS, ROWS, 2, device="cuda:1"), expected)
    assert used == [1]
    nearest_neighbours(ROWS, ROWS, 2)
    assert used == [1]
    monkeypatch.setattr(module, "_GPU_WORTH", 1)
    nearest_neighbours(ROWS, ROWS, 2)
    assert used == [1, 0]
