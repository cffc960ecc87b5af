"""`metaprobe train`: meta-train an encoder from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Json, progress, say


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML.")],
    out: Annotated[
        Path | None, typer.Option(help="The .safetensors file [default: from the recipe's name].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Replaces the recipe's seed.")] = None,
    as_json: Json = False,
) -> None:
    """Meta-train an encoder; a killed run goes on where it stopped.

    Example: metaprobe train checkpoints/recipes/maml.toml --seed 1 --out maml-glyphs-s1.safetensors
    """
    from ..data.datasets import open_dataset
    from ..data.errors import DataError
    from ..data.files import require_writable
    from ..data.readers.options import ReadOptions
    from ..models.recipe import read_recipe
    from ..models.state import State
    from ..models.training import train as run

    wanted = read_recipe(recipe, seed=seed)
    path = out or Path(f"{recipe.stem}-{wanted.data.name}-s{wanted.seed}.safetensors")
    require_writable(path.parent)
    options = ReadOptions(wanted.data.image_size)
    training = open_dataset(wanted.data.name, wanted.data.train, options=options)
    validation = open_dataset(wanted.data.name, wanted.data.validation, options=options)
    if training.fingerprint == validation.fingerprint:
        raise DataError(
            f"training and validation are the same images of {wanted.data.name!r}; name two splits",
            code="same-data",
        )
    with progress("steps") as told:

        def tell(state: State) -> None:
            best = f"{state.best:.3f}" if state.history else "–"
            told(f"{path.stem}, validation {best}", state.step, wanted.outer.steps)

        state = run(wanted, training, validation, path, progress=tell)
    done = {
        "checkpoint": str(path),
        "validation_accuracy": state.best,
        "best_step": state.best_step,
        "steps": state.step,
    }
    say(
        done,
        f"{path}: validation accuracy {state.best:.4f} at step {state.best_step} of {state.step}",
        as_json,
    )
