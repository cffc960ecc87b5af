"""Controls have the form of an adaptation and none of its content."""

from __future__ import annotations

import torch

from metaprobe.data.episodes import draw_episodes
from metaprobe.data.synthetic import planted_images
from metaprobe.models.tensors import label_tensor
from metaprobe.probes.controls import dealt_labels, random_direction

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
