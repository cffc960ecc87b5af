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

The encoders travel with the package (``checkpoints/layer_rates``), as the best of each run's
looks; ``make layer-rates`` trains them again. The study measures them.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from ..study import Claim
from .ledger import between, claim

LEAST = 1.0
"""Percentage points of accuracy: the smallest advantage that counts."""

SEEDS = (0, 1, 2, 3, 4)


def judge_learners(accuracy: ArrayLike, curve: ArrayLike, *, note: str = "") -> tuple[Claim, Claim]:
    """The two claims from one difference a seed, BMG minus LSLR in points.

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
    return claim(
        name,
        statement,
        [between(label, draws, low=LEAST)],
        source="ours: not in the paper",
        published="not in the paper: ours",
        note=note,
    )
