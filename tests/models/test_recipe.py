"""A recipe says what it means, or is refused with the place and the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.errors import CheckpointError
from metaprobe.models.learners import LEARNERS
from metaprobe.models.recipe import Recipe, read_recipe

COMMITTED = sorted((Path(__file__).parents[2] / "checkpoints" / "recipes").glob("*.toml"))


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "recipe.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: p.stem)
def test_every_committed_recipe_is_read_and_names_its_learner(path: Path) -> None:
    recipe = read_recipe(path)
    learner, _, start = path.stem.partition("-init")
    assert recipe.learner == learner
    assert recipe.init_seed == (int(start) if start else None)
    assert recipe.rule.steps == 5
    assert recipe.rule.adapts == LEARNERS[recipe.learner].adapts


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'learner = "boil"\nseed = 4\nnorm = "support"\n[inner]\nlr = 1\nsteps = 0\n'
        '[architecture]\nname = "resnet12"\nwidths = [4, 6]\n[task]\nway = 7\n',
    )
    recipe = read_recipe(path)
    assert (recipe.seed, recipe.norm, recipe.task.way, recipe.task.shot) == (4, "support", 7, 1)
    assert (recipe.rule.lr, recipe.rule.steps, recipe.rule.adapts) == (1.0, 0, "body")
    assert recipe.architecture == {"name": "resnet12", "widths": [4, 6]}


def test_a_seed_given_beside_the_file_replaces_the_files(tmp_path: Path) -> None:
    path = written(tmp_path, 'learner = "maml"\nseed = 4\n')
    assert read_recipe(path, seed=9).seed == 9
    with pytest.raises(CheckpointError, match="seed: input should be greater than or equal to 0"):
        read_recipe(path, seed=-1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('learner = "maml"\nlearning_rate = 1.0', "learning_rate: extra inputs"),
        ('learner = "maml"\n[outer]\nstepps = 5', "outer.stepps: extra inputs"),
        ('learner = "reptile"', "learner: input should be 'maml'"),
        ("seed = 1", "learner: field required"),
        ('learner = "bmg"\n[bootstrap]\nsteps = 0', "bootstrap.steps: input should be greater"),
        ('learner = "bmg"\n[bootstrap]\nrate = 0.0', "bootstrap.rate: input should be greater"),
        ('learner = "lslr"\n[bootstrap]\nsteps = 2', "'lslr' has no target"),
        ('learner = "maml"\n[outer]\nsteps = "many"', "outer.steps: input should be a valid int"),
        ('learner = "maml"\n[outer]\nsteps = "5"', "outer.steps: input should be a valid int"),
        ('learner = "maml"\n[outer]\nsteps = true', "outer.steps: input should be a valid int"),
        ('learner = "maml"\n[outer]\nsteps = 1.5', "outer.steps: input should be a valid int"),
        ('learner = "maml"\n[outer]\nsteps = 0', "outer.steps: input should be greater"),
        ('learner = "maml"\n[outer]\nlr = 0.0', "outer.lr: input should be greater"),
        ('learner = "maml"\n[outer]\nlr = nan', "outer.lr: input should be"),
        ('learner = "maml"\n[inner]\nlr = inf', "inner.lr: input should be a finite"),
        ('learner = "maml"\n[task]\nway = 1', "task.way: input should be greater"),
        ('learner = "maml"\nseed = 99999999999999999999', "seed: input should be less than"),
        ('learner = "maml"\ntask = 5', "task: input should be"),
        ('learner = "maml"\nnorm = "layer"', "norm: input should be"),
        ('learner = "maml"\narchitecture = "conv4"', "architecture: input should be a valid dict"),
        ('learner = "maml"\n[architecture]\nname = "conv4"\nfilter = 8', "takes no 'filter'"),
        ('learner = "maml"\n[architecture]\nname = "vgg"', "architecture 'vgg' is unknown"),
        (
            'learner = "maml"\n[architecture]\nname = "conv4"\nfilters = 1000000',
            "architecture: architecture 'conv4' with filters=1000000",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        read_recipe(written(tmp_path, text))
    assert place in str(refused.value)
    assert refused.value.code == "recipe"


@pytest.mark.parametrize(
    "content",
    [
        "learner = maml",
        "[[[",
        '{"learner": "maml"}',
        b"learner = '\xff'",
        b"\x00\x01",
        "a = " + "[" * 9999,
    ],
)
def test_what_is_not_toml_is_refused(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(CheckpointError, match="is not TOML") as refused:
        read_recipe(written(tmp_path, content))
    assert refused.value.code == "recipe"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(
            CheckpointError, match=r"cannot be read.*name a recipe in TOML"
        ) as refused:
            read_recipe(path)
        assert refused.value.code == "missing-file"


@given(st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=3))
def test_no_unknown_key_passes(extra: dict[str, int | str]) -> None:
    unknown = {k: v for k, v in extra.items() if k not in Recipe.model_fields}
    if unknown:
        with pytest.raises(ValueError, match="Extra inputs are not permitted"):
            Recipe.model_validate({"learner": "maml", **unknown})


def test_a_recipe_survives_being_written_down() -> None:
    recipe = read_recipe(COMMITTED[0], seed=2)
    assert Recipe.model_validate(recipe.model_dump()) == recipe
    assert recipe.model_dump()["task"] == tomllib.loads(COMMITTED[0].read_text())["task"]
