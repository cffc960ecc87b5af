"""Meta-training small enough to run many times over."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from metaprobe.data.images import LabelledImages
from metaprobe.data.synthetic import planted_images
from metaprobe.models.recipe import Recipe
from metaprobe.models.state import State
from metaprobe.models.training import train


@cache
def training_data() -> LabelledImages:
    return planted_images(9, 6, size=16, seed=1)


@cache
def validation_data() -> LabelledImages:
    return planted_images(8, 12, size=16, seed=2)


def tiny_recipe(learner: str = "maml", **changes: Any) -> Recipe:
    """Five outer steps, with a look after the second, the fourth and the last."""
    settings: dict[str, Any] = {
        "learner": learner,
        "seed": 3,
        "architecture": {"name": "conv4", "filters": 4},
        "task": {"way": 3, "shot": 1, "query": 2},
        "inner": {"steps": 2, "lr": 0.2},
        "outer": {"steps": 5, "meta_batch": 2, "lr": 0.01},
        "validation": {"every": 2, "episodes": 6, "query": 4},
    }
    for key, value in changes.items():
        settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
    return Recipe.model_validate(settings)


def trained(folder: Path, learner: str = "maml", **changes: Any) -> Path:
    """A checkpoint trained for a moment."""
    path = folder / f"{learner}.safetensors"
    train(tiny_recipe(learner, **changes), training_data(), validation_data(), path)
    return path


def in_float64(state: State) -> State:
    """Training goes on in the type of its state."""
    params, rates, moments = (
        {n: t.double() for n, t in part.items()}
        for part in (state.params, state.rates, state.moments)
    )
    return replace(state, params=params, rates=rates, moments=moments)
