"""Meta-training that can be killed at any moment and goes on bit for bit.

Every draw depends on the seed and the step alone, so the state is the
parameters, the optimiser's moments and the step: one safetensors file beside
the result, replaced whole at each look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ..data.episodes import draw_episodes
from ..data.errors import CheckpointError
from ..data.files import write_whole
from ..data.images import LabelledImages
from .adapt import adapt
from .backbones import build_backbone
from .checkpoint import write_checkpoint
from .forward import Params, beside_support, features_of, logits_of, stack
from .learners import MetaBatch, accuracy, meta_loss
from .norms import calibrate, with_norm
from .recipe import Recipe
from .tensors import image_tensor, label_tensor

VALIDATION_SEED = 20_000
CHUNK = 4
"""Episodes a grouped call: more leave the processor's second-level cache."""


@dataclass(frozen=True, eq=False)
class State:
    """Everything training needs to go on.

    Args:
        step: Outer steps done.
        params: Meta-parameters, ``body.…`` and ``head.…``.
        rates: What the rule learned.
        moments: Adam's first and second moments by parameter, ``first.…`` and ``second.…``.
        best: Best validation accuracy so far, a share.
        best_step: When it was reached.
        kept: The parameters and rates of that moment, ``params.…`` and ``rates.…``.
        history: ``(step, training loss, validation accuracy)`` at every look.
    """

    step: int
    params: Params
    rates: Params
    moments: Params
    best: float
    best_step: int
    kept: Params
    history: tuple[tuple[int, float, float], ...]


Progress = Callable[[State], None]


def start(recipe: Recipe, data: LabelledImages) -> State:
    """The state before the first step."""
    body = build_backbone(recipe.architecture, seed=recipe.seed)
    width = embedding_dim(body, data.shape)
    outputs = len(data.classes) if recipe.learner == "nal" else recipe.task.way
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        head = nn.Linear(width, outputs)
    params = {f"body.{n}": p.detach().clone() for n, p in body.named_parameters()}
    params |= {f"head.{n}": p.detach().clone() for n, p in head.named_parameters()}
    rates = recipe.rule.initial_rates(params)
    learned = _named(params, rates)
    moments = {f"{m}.{n}": torch.zeros_like(p) for m in ("first", "second") for n, p in learned.items()}
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
    loss = meta_loss(
        recipe.how, features_of(body), recipe.norm, params, recipe.rule, rates, batch
    )
    learned = _named(params, rates)
    grads = torch.autograd.grad(loss, list(learned.values()), allow_unused=True)
    found = {
        n: torch.zeros_like(p) if g is None else g.clamp(-recipe.outer.clip, recipe.outer.clip)
        for (n, p), g in zip(learned.items(), grads, strict=True)
    }
    fallen = 0.1 + 0.9 * (1 + math.cos(math.pi * state.step / recipe.outer.steps)) / 2
    moved, moments = adam(learned, found, state.moments, state.step, recipe.outer.lr * fallen)
    after = replace(
        state,
        step=state.step + 1,
        params={n: moved[f"params.{n}"] for n in params},
        rates={n: moved[f"rates.{n}"] for n in rates},
        moments=moments,
    )
    return after, float(loss.detach())


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
                means = embed(params, support, support)
                means = means.unflatten(1, (task.way, task.shot)).mean(dim=2)
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
        CheckpointError: If the partial file belongs to another recipe, or a loss is not finite.
    """
    partial = out.with_name(out.name + ".partial")
    mark = _mark(recipe, data)
    state = load_state(partial, mark) if partial.exists() else start(recipe, data)
    loss = math.nan
    while state.step < recipe.outer.steps:
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
        if state.step - state.best_step >= recipe.validation.patience * recipe.validation.every:
            break
    write_checkpoint(out, *finished(recipe, data, state))
    partial.unlink(missing_ok=True)
    return state


def finished(
    recipe: Recipe, data: LabelledImages, state: State
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of the checkpoint: the best parameters, and running statistics
    averaged over training tasks with them."""
    params = {n.removeprefix("params."): p for n, p in state.kept.items() if n.startswith("params.")}
    rates = {n: p for n, p in state.kept.items() if n.startswith("rates.")}
    body = build_backbone(recipe.architecture)
    body.load_state_dict(
        {**body.state_dict(), **{n[5:]: p for n, p in params.items() if n.startswith("body.")}}
    )
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
    return {**params, **buffers, **rates}, metadata


def _look(recipe: Recipe, validation: LabelledImages, state: State, loss: float) -> State:
    found = validate(recipe, validation, state)
    history = (*state.history, (state.step, loss, found))
    if found <= state.best:
        return replace(state, history=history)
    kept = _named(state.params, state.rates)
    return replace(state, best=found, best_step=state.step, kept=kept, history=history)


def save_state(path: Path, state: State, mark: str) -> None:
    """Write the state whole or not at all."""
    tensors = {
        **{f"now.{n}": p for n, p in _named(state.params, state.rates).items()},
        **{f"moments.{n}": p for n, p in state.moments.items()},
        **{f"kept.{n}": p for n, p in state.kept.items()},
    }
    plain = {n: t.detach().contiguous().clone() for n, t in tensors.items()}
    words = {
        "mark": mark,
        "step": state.step,
        "best": state.best,
        "best_step": state.best_step,
        "history": state.history,
    }
    write_whole(path, serialise(plain, {"state": json.dumps(words)}))


def load_state(path: Path, mark: str) -> State:
    """Read a state back.

    Raises:
        CheckpointError: If it was written for another recipe, dataset or version of the code.
    """
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    words = json.loads(header["__metadata__"]["state"])
    if words["mark"] != mark:
        raise CheckpointError(
            f"{str(path)!r} holds a half-trained encoder of another recipe or dataset; "
            "delete it, or choose another --out",
            code="other-recipe",
        )
    tensors = parse(raw)

    def part(prefix: str) -> Params:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    return State(
        words["step"],
        part("now.params."),
        part("now.rates."),
        part("moments."),
        words["best"],
        words["best_step"],
        part("kept."),
        tuple((int(s), float(a), float(b)) for s, a, b in words["history"]),
    )


def _mark(recipe: Recipe, data: LabelledImages) -> str:
    return json.dumps([recipe.model_dump(), data.fingerprint, version("metaprobe")], sort_keys=True)


def _named(params: Params, rates: Params) -> Params:
    return {f"params.{n}": p for n, p in params.items()} | {f"rates.{n}": p for n, p in rates.items()}
