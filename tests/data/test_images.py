"""Labelled images check themselves, and their fingerprint sees everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import DataError
from metaprobe.data.fit import fit_images
from metaprobe.data.synthetic import planted_images

DATA = planted_images(classes=4, samples=3, size=8, groups=2)


def nudged(array: NDArray[Any]) -> NDArray[Any]:
    out = array.copy()
    out.flat[0] = out.flat[0] ^ 1
    return out


@pytest.mark.parametrize(
    "change",
    [
        {"images": nudged(DATA.images)},
        {"labels": DATA.labels[::-1].copy()},
        {"ids": DATA.ids[::-1].copy()},
        {"classes": DATA.classes[::-1]},
        {"groups": DATA.groups[::-1]},
        {"images": (DATA.images / 255).astype(np.float32)},
    ],
    ids=lambda c: next(iter(c)),
)
def test_the_fingerprint_sees_every_part(change: dict[str, Any]) -> None:
    assert replace(DATA, **change).fingerprint != DATA.fingerprint


def test_the_fingerprint_does_not_depend_on_the_name() -> None:
    assert replace(DATA, name="other", split="x").fingerprint == DATA.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": DATA.images[:, 0]}, "shape"),
        ({"images": DATA.images.astype(np.int32)}, "int32"),
        ({"labels": DATA.labels[:-1]}, "labels"),
        ({"labels": DATA.labels + 1}, "4 classes"),
        ({"ids": np.repeat(DATA.ids[:1], len(DATA))}, "repeats"),
        ({"groups": DATA.groups[:1]}, "groups"),
        ({"images": np.full(DATA.images.shape, np.nan, np.float32)}, "nan"),
        ({"images": np.full(DATA.images.shape, 255, np.float32)}, "255"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        replace(DATA, **change)


def test_a_subset_renumbers_its_classes_and_keeps_their_images() -> None:
    part = DATA.subset([2, 0])
    assert part.classes == (DATA.classes[2], DATA.classes[0])
    assert np.array_equal(part.images[:3], DATA.images[DATA.labels == 2])
    assert part.labels.tolist() == [0] * 3 + [1] * 3


def test_groups_select_classes() -> None:
    part = DATA.only_groups(["group 1"])
    assert part.classes == ("class 1", "class 3")
    with pytest.raises(DataError, match="group 0, group 1"):
        DATA.only_groups(["nonsense"])
    with pytest.raises(DataError, match="class 9"):
        DATA.subset([9])


def test_fitting_needs_leave_and_says_what_was_done() -> None:
    same, how = fit_images(DATA, (1, 8, 8), resize=False)
    assert same is DATA
    assert how == "as stored"
    with pytest.raises(DataError, match="--resize"):
        fit_images(DATA, (3, 12, 12), resize=False)
    large, how = fit_images(DATA, (3, 12, 12), resize=True)
    assert large.images.shape == (12, 3, 12, 12)
    assert how == "channel repeated, bilinear 8x8 to 12x12"
    assert (large.images[:, 0] == large.images[:, 2]).all()


def test_colour_becomes_grey_by_luma() -> None:
    colour = replace(DATA, images=np.zeros((12, 3, 8, 8), np.uint8))
    colour.images[:, 1] = 255
    grey, how = fit_images(colour, (1, 8, 8), resize=True)
    assert how == "luma"
    assert (grey.images == round(0.587 * 255)).all()
    with pytest.raises(DataError, match="3 to 1"):
        fit_images(colour, (2, 8, 8), resize=True)


def test_embeddings_refuse_what_is_not_finite_or_does_not_fit() -> None:
    ids, labels = np.array(["a", "b"]), np.array([0, 1])
    with pytest.raises(DataError, match="row 1 \\(id b\\)"):
        Embeddings(np.array([[0.0], [np.nan]], np.float32), ids, labels)
    with pytest.raises(DataError, match="1 features"):
        Embeddings(np.zeros((1, 2), np.float32), ids, labels)
    with pytest.raises(DataError, match="\\(N, D\\)"):
        Embeddings(np.zeros(2, np.float32), ids, labels)
