"""A recipe: everything that makes a checkpoint, in one TOML file.

Unknown keys are errors, so that a typing mistake cannot pass as a default; so are
values of another type, for TOML has types.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..data.errors import CheckpointError
from .backbones import build_backbone
from .bootstrap import Bootstrap
from .learners import LEARNERS, Learner, LearnerName
from .norms import NormMode
from .rules import Rule


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSection(_Section):
    """Where tasks come from."""

    name: str = "glyphs"
    train: str = "train"
    validation: str = "validation"
    image_size: int | None = Field(default=None, ge=1)
    """Side that image files are brought to; as they are when None."""


class TaskSection(_Section):
    """The tasks of meta-training."""

    way: int = Field(default=5, ge=2)
    shot: int = Field(default=1, ge=1)
    query: int = Field(default=5, ge=1)


class InnerSection(_Section):
    """The inner loop."""

    lr: float = 0.1
    steps: int = Field(default=5, ge=0, le=100)


class BootstrapSection(_Section):
    """The target that the rates of ``bmg`` follow."""

    steps: int = Field(default=5, ge=1, le=100)
    rate: float = Field(default=0.1, gt=0)


class OuterSection(_Section):
    """The outer loop: Adam, its rate falling along a cosine to a tenth."""

    steps: int = Field(default=1500, ge=1)
    meta_batch: int = Field(default=4, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    clip: float = Field(default=10.0, gt=0)


class ValidationSection(_Section):
    """When to look, and when to stop."""

    every: int = Field(default=100, ge=1)
    episodes: int = Field(default=100, ge=2)
    query: int = Field(default=10, ge=1)
    patience: int = Field(default=10, ge=1)


class Recipe(_Section):
    """Everything that makes a checkpoint.

    ``seed`` draws tasks and first weights; with an ``init_seed`` the first weights are drawn
    from that, so that runs can share a start and differ in the order of their tasks.
    """

    learner: LearnerName
    seed: int = Field(default=0, ge=0, lt=2**63)
    init_seed: int | None = Field(default=None, ge=0, lt=2**63)
    norm: NormMode = "batch"
    data: DataSection = DataSection()
    architecture: dict[str, Any] = Field(default_factory=lambda: {"name": "conv4", "filters": 32})
    task: TaskSection = TaskSection()
    inner: InnerSection = InnerSection()
    bootstrap: BootstrapSection | None = None
    outer: OuterSection = OuterSection()
    validation: ValidationSection = ValidationSection()

    @model_validator(mode="after")
    def _only_bmg_has_a_target(self) -> Self:
        if self.bootstrap is not None and LEARNERS[self.learner].bootstrap is None:
            raise ValueError(f"[bootstrap] is for learner 'bmg'; {self.learner!r} has no target")
        return self

    @field_validator("architecture")
    @classmethod
    def _is_one_of_ours(cls, said: dict[str, Any]) -> dict[str, Any]:
        with torch.device("meta"):
            build_backbone(said)
        return said

    @property
    def how(self) -> Learner:
        """The learner the name stands for."""
        known = LEARNERS[self.learner]
        if self.bootstrap is None:
            return known
        return replace(known, bootstrap=Bootstrap(self.bootstrap.steps, self.bootstrap.rate))

    @property
    def first_weights(self) -> int:
        """Seed of the weights at step 0."""
        return self.seed if self.init_seed is None else self.init_seed

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
    where = f"recipe {str(path)!r}"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{where} cannot be read: {error.strerror}; name a recipe in TOML, such as "
            "checkpoints/recipes/maml.toml (docs/training.md gives every key)",
            code="missing-file",
        ) from error
    except (ValueError, RecursionError) as error:  # of the text's encoding, or its grammar
        raise CheckpointError(f"{where} is not TOML: {error}", code="recipe") from error
    try:
        return Recipe.model_validate(raw if seed is None else {**raw, "seed": seed})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the recipe"
        said = first["msg"].removeprefix("Value error, ")
        raise CheckpointError(
            f"{where}: {place}: {said[:1].lower()}{said[1:]} (got {first['input']!r})",
            code="recipe",
        ) from error
