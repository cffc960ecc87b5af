"""`python -m benchmarks.layouts`: on which layout is an arrow a displacement?

One episode in which half of the images, those of T′, were made to stay but for rounding. A layout
is good when its arrows are in the order of the true moves, and short where nothing moved.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.stats import spearmanr

from metaprobe.analysis.maps.layout import LayoutSettings, compared, lay_out
from metaprobe.analysis.maps.points import phase_points
from metaprobe.analysis.planning import AuditSettings, draw, plan
from metaprobe.models.encoder import load_encoder
from metaprobe.probes.rows import Floats

CHECKPOINT = "meta-sgd-glyphs-s0"


def main() -> None:
    """Print a line for each way to lay out."""
    encoder = load_encoder(CHECKPOINT)
    asked = AuditSettings(episodes=20)
    points = phase_points(plan(encoder, asked, draw(asked, encoder.shape)), [0], None)
    before, after = points.pairs.T
    init, adapted = points.features[before], points.features[after].copy()
    still = points.task[before] == "T′"
    adapted[still] = init[still] * np.float32(1 + 1e-6)
    true = np.linalg.norm(compared(init, "cosine") - compared(adapted, "cosine"), axis=1)
    for name, (one, other) in layouts(init, adapted).items():
        every = np.concatenate([one, other])
        radius = np.linalg.norm(every - every.mean(axis=0), axis=1).mean()
        length = np.linalg.norm(one - other, axis=1) / radius
        order = spearmanr(length, true).statistic
        print(
            f"| {name} | {order:.2f} | {np.median(length[still]):.3f} "
            f"| {np.median(length[~still]):.3f} |"
        )


def layouts(
    init: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    adapted: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> dict[str, tuple[Floats, Floats]]:
    """The same rows before and after, laid out together, apart, and aligned."""
    n, found = len(init), {}
    for name in ("pca", "umap"):
        both = lay_out(np.concatenate([init, adapted]), LayoutSettings(name))
        found[f"one {name.upper()} for both"] = (both[:n], both[n:])
    one, other = (lay_out(rows, LayoutSettings("umap")) for rows in (init, adapted))
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    turn = orthogonal_procrustes(other, one)[0]
    found["two UMAPs, registered by Procrustes"] = (one, other @ turn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap-learn's remarks on seeds and TensorFlow
        import umap

        for strength in (0.01, 0.1):
            model = umap.AlignedUMAP(
                n_neighbors=15, metric="cosine", random_state=0, alignment_regularisation=strength
            ).fit([init, adapted], relations=[{i: i for i in range(n)}])
            found[f"AlignedUMAP, regularisation {strength}"] = tuple(
                np.asarray(part, dtype=np.float64) for part in model.embeddings_
            )
    return found


if __name__ == "__main__":
    main()
