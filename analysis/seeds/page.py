"""What the sections say over runs, as a part of a Markdown page; made from plain values alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..sections.context import SECTIONS
from ..sections.layers import ORDERS
from ..studies.writing import signed
from .question import RULES

Plain = Mapping[str, Any]

TITLES = {**SECTIONS, "controls": "Controls: movement without content"}

INTRO = {
    "layers": "Each block's features, pooled over space, and the embedding, before and after.",
    "steps": "One run of the inner loop, looked at after every step; five were trained with.",
    "distance": "The other task is drawn from ever further away; distance is measured between class "
    "centroids at meta-init. Mean distances stand for MAML / Meta-SGD.",
    "interventions": "The same encoder adapts to the same episodes with its rates changed in one "
    "respect. Only this can show a cause.",
    "controls": "Adaptations that move as far and know nothing of the task. With one image a class, as "
    "here, shuffled labels only rename the classes: N3 and N4 ask whether names matter, no more.",
    "parts": "Only a part of the network moves, the rest stays at meta-init.",
    "directions": "Sums of gradient and step over all layers and steps, episode by episode.",
    "wandering": "The encoder adapts to ten tasks in a row and is never reset.",
    "reliability": "Pairs of runs are compared weight by weight. Chance is what their shares of "
    "negative rates give.",
}

COLUMNS = {"on": "on-task", "off": "off-task"}


def seeds_markdown(found: Plain, *, figures: str = "") -> str:
    """The sections over runs: rules, what causes what, a table a section.

    Args:
        found: As `run.run` returns it.
        figures: Folder of the figures, relative to the page, with a closing slash.
    """
    runs = "; ".join(
        f"{learner}: {len(names)} runs"
        for learner, names in found["runs"].items()
    )  # fmt: skip
    parts = [
        "## Why: the sections over training runs",
        f"The first {found['episodes']} of the episodes above, the same for every checkpoint ({runs}). "
        "Statements and rules were written down before they were measured, D4 after a trial; of the "
        "words beside verdicts some were made clearer afterwards. Effects are in percentage points. "
        f"Every value is in [seeds.json]({figures}seeds.json).",
        RULES,
        _counts(found["answers"]),
        _causes(found),
    ]
    for section, title in TITLES.items():
        rows = [a for a in found["answers"] if a["section"] == section]
        if rows:
            parts += [f"### {title}", INTRO[section], *_pictures(section, figures), _table(rows)]
            parts += _profile(section, found["profiles"])
            parts.append(_each(rows, found["checkpoints"]))
    return "\n\n".join(parts) + "\n"


def told(answer: Plain, value: float) -> str:
    """A value in the unit of its question.

    >>> told({"unit": "points"}, -0.0123)
    '−1.23'
    """
    return signed(value, 3) if answer["unit"] == "number" else signed(100 * value)


def _counts(answers: Sequence[Plain]) -> str:
    said = Counter(a["outcome"] for a in answers)
    refuted = [f"{a['id']} ({a['learner']})" for a in answers if a["outcome"] == "REFUTED"]
    told = (
        f"Of {len(answers)} statements {said['SUPPORTED']} are supported, {said['REFUTED']} refuted"
    )
    told += f" ({', '.join(refuted)})" if refuted else ""
    return f"**In short.** {told} and {said['NOT SHOWN']} not shown."


def _causes(found: Plain) -> str:
    """Whether negative rates cause anything, over runs and checkpoint by checkpoint."""
    asked = [a for a in found["answers"] if a["expected"] == "RAISED OR LOWERED"]
    lines = [f"- **{a['id']}**: {a['statement']} {_told_of(a)} {a['sentence']}" for a in asked]
    rated = [c for c in found["checkpoints"] if asked[0]["id"] in c["told"]]
    caused = [c for c in rated if c["cause"] is not None]
    single = (
        f"By the rule of a single audit, Holm's correction and the random change included, "
        f"{len(caused)} of {len(rated)} checkpoints with learned rates show a cause (no correction over checkpoints)"
    )
    told = "\n".join(f"- {c['name']}: {c['cause']}" for c in caused)
    parts = [
        "**Do negative rates cause anything?** Over runs:",
        "\n".join(lines),
        f"{single}{':' if caused else '.'}",
        told,
        "C11 and C12 above ask of causes with more episodes; C11 is I2 with its sign turned.",
    ]
    return "\n\n".join(part for part in parts if part)


def _told_of(answer: Plain) -> str:
    """A causal statement's numbers in a sentence."""
    if answer["told"] is None:
        return ""
    said = f"Changed by {_with_ends(answer, answer['told'])} points ({answer['told']['word']})"
    if answer["beyond"] is not None:
        beyond = answer["beyond"]
        said += (
            f", beyond a random change as large by {_with_ends(answer, beyond)} ({beyond['word']})"
        )
    return f"{said}: {answer['outcome']}."


def _with_ends(answer: Plain, numbers: Plain) -> str:
    return f"{told(answer, numbers['value'])} [{_ends(answer, numbers)}]"


def _pictures(section: str, figures: str) -> list[str]:
    from .figures import CAPTIONS

    return [f"![{CAPTIONS[section]}]({figures}seeds-{section}.svg)"] if section in CAPTIONS else []


UNITS = {"points": "points", "share": "%", "number": ""}


def _table(rows: Sequence[Plain]) -> str:
    lines = [
        "| statement | learner | measured | over runs | 95 % interval | verdict | in words |",
        "|---|---|---|---|---|---|---|",
    ]
    for a in rows:
        smallest = (
            f"{a['sesoi'] if a['unit'] == 'number' else 100 * a['sesoi']:g} {UNITS[a['unit']]}"
        )
        measured = f"{a['measured']}; counts from {smallest.strip()}; expected {a['expected']}"
        value, interval = "–", "–"
        if a["told"] is not None:
            t = a["told"]
            each = ", ".join(told(a, v) for v in t["by_run"])
            p = a["p_holm"]
            corrected = "p_Holm < 0.0001" if p < 0.0001 else f"p_Holm = {p:.4f}"
            unit = f" {UNITS[a['unit']]}".rstrip()
            value = f"{told(a, t['value'])}{unit}: {t['word']}, {corrected}; runs {each}"
            interval = _ends(a, t)
            if a["beyond"] is not None:
                b = a["beyond"]
                value += (
                    f"; beyond a random change {told(a, b['value'])} ({_ends(a, b)}): {b['word']}"
                )
        cells = [f"**{a['id']}** {a['statement']}", a["learner"], measured, value, interval,
                 f"**{a['outcome']}**", a["sentence"]]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ends(answer: Plain, numbers: Plain) -> str:
    return f"{told(answer, numbers['low'])} to {told(answer, numbers['high'])}"


def _profile(section: str, profiles: Plain) -> list[str]:
    """The section's curves as a table: a row a place, a column a learner and task."""
    points = {"unit": "points"}
    few = [r for r in profiles["steps"] if r["label"] == "1" or int(r["label"]) % 5 == 0]
    tables = {
        "layers": [_curves("layer", profiles["layers"], points), _nulls(profiles["similarity"])],
        "steps": [_curves("steps", few, points)],
        "distance": [_curves("the other task", profiles["distance"], points)],
        "wandering": [_curves("tasks", profiles["wandering"], points)],
    }
    return tables.get(section, [])


def _nulls(rows: Sequence[Plain]) -> str:
    """Similarities θ→θ_T beside what rows dealt anew give."""
    number = {"unit": "number"}
    lines = [
        "Similarity of another task's queries before and after, on average over episodes and runs; "
        "beside it what the same measure gives for rows dealt anew, and the largest p of any run "
        f"(of {ORDERS + 1} orders, the one at hand among them, the share at least as alike).\n",
        "| measure | layer | learner | similarity | rows dealt anew | p at most |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        null, p = ("–", "–") if r["p"] is None else (told(number, r["dealt"]), f"{r['p']:.2f}")
        value = f"{told(number, r['value'])} [{_ends(number, r)}]"
        cells = [r["kind"], r["label"], r["learner"], value, null, p]
        lines.append("| " + " | ".join(cells) + " |")
    return _folded("Similarities and their nulls", "\n".join(lines))


def _curves(what: str, rows: Sequence[Plain], unit: Plain) -> str:
    keys = list(dict.fromkeys((r["learner"], r["kind"]) for r in rows))
    labels = list(dict.fromkeys(r["label"] for r in rows))
    by = {(r["label"], r["learner"], r["kind"]): r for r in rows}
    heads = [f"{learner}, {COLUMNS.get(kind, kind)}" for learner, kind in keys]
    far = "distance" in rows[0]
    lines = ["| " + " | ".join([what, *(["distance"] if far else []), *heads]) + " |"]
    lines.append("|---" * (1 + far + len(keys)) + "|")
    for label in labels:
        cells = [label]
        if far:
            cells.append(
                " / ".join(f"{max(0.0, by[(label, *key)]['distance']):.3f}" for key in keys)
            )
        for key in keys:
            r = by.get((label, *key))
            cells.append("–" if r is None else f"{told(unit, r['value'])} [{_ends(unit, r)}]")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _each(rows: Sequence[Plain], checkpoints: Sequence[Plain]) -> str:
    """Every checkpoint's own numbers, folded."""
    asked = {a["id"]: a for a in rows if "−" not in a["learner"]}
    kept = [name for name in asked if any(name in c["told"] for c in checkpoints)]
    if not kept:
        return "Not asked of single checkpoints: the unit is the run."
    lines = ["| " + " | ".join(["checkpoint", *kept]) + " |", "|---" * (1 + len(kept)) + "|"]
    for c in checkpoints:
        cells = [c["name"]]
        for name in kept:
            t = c["told"].get(name)
            cells.append(
                "–" if t is None
                else f"{told(asked[name], t['value'])} [{_ends(asked[name], t)}] {t['word']}"
            )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return _folded("Every checkpoint, intervals for new classes and episodes", "\n".join(lines))


def _folded(head: str, text: str) -> str:
    return f"<details><summary>{head}</summary>\n\n{text}\n\n</details>"
