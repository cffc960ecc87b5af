"""One outer step of meta-training, a function of the state: where it starts, its tasks, Adam.

Nothing here looks at the clock, the disk or a global generator: the same recipe, data and
state give the same next state.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ..data.errors import CheckpointError
from ..data.images import LabelledImages
from .backbones import build_backbone
from .forward import Params, features_of
from .learners import MetaBatch, meta_slopes
from .norms import with_norm
from .recipe import Recipe
from .state import State, learned, under
from .tensors import image_tensor, label_tensor


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


def meta_batch(
    recipe: Recipe, data: LabelledImages, step: int, dtype: torch.dtype = torch.float32
) -> MetaBatch:
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
        image_tensor(data, rows[:, :, : task.shot], dtype),
        label_tensor(size, task.way, task.shot),
        image_tensor(data, rows[:, :, task.shot :], dtype),
        label_tensor(size, task.way, task.query),
        torch.from_numpy(classes),
    )


def outer_step(recipe: Recipe, data: LabelledImages, state: State) -> tuple[State, float]:
    """One step of Adam on the meta-loss; the new state and the loss before it.

    Computed in the type of the state's parameters.
    """
    dtype = state.params["head.weight"].dtype
    body = with_norm(
        build_backbone(recipe.architecture).to(dtype),
        recipe.norm,
        support_rows=recipe.task.way * recipe.task.shot,
    )
    params = {n: p.detach().requires_grad_() for n, p in state.params.items()}
    rates = {n: p.detach().requires_grad_() for n, p in state.rates.items()}
    batch = meta_batch(recipe, data, state.step, dtype)
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
