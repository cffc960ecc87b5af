"""Omniglot: alphabets are groups, characters are classes, turns are classes on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError

from .layouts import pixels


def omniglot(root: Path) -> Path:
    """Two alphabets of training, one of evaluation, two characters each, drawn three times."""
    number = 0
    for top, alphabets in (
        ("images_background", ("Alphabet_of_the_Magi", "Greek")),
        ("images_evaluation", ("Angelic",)),
    ):
        for alphabet in alphabets:
            for character in ("character01", "character02"):
                number += 1
                place = root / top / alphabet / character
                place.mkdir(parents=True)
                for drawing in range(1, 4):
                    ink = pixels(100 * number + drawing, 105, grey=True) > 127
                    Image.fromarray(ink).save(place / f"{number:04d}_{drawing:02d}.png")
    return root


@pytest.mark.parametrize("named", ["", "omniglot:"])
def test_a_class_is_a_character_and_a_group_an_alphabet(tmp_path: Path, named: str) -> None:
    found = open_dataset(f"{named}{omniglot(tmp_path)}", "train")
    assert found.name == "omniglot"
    assert found.shape == (1, 105, 105)
    assert found.classes == (
        "Alphabet_of_the_Magi/character01",
        "Alphabet_of_the_Magi/character02",
        "Greek/character01",
        "Greek/character02",
    )
    assert found.groups == ("Alphabet_of_the_Magi",) * 2 + ("Greek",) * 2
    assert found.ids[0] == "images_background/Alphabet_of_the_Magi/character01/0001_01.png"
    assert set(np.unique(found.images)) == {0, 255}
    assert np.array_equal(found.images[0, 0] == 255, pixels(101, 105, grey=True) > 127)


def test_splits_go_by_the_names_of_the_folders_too(tmp_path: Path) -> None:
    omniglot(tmp_path)
    assert open_dataset(tmp_path, "evaluation").classes[0] == "Angelic/character01"
    same = [open_dataset(tmp_path, s).fingerprint for s in ("train", "background")]
    assert same[0] == same[1]
    assert len(open_dataset(tmp_path, "all").classes) == 6
    with pytest.raises(DataError, match="it has train, test"):
        open_dataset(tmp_path, "validation")


def test_turned_characters_are_classes_only_on_request(tmp_path: Path) -> None:
    plain = open_dataset(omniglot(tmp_path), "test")
    turned = open_dataset(f"omniglot-rotated:{tmp_path}", "test")
    assert len(turned.classes) == 4 * len(plain.classes)
    assert set(turned.groups) == set(plain.groups)
    row = list(turned.ids).index(f"{plain.ids[4]}#rot090")
    assert turned.classes[turned.labels[row]] == "Angelic/character02#rot090"
    with Image.open(tmp_path / plain.ids[4]) as image:
        assert np.array_equal(turned.images[row, 0], np.asarray(image.convert("L").rotate(90)))
