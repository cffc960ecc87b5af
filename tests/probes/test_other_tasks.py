"""Other tasks are apart from the episode's own, and the same however episodes lie in blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaprobe.data.episodes import draw_episodes
from metaprobe.data.errors import ProbeError
from metaprobe.data.synthetic import planted_images
from metaprobe.probes.other_tasks import other_tasks, places
from metaprobe.probes.wander import itinerary

EPISODES = draw_episodes(planted_images(classes=40), 8, way=5, shot=1, query=3)
MANY = draw_episodes(planted_images(classes=40), 41, way=5, shot=1, query=3)


def test_other_tasks_share_as_few_classes_with_either_of_ones_own_as_any_do() -> None:
    found = other_tasks(EPISODES, EPISODES, 3)
    assert found.shape == (8, 3)
    for e, others in enumerate(found):
        own = {*EPISODES.on.classes[e], *EPISODES.off.classes[e]}
        shared = [len(own & set(EPISODES.on.classes[o])) for o in range(8) if o != e]
        assert [len(own & set(EPISODES.on.classes[o])) for o in others] == sorted(shared)[:3]
        assert e not in others


def test_classes_of_another_dataset_are_not_ones_own() -> None:
    far = replace(EPISODES, fingerprints=("a", "b"))
    for e, [other] in enumerate(other_tasks(far, far, 1)):
        own = set(far.on.classes[e])
        shared = [len(own & set(far.on.classes[o])) for o in range(8) if o != e]
        assert len(own & set(far.on.classes[other])) == min(shared)


def test_a_short_list_begins_anew() -> None:
    assert other_tasks(EPISODES[:2], EPISODES[:2], 3).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_one_episode_alone_and_a_block_of_other_episodes_are_refused() -> None:
    with pytest.raises(ProbeError, match="two episodes or more"):
        other_tasks(EPISODES[:1], EPISODES[:1], 1)
    with pytest.raises(ProbeError, match="episode 0 of the block is none of the 4 episodes"):
        places(EPISODES[6:], EPISODES[:4])


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_walk_begins_at_home_and_is_the_same_in_blocks_of_any_size(size: int) -> None:
    blocks = [MANY[i : i + size] for i in range(0, 41, size)]
    walk = np.concatenate([itinerary(block, MANY, 4) for block in blocks])
    assert np.array_equal(walk, itinerary(MANY, MANY, 4))
    assert np.array_equal(walk[:, 0], np.arange(41))
    assert np.array_equal(walk[:, 1], other_tasks(MANY, MANY, 1)[:, 0])
