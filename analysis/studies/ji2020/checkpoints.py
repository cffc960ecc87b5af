"""The inner-loop geometry of the shipped encoders, on episodes of scripts they never saw.

What `encoder` and `geometry` measure of any network, asked of ours: how curved is the head's
loss (exactly, for the softmax head's Hessian is small), how far does the trained rate adapt it,
and where does the loss bend downwards once a layer of the body adapts. Each encoder is taken at
the rate, steps and norm mode it was trained with.

With one image a class there are fewer rows than weights and no penalty, so the head's loss is
convex and *not* strongly convex: μ is exactly 0 and the theory of the strongly convex case does
not apply. The smallest nonzero curvature speaks of the directions the support spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ....data.datasets import open_dataset
from ....data.episodes import draw_episodes
from ....data.errors import ProbeError
from ....models.checkpoint import shipped
from ....models.encoder import Encoder, load_encoder
from ....models.norms import with_norm
from ....models.tensors import image_tensor, label_tensor
from ....models.threads import one_thread
from ..study import Claim
from .encoder import HEAD, EncoderGeometry, encoder_geometry
from .geometry import softmax_spectrum
from .ledger import DERIVED, Sizes, verdict

WAY, SHOT = 5, 1
NAMES = (
    "nal-glyphs-s0",
    "maml-glyphs-s0",
    "meta-sgd-glyphs-s0",
    "anil-glyphs-s0",
    "boil-glyphs-s0",
)
ITERATIONS = 20
ROUNDING = 1e-12
"""The head's Hessian is exact in float64: curvature below this share of the largest is none."""
CONVEX = 1e-4
"""The same of a block, where products of float32 networks give no more."""


class WithOnes(nn.Module):
    """A body whose embeddings end in a one, so that a head without bias has one."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(n, …)`` to ``(n, d + 1)``."""
        features: Tensor = self.body(images)
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)


@dataclass(frozen=True)
class Inner:
    """One encoder's inner loop on several episodes.

    Args:
        name: The encoder.
        alpha: Its inner rate: the mean absolute one where rates were learned.
        steps: Its inner steps.
        moves_head: Whether its inner loop moves the head at all.
        spectra: Eigenvalues of the head's Hessian at its start, one array an episode.
        geometry: What the support sets say of every group.
    """

    name: str
    alpha: float
    steps: int
    moves_head: bool
    spectra: Sequence[np.ndarray]
    geometry: Sequence[EncoderGeometry]

    def largest_head(self) -> float:
        """Median over episodes of the head's largest curvature."""
        return float(np.median([s[-1] for s in self.spectra]))

    def smallest_head(self) -> float:
        """The same of its smallest nonzero one."""
        return float(np.median([smallest_nonzero(s) for s in self.spectra]))

    def curvatures(self, group: str) -> tuple[float, float]:
        """Medians over episodes of a group's largest and smallest curvature."""
        seen = [g.groups[group][0] for g in self.geometry]
        return (
            float(np.median([shape.largest for shape in seen])),
            float(np.median([shape.smallest for shape in seen])),
        )


def smallest_nonzero(spectrum: np.ndarray) -> float:
    """The least eigenvalue that is not rounding."""
    return float(spectrum[spectrum > 1e-6 * spectrum[-1]][0])


def inner_loops(size: Sizes, names: Sequence[str] = NAMES) -> list[Inner]:
    """Measures the shipped encoders, and the first one's architecture untrained.

    Raises:
        ProbeError: None of them is shipped.
    """
    known = shipped()
    encoders = [load_encoder(n) for n in names if n in known]
    if not encoders:
        raise ProbeError(
            f"none of {', '.join(names)} is shipped; their inner loops are what is measured",
            code="no-checkpoint",
        )
    encoders.append(encoders[0].untrained(seed=size.seed))
    data = open_dataset("glyphs", "test")
    drawn = draw_episodes(data, size.encoders, way=WAY, shot=SHOT, query=1, seed=size.seed).on
    supports = image_tensor(data, drawn.support)
    labels = label_tensor(len(drawn), WAY, SHOT)
    with one_thread():
        return [inner_loop(e, supports, labels, seed=size.seed) for e in encoders]


def inner_loop(encoder: Encoder, supports: Tensor, labels: Tensor, *, seed: int) -> Inner:
    """One encoder on supports ``(E, n, C, H, W)`` with labels ``(E, n)``."""
    body = WithOnes(with_norm(encoder.body, encoder.norm, support_rows=WAY * SHOT)).eval()
    rates = [r.abs().mean() for r in encoder.rates.values()]
    alpha = float(torch.stack(rates).mean()) if rates else encoder.rule.lr
    start = stored_head(encoder)
    moves = encoder.rule.moves("head.weight")
    # A head of zeros gives the body no slope, so it first takes the inner steps alone.
    settle = 0 if start.any() else encoder.rule.steps
    spectra, found = [], []
    for images, classes in zip(supports, labels, strict=True):
        with torch.no_grad():
            features = body(images)
        spectra.append(softmax_spectrum(features, start))
        found.append(
            encoder_geometry(
                body, images, classes, alpha=alpha, steps=encoder.rule.steps, head=start,
                groups=blocks(body), settle=settle, iterations=ITERATIONS, seed=seed,
            )
        )  # fmt: skip
    return Inner(encoder.name, alpha, encoder.rule.steps, moves, spectra, found)


def stored_head(encoder: Encoder) -> Tensor:
    """The head's weight beside its bias, ``(WAY, d + 1)``; zeros where it has other classes."""
    weight, bias = (encoder.head.get(f"head.{k}") for k in ("weight", "bias"))
    if weight is None or bias is None or len(weight) != WAY:
        return torch.zeros(WAY, encoder.embedding_dim + 1)
    return torch.cat([weight, bias[:, None]], dim=1).detach()


def blocks(body: nn.Module) -> dict[str, list[str]]:
    """The head, each block of the body, the whole body, and everything."""
    names = [name for name, _ in body.named_parameters()]
    groups: dict[str, list[str]] = {"head": [HEAD]}
    for name in names:
        groups.setdefault(name.split(".")[1], []).append(name)
    return {**groups, "body": names, "everything": [*names, HEAD]}


def head_table(found: Sequence[Inner]) -> pd.DataFrame:
    """One row an encoder; medians over episodes."""
    rows = []
    for inner in found:
        largest, least = inner.largest_head(), inner.smallest_head()
        rows.append(
            {
                "encoder": inner.name,
                "inner rate α": inner.alpha,
                "inner steps N": inner.steps,
                "largest curvature L": largest,
                "bound on L": float(np.median([g.head.smoothness for g in inner.geometry])),
                "least curvature μ": 0.0,
                "least nonzero": least,
                "L / least nonzero": largest / least,
                "αL": inner.alpha * largest,
                "share of decrease reached": (
                    float(np.median([g.reached for g in inner.geometry]))
                    if inner.moves_head
                    else np.nan
                ),
            }
        )
    return pd.DataFrame(rows)


def group_table(found: Sequence[Inner]) -> pd.DataFrame:
    """One row an encoder and group; medians over episodes."""
    rows = []
    for inner in found:
        for group in inner.geometry[0].groups:
            seen = [g.groups[group] for g in inner.geometry]
            top, low = inner.curvatures(group)
            rows.append(
                {
                    "encoder": inner.name,
                    "adapted": group,
                    "parameters": seen[0][0].parameters,
                    "largest curvature": top,
                    "smallest curvature": low,
                    "−smallest / largest": -low / top,
                    "α · largest (stable below 2)": inner.alpha * top,
                    "worst amplification": float(np.median([advice.growth for _, advice in seen])),
                }
            )
    return pd.DataFrame(rows)


def head_is_convex_and_layers_are_not(found: Sequence[Inner]) -> Claim:
    """G1: which of the paper's two geometries the shipped encoders' inner loops live in."""
    head = np.array([spectrum[0] / spectrum[-1] for x in found for spectrum in x.spectra])
    layers = np.array(
        [
            -shape.bend
            for x in found
            for geometry in x.geometry
            for group, (shape, _) in geometry.groups.items()
            if group.startswith("block")
        ]
    )
    convex, bent = int((head >= -ROUNDING).sum()), int((layers < -CONVEX).sum())
    return Claim(
        id="G1",
        statement="In the shipped encoders the head's inner loss is convex but not strongly, and "
        "the loss of every block of the body is nonconvex.",
        source=f"{DERIVED}: the paper's two geometries, looked for in trained encoders",
        published=None,
        published_status="not obtainable",
        measured=f"no downward curvature in the head in {convex} of {len(head)} episodes of "
        f"{len(found)} encoders (μ = 0: {WAY * SHOT} rows); downward curvature in {bent} of "
        f"{len(layers)} blocks, smallest / largest down to {layers.min():.2g}, median "
        f"{np.median(layers):.2g}",
        estimate=bent / len(layers),
        rule=f"SUPPORTED if the head's smallest curvature is at least −{ROUNDING:g} of its largest "
        f"in every episode and that of every block below −{CONVEX:g}; REFUTED if a head's is not; "
        "else NOT SHOWN",
        verdict=verdict(
            supported=convex == len(head) and bent == len(layers), refuted=convex < len(head)
        ),
        note="5-way 1-shot episodes of unseen scripts, at the start of the inner loop (where no head "
        "is stored, after head-only steps from zeros); the estimate is the share of blocks that "
        "bend down.",
    )
