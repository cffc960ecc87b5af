"""The glyphs: real classes, scripts apart, look-alikes kept out, the same on every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from metaprobe.data import glyphs
from metaprobe.data.datasets import open_dataset
from metaprobe.data.digits import digits
from metaprobe.data.errors import DataError
from metaprobe.data.images import LabelledImages


@pytest.fixture(scope="module")
def built() -> dict[str, LabelledImages]:
    return glyphs.build(glyphs.Recipe())


def test_it_has_the_promised_size(built: dict[str, LabelledImages]) -> None:
    assert sum(len(d.classes) for d in built.values()) > 2500
    assert len({g for d in built.values() for g in d.groups}) == 16
    assert all(d.shape == (1, 28, 28) for d in built.values())
    assert len(built["test"].classes) >= 300
    for data in built.values():
        assert all(len(rows) == 20 for rows in data.rows_by_class)


def test_no_script_and_no_character_is_in_two_splits(built: dict[str, LabelledImages]) -> None:
    groups = [g for d in built.values() for g in set(d.groups)]
    names = [c for d in built.values() for c in d.classes]
    assert len(groups) == len(set(groups))
    assert len(names) == len(set(names))


def test_characters_that_look_like_another_scripts_are_not_evaluated(
    built: dict[str, LabelledImages],
) -> None:
    evaluated = {c for name in ("validation", "test") for c in built[name].classes}
    assert "latin/U+0041" in built["train"].classes
    for twin in ("greek/U+0391", "cyrillic/U+0410", "cyrillic/U+041E", "greek/U+039F"):
        assert twin not in evaluated
    assert "cyrillic/U+0416" in evaluated  # Ж looks like no letter of another script


def test_no_evaluated_character_correlates_with_one_of_another_script() -> None:
    recipe = glyphs.Recipe()
    groups, canvases = glyphs.draw_all(recipe)
    dropped = glyphs.look_alikes(canvases, groups, recipe)
    train = [c for c in groups if groups[c] in glyphs.SPLITS["train"]]
    test = [c for c in groups if groups[c] in glyphs.SPLITS["test"] and c not in dropped]

    def flat(names: list[str]) -> NDArray[np.float64]:
        images = [gaussian_filter(canvases[c][0].astype(float), 1.5).ravel() for c in names]
        return np.corrcoef(images)

    both = flat(test[::7] + train[::7])
    assert both[: len(test[::7]), len(test[::7]) :].max() <= recipe.alike + 1e-6


def test_building_twice_gives_the_same_bytes_and_the_disk_gives_them_back(
    built: dict[str, LabelledImages], datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = open_dataset(
        "glyphs", "validation", cache=datasets
    )  # built apart, by whoever asked first
    monkeypatch.setattr(glyphs, "build", None)
    kept = open_dataset("glyphs", "validation", cache=datasets)
    assert again.fingerprint == kept.fingerprint == built["validation"].fingerprint
    assert list(datasets.glob("datasets/*/test.npz"))


def test_another_seed_gives_other_samples_of_the_same_classes() -> None:
    canvases = np.zeros((4, 64, 64), np.uint8)
    canvases[:, 20:44, 28:36] = 255
    recipe = glyphs.Recipe()
    one, again, other = (
        glyphs.sample(canvases, recipe, np.random.SeedSequence(s)) for s in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_warp_of_the_identity_only_resamples() -> None:
    smooth = gaussian_filter(np.random.default_rng(0).random((1, 56, 56)), (0, 3, 3))
    canvas: NDArray[np.float32] = smooth.astype(np.float32)
    out = glyphs.warp(canvas, np.eye(2)[None], np.zeros((1, 2)), 28)
    expected = canvas.reshape(1, 28, 2, 28, 2).mean(axis=(2, 4))
    assert np.abs(out - expected).max() < 1e-5


def test_an_unknown_split_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="train, validation, test, far"):
        open_dataset("glyphs", "dev")


def test_digits_are_enlarged_and_split() -> None:
    whole, train, test = digits(), digits("train"), digits("test")
    assert whole.shape == (1, 28, 28)
    assert len(train) + len(test) == len(whole) == 1797
    assert whole.images.max() == 255
    assert not set(train.ids) & set(test.ids)
    with pytest.raises(DataError, match="all, train or test"):
        digits("dev")
