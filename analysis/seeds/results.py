"""The page of results on the shipped checkpoints: a study, an audit of each, sections over runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..result import AuditSet
from ..studies.starshak2022.every import audit_table
from ..studies.study import Study
from ..studies.writing import study_markdown
from .page import seeds_markdown

HEAD = """# Results on the shipped checkpoints

*Made by `make results`; do not edit.*

Conv4-32 on glyphs, 5-way 1-shot, five inner steps, batch statistics, {episodes} paired
episodes from scripts no encoder was trained on (Cyrillic, Armenian, Georgian, Lao).
An effect is a paired difference of 1-NN accuracy with its 95 % interval. Claims C5–C9,
C11 and C12 speak of new training runs, classes and episodes at once; C1–C4 and C10 of new
runs on these episodes; the table of every checkpoint of new classes and episodes for that
checkpoint. Effects of claims and of that table are in percentage points, the tables of
phases and rates in shares. Verdicts as in [how to choose](how-to-choose.md).
[Why features change](#why-the-sections-over-training-runs) is asked at the end.
"""


def results_markdown(
    study: Study, every: AuditSet, found: Mapping[str, Any], *, figures: str = ""
) -> str:
    """The page in Markdown.

    Args:
        study: The study of trained encoders.
        every: An audit of every checkpoint.
        found: The sections over runs, as `run.run` returns them.
        figures: Folder of the figures, relative to the page, with a closing slash.
    """
    return "\n".join(
        [
            HEAD.format(episodes=every.audits[0].episodes.n),
            study_markdown(study, figures=figures),
            "## Every shipped checkpoint\n",
            audit_table(every),
            seeds_markdown(found, figures=figures),
        ]
    )
