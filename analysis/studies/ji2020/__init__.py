"""ANIL over partial parameters: does adapting longer help or hurt learning to adapt?

Ji, Lee, Liang and Poor (NeurIPS 2020) study meta-learning that adapts only a part of a
network to each task, typically its head. Their answer: it depends on the shape of that
part's loss. If it is strongly convex, meta-training converges *faster* the more inner
steps are taken; if it is nonconvex, *slower*.

What is known of the paper here: its abstract and introduction, its public reviews, and
a digest of its results. Its theorems' constants, tables and figures could not be
obtained. The bounds tested in this study have the paper's structure and are derived
here; every claim says which it is, and none is cited as a theorem of the paper.

Reading order: ``recursion`` (the exact meta-gradient), ``problems`` and ``ridge`` (where
it is measured), ``contraction``, ``hypergradient``, ``smoothness``, ``divergence``,
``convergence``, ``budget``,
``exactness`` (the claims), ``geometry`` and ``encoder`` (the same questions asked of a
real encoder), ``flops`` (the cost), ``run``.
"""

from .flops import flops
from .recursion import anil_meta_gradient
from .run import run

__all__ = ["anil_meta_gradient", "flops", "run"]
