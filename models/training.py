"""Meta-training that can be killed at any moment and goes on bit for bit.

Every draw depends on the seed and the step alone, so the state is the
parameters, the optimiser's moments and the step (`state.py`); `outer.py` makes one
step of it.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.episodes import draw_episodes
from ..data.errors import CheckpointError, DataError
from ..data.images import LabelledImages
from .adapt import adapt
from .backbones import build_backbone
from .checkpoint import write_checkpoint
from .forward import CHUNK, beside_support, features_of, logits_of, stack
from .heads import class_means
from .learners import accuracy
from .norms import calibrate, with_norm
from .outer import meta_batch, outer_step, start
from .recipe import Recipe
from .state import Progress, State, learned, load_state, save_state, under
from .tensors import image_tensor, label_tensor
from .threads import one_thread

VALIDATION_SEED = 20_000


def validate(recipe: Recipe, data: LabelledImages, state: State) -> float:
    """Mean accuracy after adaptation on fixed validation episodes, a share.

    A learner without an inner loop is judged by the nearest class mean instead,
    for its head knows none of these classes.
    """
    look, task = recipe.validation, recipe.task
    drawn = draw_episodes(
        data, look.episodes, way=task.way, shot=task.shot, query=look.query, seed=VALIDATION_SEED
    ).on
    body = with_norm(
        build_backbone(recipe.architecture), recipe.norm, support_rows=task.way * task.shot
    )
    features = features_of(body)
    embed = beside_support(features, recipe.norm)
    found: list[Tensor] = []
    for low in range(0, look.episodes, CHUNK):
        part = drawn[low : low + CHUNK]
        support, query = image_tensor(data, part.support), image_tensor(data, part.query)
        params = stack(state.params, len(part))
        with torch.no_grad():
            if recipe.learner == "nal":
                means = class_means(embed(params, support, support), task.way, task.shot)
                logits = -torch.cdist(embed(params, support, query), means)
            else:
                labels = label_tensor(len(part), task.way, task.shot)
                params = adapt(features, params, recipe.rule, state.rates, support, labels)
                logits = logits_of(params, embed(params, support, query))
        found.append(accuracy(logits, label_tensor(len(part), task.way, look.query)))
    return float(torch.cat(found).mean())


def train(
    recipe: Recipe,
    data: LabelledImages,
    validation: LabelledImages,
    out: Path,
    *,
    progress: Progress | None = None,
) -> State:
    """Meta-train, and write the checkpoint of the best validation accuracy.

    Args:
        recipe: What to train, and how.
        data: Training classes.
        validation: Classes to judge by.
        out: The ``.safetensors`` file to write. Beside it a ``.partial`` file holds the
            state while training runs; with it, training goes on where it stopped.
        progress: Told of the state at every step.

    Raises:
        CheckpointError: If the recipe cannot be trained, the partial file belongs to another,
            or a loss is not finite.
        DataError: If the data cannot give the recipe's tasks.
        MetaprobeError: If a file cannot be written.
    """
    _refuse_unfit(recipe, data, validation, out)
    partial = out.with_name(out.name + ".partial")
    mark = {
        "mark": json.dumps(
            [recipe.model_dump(), data.fingerprint, version("metaprobe")], sort_keys=True
        ),
        "validation": validation.fingerprint,
    }
    with one_thread():
        state = load_state(partial, mark) if partial.exists() else start(recipe, data)
        while not _over(recipe, state):
            state, loss = outer_step(recipe, data, state)
            if not math.isfinite(loss):
                raise CheckpointError(
                    f"the meta-loss at step {state.step} is {loss}; lower inner.lr or outer.lr",
                    code="diverged",
                )
            last = state.step == recipe.outer.steps
            if last or state.step % recipe.validation.every == 0:
                state = _look(recipe, validation, state, loss)
                save_state(partial, state, mark)
            if progress is not None:
                progress(state)
        write_checkpoint(out, *finished(recipe, data, state))
    partial.unlink(missing_ok=True)
    return state


def _over(recipe: Recipe, state: State) -> bool:
    """All steps done, or no better for as long as patience lasts."""
    waited = state.step - state.best_step
    enough = waited >= recipe.validation.patience * recipe.validation.every
    return enough or state.step >= recipe.outer.steps


def _refuse_unfit(
    recipe: Recipe, data: LabelledImages, validation: LabelledImages, out: Path
) -> None:
    """Before the work: whatever would stop it later."""
    task = recipe.task
    if out.is_dir():
        raise CheckpointError(f"{str(out)!r} is a folder; name a file", code="cannot-write")
    if recipe.norm == "running":
        raise CheckpointError(
            "norm 'running' is for measuring: while training there are no stored statistics yet; "
            "choose batch or support",
            code="norm",
        )
    if data.shape != validation.shape:
        raise DataError(
            f"training images are {data.shape} and validation images {validation.shape}; "
            "they must agree",
            code="shape",
        )
    smallest = min(len(rows) for rows in data.rows_by_class)
    if len(data.classes) < task.way or smallest < task.shot + task.query:
        raise DataError(
            f"{data.name!r} ({data.split}) has {len(data.classes)} classes of {smallest} images or "
            f"more; tasks need {task.way} classes of {task.shot + task.query}",
            code="too-few-classes",
        )
    draw_episodes(validation, 1, way=task.way, shot=task.shot, query=recipe.validation.query)


def finished(
    recipe: Recipe, data: LabelledImages, state: State
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of the checkpoint: the best parameters, and running statistics
    averaged over training tasks with them."""
    params, rates = under("params.", state.kept), under("rates.", state.kept)
    body = build_backbone(recipe.architecture)
    body.load_state_dict({**body.state_dict(), **under("body.", params)})
    batches = [
        meta_batch(recipe, data, recipe.outer.steps + i).query.flatten(0, 1) for i in range(50)
    ]
    buffers = {f"body.{n}": b for n, b in calibrate(body, batches).named_buffers()}
    metadata = {
        "architecture": recipe.architecture,
        "rule": {**recipe.rule.to_json(), "norm": recipe.norm, "learner": recipe.learner},
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "split": data.split,
            "shape": list(data.shape),
            "way": recipe.task.way,
            "shot": recipe.task.shot,
        },
        "recipe": recipe.model_dump(),
        "seed": recipe.seed,
        "step": state.best_step,
        "version": version("metaprobe"),
        "validation": {"accuracy": state.best, "episodes": recipe.validation.episodes},
        "history": [list(h) for h in state.history],
    }
    return {**params, **buffers, **{f"rates.{n}": r for n, r in rates.items()}}, metadata


def _look(recipe: Recipe, validation: LabelledImages, state: State, loss: float) -> State:
    found = validate(recipe, validation, state)
    history = (*state.history, (state.step, loss, found))
    if found <= state.best:
        return replace(state, history=history)
    kept = learned(state.params, state.rates)
    return replace(state, best=found, best_step=state.step, kept=kept, history=history)
