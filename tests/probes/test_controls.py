"""Controls have the form of an adaptation and none of its content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from metaprobe.data.episodes import draw_episodes
from metaprobe.data.errors import ProbeError
from metaprobe.data.synthetic import planted_images
from metaprobe.models.tensors import label_tensor
from metaprobe.probes.controls import dealt_labels, other_supports, random_direction
from metaprobe.probes.wander import itinerary

EPISODES = draw_episodes(planted_images(classes=40), 8, way=5, shot=1, query=3)


def test_a_random_direction_is_as_long_and_goes_elsewhere() -> None:
    draw = torch.Generator().manual_seed(0)
    before = {"a": torch.randn(8, 30, 20, generator=draw), "b": torch.randn(8, 4, generator=draw)}
    after = {"a": before["a"] + torch.randn(8, 30, 20, generator=draw), "b": before["b"]}
    moved = random_direction(before, after, EPISODES)
    step, other = (x["a"] - before["a"] for x in (after, moved))
    torch.testing.assert_close(other.flatten(1).norm(dim=1), step.flatten(1).norm(dim=1))
    cosine = torch.cosine_similarity(step.flatten(1), other.flatten(1), dim=1)
    assert cosine.abs().max() < 0.2
    assert moved["b"] is after["b"]
    part = [{n: p[2:4] for n, p in x.items()} for x in (before, after)]
    alone = random_direction(part[0], part[1], EPISODES[2:4])
    torch.testing.assert_close(alone["a"], moved["a"][2:4])


def test_labels_are_dealt_anew_in_every_episode() -> None:
    labels = label_tensor(8, 5, 1)
    dealt = dealt_labels(labels, EPISODES)
    assert torch.equal(dealt.sort(dim=1).values, labels)
    assert bool((dealt != labels).any(dim=1).all())


def test_a_third_task_shares_no_class_with_either() -> None:
    third = other_supports(EPISODES, EPISODES)
    assert third.shape == EPISODES.on.support.shape
    by_row = {tuple(s.ravel()): set(c) for s, c in
              zip(EPISODES.on.support, EPISODES.on.classes, strict=True)}  # fmt: skip
    for e, rows in enumerate(third):
        own = {*EPISODES.on.classes[e], *EPISODES.off.classes[e]}
        others = [own & set(EPISODES.on.classes[o]) for o in range(8) if o != e]
        assert len(own & by_row[tuple(rows.ravel())]) == min(map(len, others))
    with pytest.raises(ProbeError, match="two episodes or more"):
        other_supports(EPISODES[:1], EPISODES[:1])
    with pytest.raises(ProbeError, match="none of the 4 episodes"):
        other_supports(EPISODES[6:], EPISODES[:4])


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_third_task_is_the_same_in_blocks_of_any_size(size: int) -> None:
    many = draw_episodes(planted_images(classes=40), 41, way=5, shot=1, query=3)
    blocks = [many[i : i + size] for i in range(0, 41, size)]
    third = np.concatenate([other_supports(block, many) for block in blocks])
    assert np.array_equal(third, other_supports(many, many))


def test_a_walk_begins_at_home_and_keeps_away_from_what_is_asked() -> None:
    ways = itinerary(EPISODES, 4)
    assert np.array_equal(ways[:, 0], np.arange(8))
    for e, way in enumerate(ways):
        asked = set(EPISODES.off.classes[e])
        shared = [len(asked & set(EPISODES.on.classes[o])) for o in range(8) if o != e]
        assert sorted(shared)[:3] == [len(asked & set(EPISODES.on.classes[o])) for o in way[1:]]
    far = replace(EPISODES, fingerprints=("a", "b"))
    assert itinerary(far, 3)[0].tolist() == [0, 1, 2]
