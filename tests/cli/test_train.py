"""`metaprobe train` on data of one's own, and what its page says of recipes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from metaprobe.models.recipe import Recipe

from .conftest import Command

RECIPE = """
learner = "maml"
[data]
name = "image-folder:folder"
validation = "val"
image_size = 16
[architecture]
name = "conv4"
filters = 4
[task]
way = 2
query = 2
[inner]
steps = 1
[outer]
steps = 2
meta_batch = 1
[validation]
every = 1
episodes = 2
query = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits of four classes, four pictures of 20 pixels a side each."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in "abcd":
            place = tmp_path / "folder" / split / f"{split}-{name}"
            place.mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (20, 20), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


def test_images_of_ones_own_are_brought_to_size_for_training_and_for_the_verbs(
    command: Command, folder: Path
) -> None:
    assert command("train", "r.toml", "--out", "e.safetensors").status == 0
    looked = json.loads(command("inspect", "e.safetensors", "--json").out)
    assert "e.safetensors" in json.dumps(looked)
    where = ("--data", "image-folder:folder", "--split", "val", "--no-cache", "--json")
    audited = ("audit", "e.safetensors", "--way", 2, "--query", 2, "--episodes", 4, *where)
    mapped = ("map", "e.safetensors", "--layout", "pca", "--out", "m", *where)
    compared = ("compare", "e.safetensors", "maml-glyphs-s0", "-k", 2, "--resize", *where)
    for words in (audited, mapped, compared):
        refused = command(*words[:-1])
        resized = command(*words, "--image-size", 16)
        assert resized.status == 0, resized.err
        if words is not compared:  # which was allowed to resize
            assert refused.status == 2
            assert "20" in refused.err


@pytest.mark.parametrize("learner", ["maml", "meta-sgd"])
def test_what_train_writes_is_inspected_and_audited_by_the_command(
    command: Command, folder: Path, learner: str
) -> None:
    (folder / "r.toml").write_text(RECIPE.replace('"maml"', f'"{learner}"'))
    done = command("train", "r.toml", "--out", "net.safetensors", "--json")
    assert done.status == 0, done.err
    seen = json.loads(command("inspect", "net.safetensors", "--json").out)
    assert (seen["refusal"], seen["coverage"], seen["missing"]) == (None, 1, [])
    tap = next(one for one in seen["layers"] if one["name"] == "block2")
    assert tap["shape"] == [4, 4, 4]
    words = ("--data", "image-folder:folder", "--split", "val", "--image-size", 16)
    sizes = ("--way", 2, "--query", 1, "--episodes", 3, "--layer", "block2:flatten")
    done = command("audit", "net.safetensors", *words, *sizes, "--no-cache", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["checkpoint"]["sha256"] == seen["sha256"]
    assert found["checkpoint"]["load_report"]["coverage"] == 1
    assert (found["rule"]["name"], found["rule"]["steps"]) == (
        "meta-sgd" if learner == "meta-sgd" else "sgd",
        1,
    )
    assert (found["rates"] is None) is (learner == "maml")


def test_the_page_on_training_lists_every_key_of_a_recipe_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = {key for row in rows for key in row.split("`")[1::2]}
    expected = {"architecture.name", "architecture.filters", "bootstrap.steps", "bootstrap.rate"}
    for name, field in Recipe.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            expected |= {f"{name}.{key}" for key in kind.model_fields}
        elif name not in ("architecture", "bootstrap"):
            expected.add(name)
    assert listed == expected
