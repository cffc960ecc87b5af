"""Collins, Mokhtari, Shakkottai (2022): when does it pay to train for adaptation?

Read ``setting`` for the model and its words, ``closed_form`` for where training ends and what it
costs, ``simulation`` for the same from raw samples. ``mixture`` allows any covariances,
``hardness`` measures real tasks, ``images`` asks the question of scripts, ``two_layer`` of a
network, ``joint`` brings in Bernacchia (2021). ``claims``, ``beyond`` and ``warnings`` are the
ledger, ``rerun`` the whole.

>>> a, b = positions(dim=10, alpha=1.0, rho_easy=0.9, rho_hard=0.1, p_hard=0.5, n=200)
>>> round(a, 2), round(b, 2)  # NAL stays with the easy tasks, MAML moves to the hard ones
(0.1, 0.62)
"""

from __future__ import annotations

from .closed_form import excess_risks, gain_ratio, positions
from .rerun import run

__all__ = ["excess_risks", "gain_ratio", "positions", "run"]
