"""Pairs of small encoders whose inner rates, one a tensor, were learned in two ways; measured.

LSLR (Antoniou et al. 2019) moves the rates down the query loss, BMG (Flennerhag et al. 2022)
towards a target five steps ahead. The encoders travel with the package
(``checkpoints/layer_rates``), each as the best of its training's looks at validation
episodes; ``make layer-rates`` trains them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from ....data.datasets import open_dataset
from ....data.episodes import Tasks, draw_episodes
from ....data.images import LabelledImages
from ....models.adapt import adapt
from ....models.checkpoint import shipped
from ....models.encoder import Encoder, load_encoder
from ....models.forward import CHUNK, beside_support, features_of, logits_of, stack
from ....models.learners import accuracy
from ....models.norms import with_norm
from ....models.outer import outer_step, start
from ....models.recipe import Recipe
from ....models.state import learned
from ....models.tensors import image_tensor, label_tensor
from .oracle import Vector

WAY, SHOT, QUERY = 5, 1, 15


@dataclass(frozen=True)
class Trained:
    """One encoder of a pair.

    Args:
        learner: ``"LSLR"`` or ``"BMG"``.
        seed: Of its first weights and its tasks; the same in both of a pair.
        accuracy: On the query images of unseen scripts after adaptation, percent.
        looks: Outer steps at which training looked at its validation episodes, ``(V,)``.
        curve: Validation accuracy at each of them, percent, ``(V,)``.
        rates: The learned rate of each tensor that has a gradient, from image to head.
        first_rate: What all of them were at the start.
    """

    learner: str
    seed: int
    accuracy: float
    looks: Vector
    curve: Vector
    rates: Mapping[str, float]
    first_rate: float


def query_accuracy(encoder: Encoder, data: LabelledImages, tasks: Tasks) -> Vector:
    """Share of correct query images of each task after the encoder's own inner loop, ``(E,)``.

    The head is the encoder's own, adapted with the rest.
    """
    way, shot, query = tasks.shape
    features = features_of(with_norm(encoder.body, encoder.norm, support_rows=way * shot))
    embed = beside_support(features, encoder.norm)
    found = []
    for low in range(0, len(tasks), CHUNK):
        part = tasks[low : low + CHUNK]
        support, asked = image_tensor(data, part.support), image_tensor(data, part.query)
        init = stack({**encoder.params, **encoder.head}, len(part))
        labels = label_tensor(len(part), way, shot)
        moved = adapt(features, init, encoder.rule, encoder.rates, support, labels)
        with torch.no_grad():
            logits = logits_of(moved, embed(moved, support, asked))
        found.append(accuracy(logits, label_tensor(len(part), way, query)))
    return torch.cat(found).numpy()


def trained_pairs(episodes: int, seed: int) -> list[Trained]:
    """Every shipped encoder of the comparison, measured on the same episodes."""
    data = open_dataset("glyphs", "test")
    tasks = draw_episodes(data, episodes, way=WAY, shot=SHOT, query=QUERY, seed=seed).on
    found = []
    for name, path in shipped("layer_rates").items():
        encoder = load_encoder(path)
        assert encoder.checkpoint is not None
        history = np.array(encoder.checkpoint.metadata["history"], dtype=np.float64)
        found.append(
            Trained(
                learner=name.partition("-")[0].upper(),
                seed=int(encoder.checkpoint.metadata["seed"]),
                accuracy=100 * float(query_accuracy(encoder, data, tasks).mean()),
                looks=history[:, 0],
                curve=100 * history[:, 2],
                rates={
                    n: float(encoder.rates[n])
                    for n in (*encoder.params, *encoder.head)
                    if not n.endswith("conv.bias")  # no gradient reaches it through the norm
                },
                first_rate=encoder.rule.lr,
            )
        )
    return found


def seeds_table(found: Sequence[Trained]) -> pd.DataFrame:
    """A row a seed: query accuracy and mean validation accuracy of both learners, percent."""
    rows: dict[int, dict[str, float]] = {}
    for one in sorted(found, key=lambda one: (one.seed, one.learner != "LSLR")):
        row = rows.setdefault(one.seed, {"seed": one.seed})
        row[f"{one.learner}, accuracy"] = one.accuracy
        row[f"{one.learner}, over training"] = float(one.curve.mean())
    return pd.DataFrame(list(rows.values()))


def rates_table(found: Sequence[Trained]) -> pd.DataFrame:
    """A row a tensor: the learned rate of both learners, mean and range over seeds."""
    rows = []
    for tensor in found[0].rates:
        row: dict[str, object] = {"tensor": tensor}
        for learner in ("LSLR", "BMG"):
            values = [one.rates[tensor] for one in found if one.learner == learner]
            row[learner] = float(np.mean(values))
            row[f"{learner}, range"] = f"{min(values):.3f} to {max(values):.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def encoder_parting(steps: int, seed: int) -> float:
    """How far BMG with L = 1 comes from LSLR on a small Conv4, after ``steps`` of both trainers.

    The largest absolute difference of any weight, bias or rate. In float64: rounding errors are
    the only slope of a bias before batch normalisation, and in float32 they are as large as
    Adam's epsilon, which makes whole steps of them.
    """
    data = open_dataset("glyphs", "train")
    settings = {"seed": seed, "architecture": {"name": "conv4", "filters": 8}}
    plain = Recipe.model_validate({"learner": "lslr", **settings})
    near = Recipe.model_validate({"learner": "bmg", "bootstrap": {"steps": 1}, **settings})
    ends = []
    for recipe in (plain, near):
        first = start(recipe, data)
        state = replace(
            first,
            params={n: v.double() for n, v in first.params.items()},
            rates={n: v.double() for n, v in first.rates.items()},
            moments={n: v.double() for n, v in first.moments.items()},
        )
        for _ in range(steps):
            state, _ = outer_step(recipe, data, state)
        ends.append(learned(state.params, state.rates))
    one, other = ends
    return max(float((one[n] - other[n]).abs().max()) for n in one)
