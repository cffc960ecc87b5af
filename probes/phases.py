"""The four cells by name: parameters at meta-init or adapted to T, features of T or of T′.

    meta-init = (θ, T)       on-task = (θ_T, T)       off-task = (θ_T, T′), beside (θ, T′)

Names only, so that whoever reads correctness bits needs no network to speak of them.
"""

from typing import Literal

CellName = Literal["init_on", "adapted_on", "init_off", "adapted_off"]

CELLS: tuple[CellName, ...] = ("init_on", "adapted_on", "init_off", "adapted_off")
