"""Verdicts in words: one place where a reader's sentence is decided.

:func:`conclusion` says what the verdicts say and no more; the terminal and the HTML report both
print it. Verdict rule: how-to-choose.md, two one-sided tests within ±SESOI.
"""

from __future__ import annotations

from ..data.fit import AS_STORED
from .audit_parts import Effect, Reading
from .number_words import (
    join,
    magnitude,
    plain_points,
    points,
    points_interval,
    share,
    share_interval,
)
from .result import Audit, AuditSet, Contrast
from .verdicts import OPEN

PHASE_ROWS = (
    ("init_on", "Meta-init", "θ on T"),
    ("adapted_on", "On-task", "θ_T on T"),
    ("init_off", "Off-task baseline", "θ on T′"),
    ("adapted_off", "Off-task", "θ_T on T′"),
)
EFFECT_ROWS = (
    ("on", "On-task effect", "θ_T − θ on T"),
    ("off", "Off-task effect", "θ_T − θ on T′"),
    ("interaction", "Interaction", "off − on"),
)
FLOOR_ROWS = (
    ("untrained", "Untrained encoder"),
    ("pixels", "Raw pixels"),
    ("shuffled_labels", "Shuffled labels"),
)
SIGNS = {
    "RAISED": "▲",
    "LOWERED": "▼",
    "TRACE+": "△",
    "TRACE−": "▽",
    "NO MATERIAL CHANGE": "=",
    "UNRESOLVED": "?",
}
MEANINGS = {
    "RAISED": "the 95 % interval lies above zero and the estimate is at least the smallest"
    " effect of interest",
    "LOWERED": "the same, below zero",
    "TRACE+": "the 95 % interval lies above zero, but the estimate is smaller than the smallest"
    " effect of interest",
    "TRACE−": "the same, below zero",
    "NO MATERIAL CHANGE": "the 95 % interval holds zero and the 90 % interval lies within the"
    " smallest effect of interest: equal for practical purposes",
    "UNRESOLVED": "neither a change nor its absence is shown; the sentence beside the effect says"
    " what would settle it",
}


def conclusion(audit: Audit) -> str:
    """Plain sentences: what adaptation did on the task, off it, the difference between the two,
    and what another gallery changes in that."""
    parts = [_both(audit), _interaction(audit)]
    if audit.other_gallery is not None:
        parts.extend(_changed(audit, audit.other_gallery))
    return " ".join(parts)


def conclusions(audits: AuditSet) -> list[tuple[str, str]]:
    """``(label, conclusion)`` for each checkpoint."""
    labelled = zip(audits.labels, audits.audits, strict=True)
    return [(label, conclusion(audit)) for label, audit in labelled]


def cautions(audit: Audit) -> list[str]:
    """What a reader must know before quoting the conclusion; empty when there is nothing."""
    notes: list[str] = []
    if audit.gallery == "support":
        notes.append(
            "The gallery is the support set, the images the inner loop fitted, so the on-task"
            " change mixes better features with fitted ones."
        )
    notes.extend(_partly_random(audit))
    assumed = audit.checkpoint.load_report.get("assumed")
    if isinstance(assumed, list):
        notes.extend(f"Assumed: {said}." for said in assumed)
    flags = audit.checkpoint.load_report.get("flags")
    if isinstance(flags, list):
        notes.extend(f"{said}." for said in flags)
    if audit.preprocessing != AS_STORED:
        notes.append(f"Images were changed before they were measured: {audit.preprocessing}.")
    notes.extend(f"Of the images: {said}." for said in audit.data.notes)
    floor = audit.floors.untrained
    if floor is not None and audit.cells.init_on.value <= floor.ci_high:
        notes.append(
            f"The features at meta-init ({share(audit.cells.init_on.value)}) are no better than"
            f" those of an untrained encoder ({share(floor.value)} {share_interval(floor)})."
        )
    return notes


def _partly_random(audit: Audit) -> list[str]:
    """What of the body is not the file's, and so random."""
    load = audit.checkpoint.load_report
    missing = load.get("missing")
    if not isinstance(missing, list) or not missing:
        return []
    names = ", ".join(map(str, missing[:8])) + (
        f" and {len(missing) - 8} more" if missing[8:] else ""
    )
    coverage = load.get("coverage")
    held = f"{min(100 * coverage, 99.99):.2f} %" if isinstance(coverage, float) else "a part"
    size = load.get("missing_bytes")
    count = f"{len(missing)} tensor{'s' if missing[1:] else ''}"
    lost = f"{count} of {size:,} bytes" if isinstance(size, int) else count
    return [
        f"Only {held} of the body's values came from the file; {lost} it lacks, and there the body"
        f" is random: {names}. No number here describes the network that was trained."
    ]


def set_cautions(audits: AuditSet) -> list[str]:
    """Cautions over all checkpoints; one that does not hold for all names those it holds for."""
    notes: dict[str, list[str]] = {}
    if len({audit.episodes.sha256 for audit in audits.audits}) > 1:
        notes["The checkpoints were not measured on the same episodes: compare with care."] = list(
            audits.labels
        )
    for label, audit in zip(audits.labels, audits.audits, strict=True):
        for note in cautions(audit):
            notes.setdefault(note, []).append(label)
    everyone = len(audits.audits)
    return [
        note if len(labels) == everyone else f"{join(labels)}: {note}"
        for note, labels in notes.items()
    ]


def contrast_sentence(contrast: Contrast) -> str:
    """One contrast in words."""
    quantity = quantity_name(contrast.quantity)
    return (
        f"{contrast.a} minus {contrast.b}, {quantity}: {points(contrast.value)} points"
        f" {points_interval(contrast)}, {contrast.verdict}{uncorrected(contrast)}"
        f" (p = {contrast.p_holm:.3g} after Holm)."
    )


def uncorrected(contrast: Contrast) -> str:
    """A remark where a verdict, which looks at one contrast alone, outruns Holm's correction."""
    found = contrast.verdict not in ("NO MATERIAL CHANGE", "UNRESOLVED")
    return " by itself, not after correction" if found and contrast.p_holm >= 0.05 else ""


def contrasts_summary(audits: AuditSet) -> str:
    """Many contrasts in one sentence: how many of each verdict."""
    verdicts = [contrast.verdict for contrast in audits.contrasts]
    counts = [f"{verdicts.count(word)} {word}" for word in SIGNS if word in verdicts]
    changes = [c for c in audits.contrasts if c.verdict not in ("NO MATERIAL CHANGE", "UNRESOLVED")]
    lasting = sum(not uncorrected(contrast) for contrast in changes)
    return (
        f"{len(verdicts)} contrasts between checkpoints: {join(counts)}, of which {lasting} hold"
        " after Holm's correction; each is in audit.json and the report."
    )


def quantity_name(quantity: str) -> str:
    """``off`` → ``off-task effect``; a name it does not know stays as it is."""
    known = {key: label.lower() for key, label, _ in EFFECT_ROWS} | {"meta_init": "meta-init"}
    return known.get(quantity.removeprefix("effects."), quantity)


def _others(audit: Audit) -> str:
    """What off-task is here."""
    other = audit.other_data
    return "other tasks" if other is None else f"tasks from {other.name}"


def _both(audit: Audit) -> str:
    """The on-task and the off-task limb in one sentence."""
    on, off, sesoi, others = audit.effects.on, audit.effects.off, audit.sesoi, _others(audit)
    if on.verdict == off.verdict == "UNRESOLVED":
        return (
            "These episodes do not settle what adapting to a task does to the features: measured"
            f" {_bare(on)} on that task{_aside(on)}, and {_bare(off)} on {others}{_aside(off)}."
        )
    if on.verdict == off.verdict == "NO MATERIAL CHANGE":
        return (
            "Adapting to a task left the features unchanged, on that task and on"
            f" {'others' if audit.other_data is None else others},"
            f" within ±{plain_points(sesoi)} points."
        )
    if on.verdict == "UNRESOLVED":
        limb = _limb(off, f"the features of {others}", sesoi)
        return (
            f"Adapting to a task {limb}; what it does on that task itself is unresolved"
            f" ({_open(on)})."
        )
    limb = _limb(on, "the features on that task", sesoi)
    if off.verdict == "UNRESOLVED":
        return f"Adapting to a task {limb}; what it does to {others} is unresolved ({_open(off)})."
    link = "but" if _direction(on) * _direction(off) < 0 else "and"
    return f"Adapting to a task {limb} {link} {_limb(off, f'those of {others}', sesoi)}."


def _limb(effect: Effect, features: str, sesoi: float) -> str:
    verb = "raised" if _direction(effect) > 0 else "lowered"
    match effect.verdict:
        case "RAISED" | "LOWERED":
            return f"{verb} {features} by {magnitude(effect.value)} points ({_unsigned(effect)})"
        case "TRACE+" | "TRACE−":
            # 0.248 must not read as "0.25, less than 0.25".
            digits = 4 if round(abs(effect.value), 4) >= sesoi else 2
            return (
                f"{verb} {features} by only {magnitude(effect.value, digits)} points"
                f" ({_unsigned(effect)}; less than {plain_points(sesoi)} counts as a trace)"
            )
        case _:
            return f"left {features} unchanged within ±{plain_points(sesoi)} points"


def _interaction(audit: Audit) -> str:
    effect = audit.effects.interaction
    side = "higher" if effect.value > 0 else "lower"
    match effect.verdict:
        case "RAISED" | "LOWERED" | "TRACE+" | "TRACE−":
            only = "only " if effect.verdict.startswith("TRACE") else ""
            return (
                f"The change on {_others(audit)} was {only}{magnitude(effect.value)} points {side}"
                f" than on the task itself ({_unsigned(effect)})."
            )
        case "NO MATERIAL CHANGE":
            return f"The two changes are equal within ±{plain_points(audit.sesoi)} points."
        case _:
            return f"Whether the two changes differ is unresolved ({_open(effect)})."


def _unsigned(effect: Effect) -> str:
    """The 95 % interval of an effect whose sign the sentence already gives."""
    low, high = sorted((abs(effect.ci_low), abs(effect.ci_high)))
    return f"95 % interval {magnitude(low)} to {magnitude(high)}"


def _bare(effect: Effect) -> str:
    return (
        f"{points(effect.value)} points, 95 % interval {points(effect.ci_low)}"
        f" to {points(effect.ci_high)}"
    )


def _open(effect: Effect) -> str:
    """An unresolved effect, and what would settle it."""
    settles = _settles(effect)
    return f"{_bare(effect)}; {settles}" if settles else _bare(effect)


def _aside(effect: Effect) -> str:
    settles = _settles(effect)
    return f" ({settles})" if settles else ""


def _settles(effect: Effect) -> str:
    """``about 900 episodes would settle it``, as the effect's own sentence says; or nothing."""
    return effect.sentence.partition(OPEN)[2].removesuffix(".")


def _changed(audit: Audit, other: Reading) -> list[str]:
    """Where the other gallery gives another verdict; empty when it gives the same three."""
    name = "fresh images" if audit.gallery == "support" else "the support set"
    there = {key: getattr(other.effects, key) for key, _, _ in EFFECT_ROWS}
    changed = [
        f"the {label.lower()} is {there[key].verdict} ({_bare(there[key])})"
        for key, label, _ in EFFECT_ROWS
        if there[key].verdict != getattr(audit.effects, key).verdict
    ]
    return [f"With {name} as the gallery, {join(changed)}."] if changed else []


def _direction(effect: Effect) -> int:
    if effect.verdict in ("RAISED", "TRACE+"):
        return 1
    return -1 if effect.verdict in ("LOWERED", "TRACE−") else 0
