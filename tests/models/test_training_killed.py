"""Killed at any moment and started again, training ends in the bytes of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaprobe.data.errors import CheckpointError
from metaprobe.data.synthetic import planted_images
from metaprobe.models import training
from metaprobe.models.learners import LEARNERS
from metaprobe.models.state import State
from metaprobe.models.training import train

from .runs import tiny_recipe, trained, training_data, validation_data


class Killed(BaseException):
    """Not an error anyone would catch."""


def run(path: Path, learner: str = "maml", progress: Any = None, **changes: Any) -> State:
    recipe = tiny_recipe(learner, **changes)
    return train(recipe, training_data(), validation_data(), path, progress=progress)


def killed_after(step: int) -> Any:
    def progress(state: State) -> None:
        if state.step == step:
            raise Killed

    return progress


@pytest.mark.parametrize("learner", LEARNERS)
def test_an_end_after_any_step_leaves_no_trace(learner: str, tmp_path: Path) -> None:
    expected = trained(tmp_path / "undisturbed", learner).read_bytes()
    path = tmp_path / "killed" / "one.safetensors"
    for step in range(1, 6):
        with pytest.raises(Killed):
            run(path, learner, killed_after(step))
        assert not path.exists()
    run(path, learner)
    assert path.read_bytes() == expected
    assert list(path.parent.iterdir()) == [path]


def test_what_was_done_before_a_look_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    with pytest.raises(Killed):
        run(path, progress=killed_after(4))
    steps: list[int] = []
    run(path, progress=lambda state: steps.append(state.step))
    assert steps == [5]


@pytest.mark.parametrize("call", range(1, 5))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_end_while_a_file_is_put_in_its_place_leaves_no_trace(
    moment: str, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three looks and the result: four files are put in their places."""
    expected = trained(tmp_path / "undisturbed").read_bytes()
    path = tmp_path / "killed" / "one.safetensors"
    calls = 0
    replace = os.replace

    def cut(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call and moment == "before":
            raise Killed
        replace(*args)
        if calls == call:
            raise Killed

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(Killed):
        run(path)
    monkeypatch.undo()
    run(path)
    assert path.read_bytes() == expected
    assert not path.with_name(path.name + ".partial").exists()


def test_an_end_between_an_early_stop_and_the_result_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the last look is on disk and the result is not: no further step may follow."""
    changes: dict[str, Any] = {"outer": {"steps": 50}, "validation": {"every": 1, "patience": 2}}
    found = {1: 0.5, 2: 0.6, 3: 0.6, 4: 0.4, 5: 0.9}
    monkeypatch.setattr(training, "validate", lambda recipe, data, state: found[state.step])
    run(tmp_path / "undisturbed", **changes)

    def cut(*args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_checkpoint", cut)
        with pytest.raises(Killed):
            run(tmp_path / "killed", **changes)
    assert run(tmp_path / "killed", **changes).step == 4
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "undisturbed").read_bytes()


@pytest.mark.parametrize("other", ["recipe", "seed", "data", "validation"])
def test_a_half_trained_encoder_of_something_else_is_refused_and_kept(
    other: str, tmp_path: Path
) -> None:
    path = tmp_path / "one.safetensors"
    with pytest.raises(Killed):
        run(path, progress=killed_after(3))
    partial = path.with_name(path.name + ".partial")
    before = partial.read_bytes()
    recipe = {
        "recipe": tiny_recipe(inner={"steps": 1}),
        "seed": tiny_recipe(seed=4),
    }.get(other, tiny_recipe())
    data = planted_images(9, 6, size=16, seed=9) if other == "data" else training_data()
    judge = planted_images(8, 12, size=16, seed=9) if other == "validation" else validation_data()
    with pytest.raises(CheckpointError, match="of another recipe, dataset or version") as refused:
        train(recipe, data, judge, path)
    assert refused.value.code == "other-recipe"
    assert partial.read_bytes() == before
    assert not path.exists()


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from metaprobe.data.synthetic import planted_images
from metaprobe.models.recipe import Recipe
from metaprobe.models.training import train

out, recipe, end = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])

def progress(state):
    print(state.step, flush=True)
    if state.step == end:
        os.kill(os.getpid(), signal.SIGKILL)

data, judge = planted_images(9, 6, size=16, seed=1), planted_images(8, 12, size=16, seed=2)
train(Recipe.model_validate(recipe), data, judge, out, progress=progress)
"""


def in_a_process(path: Path, end: int, **changes: Any) -> list[str]:
    """Train in a process of its own; it ends itself after step `end`, or never at 0."""
    recipe = json.dumps(tiny_recipe("meta-sgd", **changes).model_dump())
    return [sys.executable, "-c", SCRIPT, str(path), recipe, str(end)]


def test_a_process_killed_between_looks_goes_on_in_another(tmp_path: Path) -> None:
    expected = trained(tmp_path / "undisturbed", "meta-sgd").read_bytes()
    path = tmp_path / "one.safetensors"
    done = subprocess.run(in_a_process(path, 3), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["1", "2", "3"]
    assert not path.exists()
    run(path, "meta-sgd")
    assert path.read_bytes() == expected


@pytest.mark.slow
def test_processes_killed_at_random_moments_end_in_the_same_bytes(tmp_path: Path) -> None:
    """Twelve kills from outside, wherever they fall: in a step, a look, a write or an import."""
    changes: dict[str, Any] = {
        "outer": {"steps": 120},
        "validation": {"every": 3, "patience": 99},
    }
    expected = trained(tmp_path / "undisturbed", "meta-sgd", **changes).read_bytes()
    path = tmp_path / "killed" / "one.safetensors"
    rng = np.random.default_rng(0)
    for _ in range(12):
        with subprocess.Popen(in_a_process(path, 0, **changes), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the first step is done: kills fall where the work is
            time.sleep(float(rng.uniform(0, 0.6)))
            process.kill()
        if path.exists():
            break
    run(path, "meta-sgd", **changes)
    assert path.read_bytes() == expected
