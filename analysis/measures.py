"""Every measure, of whatever kind, by its name: what tests, documentation and report read."""

from __future__ import annotations

from ..probes.measures import MEASURES as QUALITY
from .geometry import MEASURES as GEOMETRY
from .similarity import MEASURES as SIMILARITY

__all__ = ["GEOMETRY", "MEASURES", "QUALITY", "SIMILARITY"]

MEASURES = {**QUALITY, **SIMILARITY, **GEOMETRY}
