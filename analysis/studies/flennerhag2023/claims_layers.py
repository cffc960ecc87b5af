"""Per-layer rates of a convolutional encoder: bootstrapped target against plain meta-gradient.

Two learners of one inner rate per tensor, LSLR (Antoniou et al. 2019: rates down the query
loss) and BMG (rates towards a target five steps ahead; Flennerhag et al. 2022), train pairs of
small encoders on glyphs: seed by seed from the same first weights, on the same tasks, with the
same number of updates of the same outer optimiser. Nothing else differs, and the
initialisation follows the query loss in both. The comparison is not in the paper: it is ours.

The rules of both claims were fixed before any of these encoders was trained:

- *Accuracy.* Query accuracy after the inner loop, BMG minus LSLR in percentage points, on
  episodes of unseen scripts shared by all encoders; a mean per seed, and a t interval over
  seeds. At least ``LEAST`` points: SUPPORTED where the whole interval lies above, REFUTED where
  it lies below, NOT SHOWN where it holds ``LEAST``.
- *Speed.* The same of the validation accuracy averaged over all looks during training, the
  height of the learning curve at equal numbers of updates.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ...verdicts import METHOD_SEEDS
from ..study import Claim, Settings
from .figures import draw_layer_rates
from .layer_rates import rates_table, seeds_table, trained_pairs
from .ledger import Section, between, claim

LEAST = 1.0
"""Percentage points of accuracy: the smallest advantage that counts."""


def layer_rates(settings: Settings) -> Section:
    """O1, O2: bootstrapped per-layer rates of a convolutional encoder."""
    episodes = 60 if settings.quick else 600
    found = trained_pairs(episodes, settings.seed)
    table = seeds_table(found)
    note = (
        f"{len(table)} pairs of Conv4-16 on glyphs, 5-way 1-shot, five inner steps, 300 updates of "
        f"each; {episodes} shared episodes of unseen scripts. The interval speaks of new training "
        "runs on these episodes. One target was tried (five steps, the last at rate 0.1), and "
        "an update towards it costs about twice a plain one."
    )
    return Section(
        judge_learners(
            table["BMG, accuracy"] - table["LSLR, accuracy"],
            table["BMG, over training"] - table["LSLR, over training"],
            note=note,
        ),
        {"per-layer rates, pairs": table, "per-layer rates": rates_table(found)},
        {"layer_rates": draw_layer_rates(found)},
        {
            "layer_rates": "Left: query accuracy after adaptation of each pair of encoders, joined "
            "by a line. Middle: validation accuracy while training, mean and range over pairs. "
            "Right: the learned rate of each tensor that has a gradient, mean and range."
        },
    )


def judge_learners(accuracy: ArrayLike, curve: ArrayLike, *, note: str = "") -> tuple[Claim, Claim]:
    """The two claims from one difference a seed, BMG minus LSLR in points.

    Fewer than five seeds leave both NOT SHOWN.

    Args:
        accuracy: ``(S,)`` differences of query accuracy after adaptation.
        curve: ``(S,)`` differences of mean validation accuracy over training.
        note: How they were measured.
    """
    return (
        _better(
            "O1",
            "On a convolutional encoder too, per-layer rates learned towards a bootstrapped target "
            f"(L = 5) beat those of the plain meta-gradient by {LEAST:g} point of query accuracy "
            "or more, at equal updates",
            "BMG minus LSLR, query accuracy after adaptation, points",
            accuracy,
            note,
        ),
        _better(
            "O2",
            "They make meta-learning faster: accuracy over the whole of training is higher by "
            f"{LEAST:g} point or more",
            "BMG minus LSLR, mean validation accuracy over training, points",
            curve,
            note,
        ),
    )


def _better(name: str, statement: str, label: str, draws: ArrayLike, note: str) -> Claim:
    check = between(label, draws, low=LEAST)
    if check.interval is not None and check.interval[1] < 0:
        note = f"The whole interval lies below 0: the plain meta-gradient did better. {note}"
    found = claim(
        name,
        statement,
        [check],
        source="ours: not in the paper",
        published="not in the paper: ours",
        note=note.strip(),
    )
    if np.size(draws) < METHOD_SEEDS:
        few = f"Fewer than {METHOD_SEEDS} pairs show nothing of the two learners."
        return replace(found, verdict="NOT SHOWN", note=f"{few} {found.note}".strip())
    return found
