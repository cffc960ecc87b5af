"""Which other tasks an episode may be shown: those of the other episodes, the furthest apart first.

The choice depends on the whole list of episodes, and not on the block that one is measured in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.episodes import EpisodeList
from ..data.errors import ProbeError


def places(block: EpisodeList, episodes: EpisodeList) -> NDArray[np.int64]:
    """Where the episodes of a block `(E,)` stand in the list it was cut from.

    Raises:
        ProbeError: If one is not of the list.
    """
    known = {_rows(episodes, e): e for e in reversed(range(len(episodes)))}
    found = [known.get(_rows(block, b)) for b in range(len(block))]
    if None in found:
        raise ProbeError(
            f"episode {found.index(None)} of the block is none of the {len(episodes)} episodes; cut "
            "the block from them",
            code="other-task",
        )
    return np.array(found, dtype=np.int64)


def other_tasks(block: EpisodeList, episodes: EpisodeList, most: int) -> NDArray[np.int64]:
    """Places `(E, most)` in the list of episodes whose T each episode of a block may be shown.

    They follow each other as in the list, from the episode on; those whose classes are apart from
    its own T and T′ come first, and where all share some, those that share fewest. A short list
    begins anew.

    Args:
        block: Some of the episodes.
        episodes: All of them.
        most: How many tasks for each.

    Raises:
        ProbeError: If there is one episode alone, or the block is not of these episodes.
    """
    many = len(episodes)
    if many < 2:
        raise ProbeError(
            "another task asked of one episode alone; ask for two episodes or more",
            code="other-task",
        )
    same = episodes.fingerprints[0] == episodes.fingerprints[1]
    rows = []
    for b, e in enumerate(places(block, episodes)):
        own = set(block.on.classes[b]) | (set(block.off.classes[b]) if same else set())
        others = [(int(e) + ahead) % many for ahead in range(1, many)]
        others.sort(key=lambda o: len(own & set(episodes.on.classes[o])))
        rows.append([others[i % len(others)] for i in range(most)])
    return np.array(rows, dtype=np.int64).reshape(len(block), most)


def _rows(episodes: EpisodeList, e: int) -> bytes:
    """One episode as bytes, to find it by."""
    on, off = episodes.on, episodes.off
    parts = (on.support, on.query, on.gallery, off.support, off.query, off.gallery)
    return b"".join(part[e].tobytes() for part in parts)
