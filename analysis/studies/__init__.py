"""One paper, one study: its claims, re-run.

A study is a module with ``run(settings) -> Study``; those that need trained
encoders also take a store, a number of jobs and a progress callback.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any

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
) -> Study:
    """Run a study by name.

    Args:
        name: One of `STUDIES`.
        settings: Quick or full, and the seed.
        store: Where embeddings are kept, for studies that measure encoders.
        jobs: Blocks of episodes side by side.
        progress: Told of every block.
    """
    run = import_module(f".{name}", __name__).run
    offered: dict[str, Any] = {"store": store, "jobs": jobs, "progress": progress}
    taken = {k: v for k, v in offered.items() if k in signature(run).parameters}
    study: Study = run(settings, **taken)
    return study
