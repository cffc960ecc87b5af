"""One paper, one study: its claims, re-run.

A study is a module with ``run(settings) -> Study``; those that need trained
encoders also take a store, a number of jobs and a progress callback.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any

from ...data.errors import MetaprobeError
from ...data.store import Store
from .study import Claim, Settings, Study

STUDIES: tuple[str, ...] = (
    "starshak2022",
    "bernacchia2021",
    "collins2022",
    "ji2020",
    "flennerhag2023",
)
"""Names of the studies, in reading order."""

__all__ = ["STUDIES", "Claim", "Settings", "Study", "run_study"]


def run_study(
    name: str,
    settings: Settings,
    *,
    store: Store | None = None,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
    **own: Any,
) -> Study:
    """Run a study by name.

    Args:
        name: One of `STUDIES`.
        settings: Quick or full, and the seed.
        store: Where embeddings are kept, for studies that measure encoders.
        jobs: Blocks of episodes side by side.
        progress: Told of every block.
        **own: The caller's own data and checkpoints, as the `run` of that study has them.

    Raises:
        MetaprobeError: If the study does not take what is given.
    """
    run = import_module(f".{name}", __name__).run
    foreign = [word for word in own if word not in signature(run).parameters]
    if foreign:
        raise MetaprobeError(
            f"study {name!r} takes no {', '.join(foreign)}; starshak2022 does", code="not-taken"
        )
    offered: dict[str, Any] = {"store": store, "jobs": jobs, "progress": progress}
    taken = {k: v for k, v in offered.items() if k in signature(run).parameters}
    study: Study = run(settings, **taken, **own)
    return study
