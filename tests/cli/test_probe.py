"""`metaprobe probe`: a whole dataset, by neighbours, class means and a linear probe."""

from __future__ import annotations

import json

import pytest

from .conftest import Command

DIGITS = ("maml-glyphs-s0", "--data", "digits", "--reference", "train", "--json")


def test_two_splits_are_judged_by_every_probe(command: Command) -> None:
    done = command("probe", *DIGITS, "--target", "test", "-k", 1, "-k", 20)
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert set(found["accuracy"]) == {"1", "20"}
    for share in (*found["accuracy"].values(), found["class_mean"], found["linear"]):
        assert 0.6 < share < 1  # one in ten by chance


def test_one_split_is_judged_by_its_own_neighbours_alone(command: Command) -> None:
    found = json.loads(command("probe", *DIGITS, "-k", 1).out)
    assert found["accuracy"]["1"] == pytest.approx(0.85, abs=0.1)
    assert (found["class_mean"], found["linear"]) == (None, None)
