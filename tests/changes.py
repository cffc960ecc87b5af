"""The changes of features that a measure may or may not see, each drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaprobe.probes.measure import Change

Array = NDArray[Any]


def change(name: Change, random: np.random.Generator, n: int, d: int) -> Callable[[Array], Array]:
    """A change of ``(n, d)`` rows, drawn once: the same one for whatever it is given."""
    rotation = np.linalg.qr(random.normal(size=(d, d)))[0]
    stretch = np.linalg.qr(random.normal(size=(d, d)))[0] * np.geomspace(0.3, 3, d)
    order, factor = random.permutation(d), random.uniform(1.5, 4)
    shift, lengths = random.normal(size=d) * 2, random.uniform(0.3, 3, size=(n, 1))
    changes: dict[Change, Callable[[Array], Array]] = {
        "permutation": lambda z: z[:, order],
        "rotation": lambda z: z @ rotation,
        "linear": lambda z: z @ rotation @ stretch,
        "scale": lambda z: z * factor,
        "row-scale": lambda z: z * lengths,
        "shift": lambda z: z + shift,
    }
    return changes[name]
