"""Episodes are a function of the seed, their number and the data, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metaprobe.data.episodes import EpisodeList, Tasks, draw_episodes
from metaprobe.data.errors import DataError
from metaprobe.data.images import LabelledImages
from metaprobe.data.synthetic import planted_images

DATA = planted_images(classes=14, samples=20, size=4)
OTHER = replace(planted_images(classes=9, samples=12, size=4, seed=5), name="other")

sizes = st.fixed_dictionaries(
    {
        "way": st.integers(2, 7),
        "shot": st.integers(1, 4),
        "query": st.integers(1, 8),
        "seed": st.integers(0, 2**31),
        "replacement": st.booleans(),
    }
)


def parts(tasks: Tasks) -> list[NDArray[np.int64]]:
    return [tasks.classes, tasks.support, tasks.query, tasks.gallery]


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_rows_belong_to_their_classes_and_no_image_has_two_roles(size: dict[str, Any]) -> None:
    drawn = draw_episodes(DATA, 1, **size)
    for tasks in (drawn.on, drawn.off):
        rows = np.concatenate([tasks.support, tasks.query, tasks.gallery], axis=2)
        assert (DATA.labels[rows] == tasks.classes[:, :, None]).all()
        for episode in rows.reshape(len(rows), -1):
            assert len(np.unique(episode)) == len(episode)
        assert tasks.shape == (size["way"], size["shot"], size["query"])


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_the_two_tasks_of_an_episode_share_no_class(size: dict[str, Any]) -> None:
    drawn = draw_episodes(DATA, 1, **size)
    for on, off in zip(drawn.on.classes, drawn.off.classes, strict=True):
        assert len({*on, *off}) == 2 * size["way"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 12))
def test_an_episode_does_not_depend_on_how_many_are_drawn(seed: int, few: int, more: int) -> None:
    short = draw_episodes(DATA, few, query=5, seed=seed)
    long = draw_episodes(DATA, few + more, query=5, seed=seed)
    assert long[:few].sha256 == short.sha256
    for one, other in zip(parts(short.on), parts(long.on), strict=True):
        assert np.array_equal(one, other[:few])


def test_the_hash_sees_the_seed_the_data_and_every_index() -> None:
    base = draw_episodes(DATA, 3, query=5)
    shifted = planted_images(classes=14, samples=20, size=4, seed=1)
    assert base.sha256 == draw_episodes(DATA, 3, query=5).sha256
    assert base.sha256 != draw_episodes(DATA, 3, query=5, seed=1).sha256
    assert base.sha256 != draw_episodes(shifted, 3, query=5).sha256
    swapped = base.off.query.copy()
    swapped[0, 0, [0, 1]] = swapped[0, 0, [1, 0]]
    off = Tasks(base.off.classes, base.off.support, swapped, base.off.gallery)
    assert EpisodeList(base.on, off, base.seed, base.fingerprints).sha256 != base.sha256


def test_another_fingerprint_gives_other_episodes() -> None:
    twin = planted_images(classes=14, samples=20, size=4, seed=1)
    one, other = draw_episodes(DATA, 5, query=5), draw_episodes(twin, 5, query=5)
    assert not np.array_equal(one.on.query, other.on.query)


def test_far_tasks_come_from_the_other_dataset() -> None:
    drawn = draw_episodes(DATA, 4, way=5, query=5, off_data=OTHER)
    assert drawn.off.classes.max() < len(OTHER.classes)
    assert (OTHER.labels[drawn.off.query] == drawn.off.classes[:, :, None]).all()
    assert drawn.fingerprints == (DATA.fingerprint, OTHER.fingerprint)


def test_far_tasks_from_another_split_need_classes_apart() -> None:
    rows = np.flatnonzero(DATA.labels < 10)
    part = replace(DATA, split="part", images=DATA.images[rows], labels=DATA.labels[rows],
                   ids=DATA.ids[rows])  # fmt: skip
    assert part.fingerprint != DATA.fingerprint
    with pytest.raises(DataError, match="shares 14 classes") as refused:
        draw_episodes(DATA, 2, query=5, off_data=part)
    assert refused.value.code == "classes-shared"
    # classes of one name in two datasets may be different things
    assert len(draw_episodes(DATA, 2, query=5, off_data=replace(part, name="elsewhere"))) == 2


def test_without_replacement_no_image_serves_twice_and_the_list_only_grows() -> None:
    drawn = draw_episodes(DATA, 4, way=3, shot=1, query=3, seed=2, replacement=False)
    rows = np.concatenate(
        [p.ravel() for t in (drawn.on, drawn.off) for p in (t.support, t.query, t.gallery)]
    )
    assert len(np.unique(rows)) == len(rows)
    fewer = draw_episodes(DATA, 2, way=3, shot=1, query=3, seed=2, replacement=False)
    assert drawn[:2].sha256 == fewer.sha256


def test_without_replacement_the_images_run_out() -> None:
    with pytest.raises(DataError, match="without replacement"):
        draw_episodes(DATA, 100, way=3, query=3, replacement=False)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"way": 8}, "14 classes"),
        ({"query": 19}, "21 images"),
        ({"shot": 0}, "shot is 0"),
        ({"query": 0}, "query is 0"),
        ({"way": 1}, "way is 1"),
        ({"off_data": DATA}, "on-task data itself"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(
    wanted: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        draw_episodes(DATA, 2, **wanted)


def test_a_class_with_too_few_images_is_never_drawn() -> None:
    rows = np.concatenate([np.flatnonzero(DATA.labels != 3), np.flatnonzero(DATA.labels == 3)[:5]])
    thin = LabelledImages(
        "thin",
        "all",
        DATA.images[rows],
        DATA.labels[rows],
        DATA.ids[rows],
        DATA.classes,
        DATA.groups,
    )
    drawn = draw_episodes(thin, 50, query=5)
    assert 3 not in drawn.on.classes
    assert 3 not in drawn.off.classes
