"""Meta-training that can be killed at any moment and goes on bit for bit.

Every draw depends on the seed and the step alone, so the state is the
parameters, the optimiser's moments and the step (`state.py`).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.episodes import draw_episodes
from ..data.errors import CheckpointError, DataError
from ..data.images import LabelledImages
from .adapt import adapt
from .backbones import build_backbone
from .checkpoint import write_checkpoint
from .forward import CHUNK, Params, beside_support, features_of, logits_of, stack
from .heads import class_means
from .learners import MetaBatch, accuracy, meta_slopes
from .norms import calibrate, with_norm
from .recipe import Recipe
from .state import Progress, State, learned, load_state, save_state, under
from .tensors import image_tensor, label_tensor
from .threads import one_thread

VALIDATION_SEED = 20_000


def start(recipe: Recipe, data: LabelledImages) -> State:
    """The state before the first step.

    Raises:
        CheckpointError: If what came out could not be told from a network with its head on.
    """
    body = build_backbone(recipe.architecture, seed=recipe.first_weights)
    width = embedding_dim(body, data.shape)
    outputs = len(data.classes) if recipe.learner == "nal" else recipe.task.way
    if width == outputs:
        raise CheckpointError(
            f"the embedding has {width} features and the head as many outputs, so nothing could "
            "show later that the head is off; change the architecture's width or task.way",
            code="strip",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.first_weights + 1)
        head = nn.Linear(width, outputs)
    params = {f"body.{n}": p.detach().clone() for n, p in body.named_parameters()}
    params |= {f"head.{n}": p.detach().clone() for n, p in head.named_parameters()}
    rates = recipe.rule.initial_rates(params)
    zeros = {n: torch.zeros_like(p) for n, p in learned(params, rates).items()}
    moments = {f"{which}.{n}": z for which in ("first", "second") for n, z in zeros.items()}
    return State(0, params, rates, moments, -1.0, 0, {}, ())


def embedding_dim(body: nn.Module, shape: tuple[int, int, int]) -> int:
    """Width `D` of the embedding of images `(C, H, W)`.

    Raises:
        CheckpointError: If the network does not take such images.
    """
    try:
        with torch.no_grad():
            return int(with_norm(body, "batch")(torch.zeros(2, *shape)).shape[1])
    except RuntimeError as error:
        raise CheckpointError(
            f"the network does not take images of shape {shape}: {error}", code="image-shape"
        ) from error


def meta_batch(recipe: Recipe, data: LabelledImages, step: int) -> MetaBatch:
    """The tasks of one outer step: a function of the seed and the step alone."""
    task, size = recipe.task, recipe.outer.meta_batch
    each = task.shot + task.query
    classes = np.empty((size, task.way), np.int64)
    rows = np.empty((size, task.way, each), np.int64)
    for e in range(size):
        rng = np.random.default_rng([recipe.seed, step, e])
        classes[e] = rng.choice(len(data.classes), task.way, replace=False)
        for w, c in enumerate(classes[e]):
            rows[e, w] = rng.choice(data.rows_by_class[c], each, replace=False)
    return MetaBatch(
        image_tensor(data, rows[:, :, : task.shot]),
        label_tensor(size, task.way, task.shot),
        image_tensor(data, rows[:, :, task.shot :]),
        label_tensor(size, task.way, task.query),
        torch.from_numpy(classes),
    )


def outer_step(recipe: Recipe, data: LabelledImages, state: State) -> tuple[State, float]:
    """One step of Adam on the meta-loss; the new state and the loss before it."""
    body = with_norm(
        build_backbone(recipe.architecture),
        recipe.norm,
        support_rows=recipe.task.way * recipe.task.shot,
    )
    params = {n: p.detach().requires_grad_() for n, p in state.params.items()}
    rates = {n: p.detach().requires_grad_() for n, p in state.rates.items()}
    batch = meta_batch(recipe, data, state.step)
    loss, slopes = meta_slopes(
        recipe.how, features_of(body), recipe.norm, params, recipe.rule, rates, batch
    )
    found = {n: g.clamp(-recipe.outer.clip, recipe.outer.clip) for n, g in slopes.items()}
    values = learned(params, rates)
    fallen = 0.1 + 0.9 * (1 + math.cos(math.pi * state.step / recipe.outer.steps)) / 2
    moved, moments = adam(values, found, state.moments, state.step, recipe.outer.lr * fallen)
    after = replace(
        state,
        step=state.step + 1,
        params=under("params.", moved),
        rates=under("rates.", moved),
        moments=moments,
    )
    return after, float(loss)


def adam(
    params: Params, grads: Params, moments: Params, step: int, lr: float
) -> tuple[Params, Params]:
    """Adam with its usual constants (Kingma and Ba 2015), as a function of its state."""
    first_rate, second_rate, eps = 0.9, 0.999, 1e-8
    out: Params = {}
    kept: Params = {}
    with torch.no_grad():
        for n, p in params.items():
            first = moments[f"first.{n}"].lerp(grads[n], 1 - first_rate)
            second = moments[f"second.{n}"].lerp(grads[n] ** 2, 1 - second_rate)
            scale = (second / (1 - second_rate ** (step + 1))).sqrt() + eps
            out[n] = (p - lr / (1 - first_rate ** (step + 1)) * first / scale).detach()
            kept[f"first.{n}"], kept[f"second.{n}"] = first, second
    return out, kept


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
