"""Starshak (2022): do negative inner-loop rates learn universal features?

The study's probe, paired: cosine 1-NN with the support as gallery, five inner
steps, MAML beside Meta-SGD, here over several training seeds of each on glyphs
whose scripts were never trained on. Claims C1–C3 are about the learned rates,
C4–C10 about the three phases, C11 and C12 about causes, by intervention; each
is decided by a rule fixed beforehand, over seeds and episodes together, and may
come out against the paper.

The paper measured one model of each kind on mini-ImageNet, without intervals:
its figures were read off a plot (Fig. 7, ±0.002 points) or its Table 1.

Read in this order: `evidence` (what is read from audits), `claims_rates` and
`claims_effects` (the rules), `run` (the audits and the ledger).
"""

from .run import run

__all__ = ["run"]
