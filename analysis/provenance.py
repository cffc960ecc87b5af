"""What an audit was made from: weights, images, episodes, probe, inner loop, software, command."""

from __future__ import annotations

from pydantic import Field, JsonValue

from .audit_parts import Count, Value


class Checkpoint(Value):
    """Which weights were measured, and how they were loaded and stripped."""

    name: str
    path: str
    sha256: str
    format: str
    architecture: str
    embedding_dim: Count
    layer: str | None = None
    head: str | None
    load_report: dict[str, JsonValue]
    strip_report: dict[str, JsonValue]


class Data(Value):
    """Which images were measured; ``notes`` say which were left out, and what is in doubt."""

    name: str
    fingerprint: str
    split: str
    classes: Count
    images: Count
    notes: tuple[str, ...] = ()


class ProbeUsed(Value):
    """How each query was classified."""

    name: str = "knn"
    k: Count = 1
    metric: str = "cosine"
    weights: str = "uniform"


class Episodes(Value):
    """Which episodes: the same list on every machine, by hash."""

    n: Count
    way: Count
    shot: Count
    query: Count
    seed: int
    sha256: str


class RuleUsed(Value):
    """How the inner loop adapted: ``adapts`` all, body or head; ``norm`` the norm-layer mode;
    ``head`` where its head started: stored, class-means or zeros."""

    name: str
    steps: Count
    adapts: str
    norm: str
    head: str | None = None
    rate: float | None = None


class Environment(Value):
    """The software and device of the run."""

    python: str
    torch: str
    faiss: str
    device: str
    threads: int
    git: str | None


class Run(Value):
    """What may differ between two runs of the same command."""

    command: str | None = None
    wall_seconds: float | None = None
    forward_passes: Count | None = None
    cached_entries: Count | None = None
    notes: dict[str, JsonValue] = Field(default_factory=dict)
