"""CKA of all pairs of layers, against the bare products it cannot do without, in float32.

The peer makes each layer's product with itself and with every layer of the other side by
sgemm, from float32 rows held in memory, and does nothing with them: no centring, no
debiasing, no norms. Ours streams the rows in blocks, in ``O(D²)`` memory: in float64, where
a product alone takes twice as long; and with products in float32, summed in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaprobe.analysis.similarity import cka_matrix

from .sidebyside import Ratio, compare

WIDTHS = (256, 512, 512)


def main(rounds: int = 5, rows: int = 20_000) -> list[Ratio]:
    """The ratios for three layers before and after, in both precisions."""
    rng = np.random.default_rng(0)
    before = [rng.standard_normal((rows, width), dtype=np.float32) for width in WIDTHS]
    after = [x + rng.standard_normal(x.shape, dtype=np.float32) for x in before]
    # numpy halves the work of a product of one array with itself; a copy is another array
    pairs = [(x, x.copy()) for x in [*before, *after]] + [(x, y) for x in before for y in after]
    apart = np.abs(cka_matrix(before, after) - cka_matrix(before, after, precision="single"))
    if apart.max() > 1e-5:
        raise SystemExit(f"the two precisions differ by {apart.max():.1e}")

    def products() -> list[NDArray[np.float32]]:
        return [x.T @ y for x, y in pairs]

    peer = "sgemm of the same products"
    return [
        compare("cka", lambda: cka_matrix(before, after), products, peer_name=peer, rounds=rounds),
        compare(
            "cka-single",
            lambda: cka_matrix(before, after, precision="single"),
            products,
            peer_name=peer,
            rounds=rounds,
        ),
    ]
