"""A recipe: everything that makes a checkpoint, in one TOML file.

Unknown keys are errors, so that a typing mistake cannot pass as a default.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..data.errors import CheckpointError
from .learners import LEARNERS, Learner, LearnerName
from .norms import NormMode
from .rules import Rule


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(_Section):
    """Where tasks come from."""

    name: str = "glyphs"
    train: str = "train"
    validation: str = "validation"


class TaskSection(_Section):
    """The tasks of meta-training."""

    way: int = Field(5, ge=2)
    shot: int = Field(1, ge=1)
    query: int = Field(5, ge=1)


class InnerSection(_Section):
    """The inner loop."""

    lr: float = 0.1
    steps: int = Field(5, ge=0, le=100)


class OuterSection(_Section):
    """The outer loop: Adam, its rate falling along a cosine to a tenth."""

    steps: int = Field(1500, ge=1)
    meta_batch: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)
    clip: float = Field(10.0, gt=0)


class ValidationSection(_Section):
    """When to look, and when to stop."""

    every: int = Field(100, ge=1)
    episodes: int = Field(100, ge=2)
    query: int = Field(10, ge=1)
    patience: int = Field(10, ge=1)


class Recipe(_Section):
    """Everything that makes a checkpoint."""

    learner: LearnerName
    seed: int = Field(0, ge=0)
    norm: NormMode = "batch"
    data: DataSection = DataSection()
    architecture: dict[str, Any] = Field(default_factory=lambda: {"name": "conv4", "filters": 32})
    task: TaskSection = TaskSection()
    inner: InnerSection = InnerSection()
    outer: OuterSection = OuterSection()
    validation: ValidationSection = ValidationSection()

    @property
    def how(self) -> Learner:
        """The learner the name stands for."""
        return LEARNERS[self.learner]

    @property
    def rule(self) -> Rule:
        """The inner loop of training, and of measurement unless told otherwise."""
        how = self.how
        return Rule(how.rule, self.inner.lr, self.inner.steps, how.adapts)


def read_recipe(path: Path, *, seed: int | None = None) -> Recipe:
    """A recipe from a TOML file.

    Args:
        path: The file.
        seed: Replaces the recipe's own seed.

    Raises:
        CheckpointError: If the file is missing, is not TOML, or holds a key or value
            that is not allowed.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(raw)
    except OSError as error:
        raise CheckpointError(
            f"recipe {str(path)!r} cannot be read: {error.strerror}", code="missing-file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"recipe {str(path)!r} is not TOML: {error}", code="recipe") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the recipe"
        raise CheckpointError(
            f"recipe {str(path)!r}: {place}: {first['msg'].lower()} (got {first['input']!r})",
            code="recipe",
        ) from error
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})
