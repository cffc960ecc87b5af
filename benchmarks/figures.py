"""How long Bernacchia's figures 2 and 3 take at the paper's parameters, drawn and all.

There is no peer: the figures are held against the ten seconds that a reader will wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from metaprobe.analysis.studies.bernacchia2021.figures import draw_sweep
from metaprobe.analysis.studies.bernacchia2021.published import FIGURE_2, FIGURE_3
from metaprobe.analysis.studies.bernacchia2021.run import figure_2, figure_3
from metaprobe.analysis.studies.bernacchia2021.setting import Setting
from metaprobe.analysis.studies.study import Settings
from metaprobe.analysis.studies.threads import one_thread

LIMIT = 10.0


@dataclass(frozen=True)
class Timing:
    """Seconds of the clock on the wall for one figure, numbers and drawing together."""

    name: str
    seconds: float

    def line(self) -> str:
        """``SECONDS name value (limit 10)``."""
        over = "" if self.seconds <= LIMIT else ", OVER"
        return f"SECONDS {self.name} {self.seconds:.1f} (limit {LIMIT:g}{over})"


def main(quick: bool = False) -> list[Timing]:
    """Both figures, in full unless `quick`."""
    settings = Settings(quick=quick)
    with one_thread():
        return [
            _timed("bernacchia2021-figure-2", FIGURE_2, lambda: figure_2(settings)),
            _timed("bernacchia2021-figure-3", FIGURE_3, lambda: figure_3(settings)),
        ]


def _timed(name: str, setting: Setting, numbers: Callable[[], pd.DataFrame]) -> Timing:
    began = time.perf_counter()
    draw_sweep(setting, numbers())
    return Timing(name, time.perf_counter() - began)
