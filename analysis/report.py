"""The audit as one HTML file that needs nothing else: no script, no font, no network.

The page reads top-down: the answer in a sentence, the numbers, the figures, learned rates,
floors, how it was measured, provenance, how to repeat. Figures are inline SVG whose colours
are CSS variables, so they follow light and dark. Every string of a checkpoint is escaped.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.files import write_whole
from ..data.fit import AS_STORED
from .inline_svg import inline_svg, shared_outlines
from .maps.interactive import MISSING, Live, can_be_live
from .maps.page import Code, live_maps
from .maps.plain import from_plain
from .number_words import join
from .pages import ExtraSection, environment, style_sheet
from .provenance import RuleUsed
from .report_parts import (
    CAPTIONS,
    HEAD_ROWS,
    figure_text,
    other_readings,
    table,
    turned_for,
)
from .result import Audit, AuditSet, as_set
from .wording import EFFECT_ROWS, FLOOR_ROWS, MEANINGS, PHASE_ROWS, SIGNS, conclusions, set_cautions

__all__ = ["notebook_html", "report_html", "write_report"]


def write_report(
    audits: Audit | AuditSet, out_dir: Path | str, extra_sections: Sequence[ExtraSection] = ()
) -> Path:
    """Writes ``report.html`` into ``out_dir``, whole or not at all; returns its path.

    Raises:
        MetaprobeError: The folder cannot be written.
    """
    return write_whole(Path(out_dir) / "report.html", report_html(audits, extra_sections).encode())


def report_html(audits: Audit | AuditSet, extra_sections: Sequence[ExtraSection] = ()) -> str:
    """The whole page as text.

    Args:
        audits: What was measured.
        extra_sections: Sections that were measured apart, such as studies
            (`studies.stored.study_sections`), before the method.
    """
    from .figures import FIGURES, drawable, svg_text

    together = as_set(audits)
    figures = [
        {
            "name": name,
            "svg": inline_svg(svg_text(FIGURES[name](together)), name),
            "alt": figure_text(name, together),
            "caption": CAPTIONS[name],
        }
        for name in drawable(together)
    ]
    labels = together.labels
    titles = {name: s.title for audit in together.audits for name, s in audit.sections.items()}
    pictures = _section_figures(together)
    every = [*figures, *pictures.values()]
    outlines, less = shared_outlines([picture["svg"] for picture in every])
    for picture, svg in zip(every, less, strict=True):
        picture["svg"] = svg
    shown, code = _maps(together)
    subject = labels[0] if len(labels) == 1 else f"{len(labels)} checkpoints"
    return (
        environment()
        .get_template("report.html")
        .render(
            **_shared(together),
            css=style_sheet("report", *(("study",) if extra_sections else ())),
            extras=extra_sections,
            subject=subject,
            cautions=set_cautions(together),
            floors=turned_for(table("Floors", together, FLOOR_ROWS, "floors"), together),
            others=list(other_readings(together)),
            figures=figures,
            labelled=list(zip(labels, together.audits, strict=True)),
            contrasts=together.contrasts,
            sectioned=list(titles.items()),
            section_figures=pictures,
            outlines=outlines,
            maps_shown=shown,
            code=code,
            missing=MISSING,
            effect_rows=EFFECT_ROWS,
            rules=_rules(together),
            alike=_alike(together),
            commands=_commands(together),
        )
    )


def _section_figures(audits: AuditSet) -> dict[tuple[int, str], dict[str, Any]]:
    """The picture of every section that has one, by number of checkpoint and name."""
    from .figures import svg_text
    from .sections.figure import described, draw

    return {
        (i, name): {
            "svg": inline_svg(svg_text(draw(section)), f"why-{name}-{i}"),
            "alt": described(section),
        }
        for i, audit in enumerate(audits.audits, start=1)
        for name, section in audit.sections.items()
        if section.lines
    }


def _maps(audits: AuditSet) -> tuple[dict[int, Live], Code | None]:
    """The maps to point at, by number of checkpoint, and the one code for all of them."""
    kept = {
        i: from_plain(section.map)
        for i, audit in enumerate(audits.audits, start=1)
        for section in audit.sections.values()
        if section.map is not None
    }
    if not kept or not can_be_live():
        return {}, None
    shown, code = live_maps([(f"map-{i}", drawn) for i, drawn in kept.items()])
    return dict(zip(kept, shown, strict=True)), code


def notebook_html(audits: Audit | AuditSet) -> str:
    """The answer and the numbers as an HTML fragment, for notebooks."""
    return environment().get_template("notebook.html").render(**_shared(as_set(audits)))


def _shared(audits: AuditSet) -> dict[str, Any]:
    """What the page and the notebook fragment both show."""
    head = table("Accuracy", audits, HEAD_ROWS, "head_accuracy")
    cells = table("Accuracy", audits, PHASE_ROWS, "cells")
    accuracy = replace(cells, rows=cells.rows + head.rows, cells=cells.cells + head.cells)
    change = table("Change", audits, EFFECT_ROWS, "effects")
    return {
        "audits": audits,
        "first": audits.audits[0],
        "conclusions": conclusions(audits),
        "accuracy": turned_for(accuracy, audits),
        "change": turned_for(change, audits),
        "signs": SIGNS,
        "meanings": MEANINGS,
    }


def _rules(audits: AuditSet) -> list[tuple[str, RuleUsed]]:
    """Each inner-loop rule once, with the checkpoints it served."""
    used: dict[RuleUsed, list[str]] = {}
    for label, audit in zip(audits.labels, audits.audits, strict=True):
        used.setdefault(audit.rule, []).append(label)
    return [(join(labels), rule) for rule, labels in used.items()]


def _alike(audits: AuditSet) -> bool:
    """Were all checkpoints measured on the same data and episodes, by the same software?"""
    return len({(a.data, a.episodes, a.environment, a.version) for a in audits.audits}) == 1


def _commands(audits: AuditSet) -> list[str]:
    """The commands as run, or as the settings would have it where none was recorded."""
    commands: dict[str, None] = {}
    for audit in audits.audits:
        commands[audit.run.command or _command(audit)] = None
    return list(commands)


def _command(audit: Audit) -> str:
    e, data, rule = audit.episodes, audit.data, audit.rule
    gallery = audit.gallery if audit.other_gallery is None else "both"
    words: list[object] = [
        "metaprobe",
        "audit",
        audit.checkpoint.path,
        "--data",
        data.name,
        "--split",
    ]
    words += [data.split, "--way", e.way, "--shot", e.shot, "--query", e.query, "--episodes", e.n]
    words += ["--steps", rule.steps, "--gallery", gallery, "--norm", rule.norm, "--seed", e.seed]
    if (other := audit.other_data) is not None:
        words += ["--off-data", f"{other.name}/{other.split}"]
    if rule.head is not None:
        words += ["--head", rule.head]
    probe = audit.probe
    words += [
        "--probe",
        probe.name,
        "-k",
        probe.k,
        "--metric",
        probe.metric,
        "--sesoi",
        audit.sesoi,
    ]
    if audit.preprocessing != AS_STORED:
        words.append("--resize")
    return shlex.join(str(word) for word in words)
