"""Every statement, in reading order; fixed before measuring."""

from __future__ import annotations

from .asked_causes import controls, interventions, parts
from .asked_features import distance, layers, steps
from .asked_paths import directions, reliability, wandering
from .question import Question

QUESTIONS: tuple[Question, ...] = (
    *layers(), *steps(), *distance(), *interventions(), *controls(), *parts(),
    *directions(), *wandering(), *reliability(),
)  # fmt: skip
