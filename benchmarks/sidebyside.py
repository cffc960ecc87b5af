"""Two ways of doing the same thing, measured in turn: A B, B A, A B …

Time is the process's CPU time, which a busy machine disturbs far less than the
clock on the wall. The figure is the median over rounds of peer / ours: above 1,
ours is faster.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Peer's time over ours.

    Args:
        name: What was compared.
        value: Median over rounds.
        low: Smallest round.
        high: Largest round.
        peer: What ours was held against.
    """

    name: str
    value: float
    low: float
    high: float
    peer: str

    def line(self) -> str:
        """``RATIO name value``."""
        return f"RATIO {self.name} {self.value:.2f}"


def compare(
    name: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    peer_name: str,
    rounds: int = 5,
    clock: Callable[[], float] = time.process_time,
) -> Ratio:
    """Run both in turn, each once before counting."""
    ours()
    peer()
    found = []
    for i in range(rounds):
        pair = {}
        for which in ("ours", "peer") if i % 2 == 0 else ("peer", "ours"):
            began = clock()
            (ours if which == "ours" else peer)()
            pair[which] = clock() - began
        found.append(pair["peer"] / pair["ours"])
    return Ratio(name, statistics.median(found), min(found), max(found), peer_name)
