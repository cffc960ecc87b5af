"""Heads to start from."""

from __future__ import annotations

import pytest
import torch

from metaprobe.data.errors import CheckpointError
from metaprobe.models.forward import logits_of
from metaprobe.models.heads import class_means, default_head, starting_head

from .networks import noise

STORED = {"head.weight": noise(5, 7, seed=1), "head.bias": noise(5, seed=2)}


def test_the_class_means_head_ranks_by_distance_to_the_means() -> None:
    support, query = noise(2, 6, 7, seed=3), noise(2, 4, 7, seed=4)
    logits = logits_of(starting_head("class-means", {}, support, 3, 2), query)
    for e in range(2):
        for q in range(4):
            far = torch.stack(
                [
                    (query[e, q] - support[e, 2 * c : 2 * c + 2].mean(0)).norm() ** 2
                    for c in range(3)
                ]
            )
            offset = logits[e, q] + far  # the same for every class: |q|²
            torch.testing.assert_close(offset, offset[:1].expand(3))


def test_means_are_taken_over_class_major_rows() -> None:
    rows = torch.tensor([[[1.0], [3.0], [10.0], [30.0]]])
    assert class_means(rows, 2, 2).tolist() == [[[2.0], [20.0]]]


def test_the_stored_head_is_every_episodes() -> None:
    head = starting_head("stored", STORED, noise(3, 5, 7, seed=5), 5, 1)
    assert all(torch.equal(head[n][e], STORED[n]) for n in STORED for e in range(3))


def test_zeros_have_no_opinion() -> None:
    support = noise(3, 5, 7, seed=5)
    head = starting_head("zeros", {}, support, 5, 1)
    logits = logits_of(head, support)
    assert logits.shape == (3, 5, 5)
    assert not logits.any()
    assert logits.dtype == torch.float64


@pytest.mark.parametrize("stored", [STORED, {}], ids=["another width", "none"])
def test_a_stored_head_of_another_width_is_refused(stored: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="outputs and the episodes have 3 classes") as refused:
        starting_head("stored", stored, noise(1, 3, 7, seed=5), 3, 1)
    assert refused.value.code == "head-way"


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(CheckpointError, match="choose stored, class-means, zeros"):
        starting_head("ones", STORED, noise(1, 5, 7, seed=5), 5, 1)  # type: ignore[arg-type]


def test_the_stored_head_is_used_where_it_fits() -> None:
    assert default_head(STORED, 5) == "stored"
    assert default_head(STORED, 3) == "zeros"
    assert default_head({}, 5) == "zeros"
