"""A half-trained encoder on disk is read whole, by what it was made from, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metaprobe.data.errors import CheckpointError
from metaprobe.models.container import encode
from metaprobe.models.state import State, load_state, save_state

MARK = {"mark": "recipe and data", "validation": "f00d"}

STATE = State(
    step=7,
    params={"body.w": torch.randn(3, 2), "head.bias": torch.randn(5)},
    rates={"body.w": torch.randn(3, 2)},
    moments={"first.params.body.w": torch.randn(3, 2), "second.rates.body.w": torch.randn(3, 2)},
    best=0.1 + 0.2,
    best_step=4,
    kept={"params.body.w": torch.randn(3, 2)},
    history=((2, 1 / 3, 0.25), (4, 1e-300, 0.1 + 0.2)),
)


def test_every_number_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    save_state(tmp_path / "s", STATE, MARK)
    found = load_state(tmp_path / "s", MARK)
    for part in ("step", "best", "best_step", "history"):
        assert getattr(found, part) == getattr(STATE, part)
    for part in ("params", "rates", "moments", "kept"):
        one, other = getattr(found, part), getattr(STATE, part)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[n], other[n]) for n in one)
    save_state(tmp_path / "t", found, MARK)
    assert (tmp_path / "t").read_bytes() == (tmp_path / "s").read_bytes()


@pytest.mark.parametrize("part", list(MARK))
def test_a_state_of_something_else_is_refused(tmp_path: Path, part: str) -> None:
    save_state(tmp_path / "s", STATE, MARK)
    with pytest.raises(CheckpointError, match="delete it, or choose another --out") as refused:
        load_state(tmp_path / "s", {**MARK, part: "other"})
    assert refused.value.code == "other-recipe"


def test_a_state_from_before_the_validation_data_were_marked_goes_on(tmp_path: Path) -> None:
    save_state(tmp_path / "s", STATE, {"mark": MARK["mark"]})
    assert load_state(tmp_path / "s", MARK).step == 7


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "s", STATE, MARK)
    raw = (tmp_path / "s").read_bytes()
    (tmp_path / "folder").mkdir()
    for name, content in {
        "empty": b"",
        "cut": raw[:-3],
        "text": b"step = 7",
        "foreign": encode({"w": torch.zeros(2)}, {}),
        "words": encode({}, {"state": "[]"}),
        "few": encode({}, {"state": '{"mark": "recipe and data"}'}),
    }.items():
        (tmp_path / name).write_bytes(content)
    for name in ("empty", "cut", "text", "foreign", "words", "few", "folder", "none"):
        with pytest.raises(CheckpointError, match="delete it to begin again") as refused:
            load_state(tmp_path / name, MARK)
        assert refused.value.code == "damaged"
