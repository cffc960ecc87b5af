"""metaprobe: what did adaptation do to an encoder's features?

    >>> import metaprobe
    >>> metaprobe.__all__[:3]
    ['Audit', 'AuditSettings', 'Embeddings']

Names are imported when first used, so that ``import metaprobe`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .analysis.audit import AuditSettings, audit
    from .analysis.comparison import compare
    from .analysis.maps.make import map_features
    from .analysis.result import Audit
    from .data.datasets import open_dataset
    from .data.embeddings import Embeddings
    from .data.episodes import EpisodeList, draw_episodes
    from .data.errors import MetaprobeError
    from .data.images import LabelledImages
    from .data.store import Store
    from .models.adapt import adapt
    from .models.encoder import Encoder, load_encoder
    from .models.rules import Rule
    from .models.training import train
    from .probes.extract import extract
    from .probes.neighbours import nearest_neighbours

__version__ = version("metaprobe")

__all__ = [
    "Audit",
    "AuditSettings",
    "Embeddings",
    "Encoder",
    "EpisodeList",
    "LabelledImages",
    "MetaprobeError",
    "Rule",
    "Store",
    "adapt",
    "audit",
    "compare",
    "draw_episodes",
    "extract",
    "load_encoder",
    "map_features",
    "nearest_neighbours",
    "open_dataset",
    "train",
]

_HOME = {
    "Audit": "analysis.result",
    "AuditSettings": "analysis.audit",
    "Embeddings": "data.embeddings",
    "Encoder": "models.encoder",
    "EpisodeList": "data.episodes",
    "LabelledImages": "data.images",
    "MetaprobeError": "data.errors",
    "Rule": "models.rules",
    "Store": "data.store",
    "adapt": "models.adapt",
    "audit": "analysis.audit",
    "compare": "analysis.comparison",
    "draw_episodes": "data.episodes",
    "extract": "probes.extract",
    "load_encoder": "models.encoder",
    "map_features": "analysis.maps.make",
    "nearest_neighbours": "probes.neighbours",
    "open_dataset": "data.datasets",
    "train": "models.training",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'metaprobe' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
