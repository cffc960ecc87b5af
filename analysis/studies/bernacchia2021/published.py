"""What the paper shows, as far as it could be obtained, and how each number is known.

The abstract was read. The theorems were not obtainable. Figures 2 and 3 were seen as pictures:
numbers marked *digitised* were read off their curves, to about 0.001 in the loss.

Bernacchia, A. "Meta-learning with negative learning rates." ICLR 2021.
"""

from __future__ import annotations

from .setting import Setting

TITLE = "Meta-learning with negative learning rates"
CITATION = "Bernacchia, A. (2021). ICLR. https://arxiv.org/abs/2102.00940"

FIGURE_2 = Setting(n_train=30, n_val=2, n_test=20, tasks=3, dim=60, noise=1.0, spread=0.5)
"""Caption of figure 2, over-parameterised: N = 6 judged rows, 60 weights."""

FIGURE_3 = Setting(n_train=5, n_val=25, n_test=10, tasks=40, dim=30, noise=1.0, spread=1.0)
"""Figure 3, under-parameterised: N = 1000 judged rows, 30 weights; with σ = ν = 1.

The caption says σ = ν = 0.2, but the loss is homogeneous in (σ, ν): with 0.2 the same curve comes
out 25 times lower, far from the plotted axis. With 1 it lies on it.
"""

CAPTION_SCALE_3 = 0.2
"""σ and ν as the caption of figure 3 states them."""

FIXED_RATE = 0.2
"""The rate held fixed while the other one moves: ``α_t`` in panels (a), ``α_r`` in panels (b)."""

FIGURE_2B_FLOOR = 0.684
"""Digitised: lowest loss of figure 2b's theory curve, near ``α_t = −1``."""

FIGURE_2B_PEAK = 0.740
"""Digitised: highest loss of figure 2b's theory curve, near ``α_t = 0.5``."""

FIGURE_3B_AXIS = (0.97, 1.06)
"""Read: range of the loss axis of figure 3b."""

FIGURE_3B_ENDS = (1.033, 1.039)
"""Digitised: the experiment's dots of figure 3b at ``α_t = −0.5`` and ``0.5``."""

FIGURE_3B_AT_ZERO = 0.975
"""Digitised: the theory curve of figure 3b at ``α_t = 0``."""

READING_ERROR = 0.002
"""Two plotting-accuracy steps: how far a curve may lie from a digitised number."""
