"""The terminal view and the words: true for every verdict, readable at every width."""

from __future__ import annotations

import itertools
import re
from io import StringIO
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from metaprobe.analysis import audit_parts
from metaprobe.analysis.audit import audit as measure
from metaprobe.analysis.audit_parts import Effects, Verdict
from metaprobe.analysis.number_words import magnitude, percent, plain_points, points, share
from metaprobe.analysis.result import Audit, AuditSet
from metaprobe.analysis.terminal import AuditView, conclusion, show
from metaprobe.analysis.wording import SIGNS, cautions, contrast_sentence, set_cautions

from .sample_audit import make_audit, make_gates, make_set, planted, with_verdicts

VERDICTS: tuple[Verdict, ...] = get_args(get_args(Verdict)[0])
AUDIT = make_audit(episodes=40)


def with_effects(effects: Effects) -> Audit:
    """The sample with one gallery's other effects; unvalidated, as its cells tell another story."""
    return AUDIT.model_copy(update={"effects": effects, "other_gallery": None})


def printed(audits: Audit | AuditSet, width: int = 80, encoding: str = "utf-8") -> str:
    class Stream(StringIO):
        @property
        def encoding(self) -> str:  # type: ignore[override]
            return encoding

    stream = Stream()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    show(audits, files=[Path("out/audit.json"), Path("out/report.html")], console=console)
    return stream.getvalue()


@pytest.mark.parametrize(("on", "off"), [*itertools.product(VERDICTS, repeat=2)])
def test_the_first_sentence_says_what_the_two_verdicts_say(on: Verdict, off: Verdict) -> None:
    first = conclusion(with_effects(with_verdicts(on, off, "RAISED"))).split(". The change")[0]
    both = (on, off)
    assert first.count("raised") == sum(v in ("RAISED", "TRACE+") for v in both)
    assert first.count("lowered") == sum(v in ("LOWERED", "TRACE−") for v in both)
    assert first.count("by only") == sum(v.startswith("TRACE") for v in both)
    assert ("unchanged" in first) == ("NO MATERIAL CHANGE" in both)
    assert ("unresolved" in first or "do not settle" in first) == ("UNRESOLVED" in both)
    up, down = {"RAISED", "TRACE+"}, {"LOWERED", "TRACE−"}
    opposed = (on in up and off in down) or (on in down and off in up)
    assert (" but " in first) == opposed
    on_limb, off_limb = first.find("that task"), first.find("other")
    assert on_limb > -1
    assert off_limb > -1


@pytest.mark.parametrize("interaction", VERDICTS)
def test_the_second_sentence_says_what_the_interaction_says(interaction: Verdict) -> None:
    text = conclusion(with_effects(with_verdicts("RAISED", "RAISED", interaction)))
    second = re.split(r"(?<=\.) (?=[A-Z])", text)[1]
    assert ("higher" in second) == (interaction in ("RAISED", "TRACE+"))
    assert ("lower" in second) == (interaction in ("LOWERED", "TRACE−"))
    assert ("equal within ±0.25" in second) == (interaction == "NO MATERIAL CHANGE")
    assert ("unresolved" in second) == (interaction == "UNRESOLVED")
    assert ("only" in second) == interaction.startswith("TRACE")


@pytest.mark.parametrize("verdicts", [*itertools.product(VERDICTS, repeat=3)])
def test_every_conclusion_is_clean_prose(verdicts: tuple[Verdict, Verdict, Verdict]) -> None:
    text = conclusion(with_effects(with_verdicts(*verdicts)))
    assert text.endswith(".")
    assert "  " not in text
    assert text.count("(") == text.count(")")
    assert not re.search(r"[,;:]\.|\.\.|,,| ,", text)
    assert len(re.split(r"(?<=\.) (?=[A-Z])", text)) == 2


def test_the_conclusion_gives_the_numbers_of_the_audit() -> None:
    text = conclusion(with_effects(with_verdicts("RAISED", "NO MATERIAL CHANGE", "LOWERED")))
    assert text == (
        "Adapting to a task raised the features on that task by 1.20 points (95 % interval 0.80"
        " to 1.60) and left those of other tasks unchanged within ±0.25 points. The change on"
        " other tasks was 1.20 points lower than on the task itself (95 % interval 0.80 to 1.60)."
    )


def test_a_lowered_interval_reads_from_small_to_large() -> None:
    text = conclusion(with_effects(with_verdicts("LOWERED", "UNRESOLVED", "UNRESOLVED")))
    assert "by 1.20 points (95 % interval 0.80 to 1.60)" in text
    assert "unresolved (+0.10 points, 95 % interval −0.70 to +0.90)" in text


def test_what_would_settle_an_unresolved_effect_is_said_with_it() -> None:
    few = "+0.1 points: UNRESOLVED; about 9,000 episodes would settle it."
    none = "+0.1 points: UNRESOLVED; more classes, not more episodes, would settle it."
    effects = with_verdicts("RAISED", "UNRESOLVED", "UNRESOLVED")
    told = {
        name: getattr(effects, name).model_copy(update={"sentence": said})
        for name, said in (("off", few), ("interaction", none))
    }
    text = conclusion(with_effects(effects.model_copy(update=told)))
    assert "−0.70 to +0.90; about 9,000 episodes would settle it)." in text
    assert text.endswith("−0.70 to +0.90; more classes, not more episodes, would settle it).")
    both = with_verdicts("UNRESOLVED", "UNRESOLVED", "RAISED").model_copy(
        update={"off": told["off"]}
    )
    first = conclusion(with_effects(both)).split(". ")[0]
    assert first.endswith("+0.90 on other tasks (about 9,000 episodes would settle it)")


def test_the_sentence_of_a_measured_effect_gives_the_words_that_settle_it() -> None:
    found = measure("maml-glyphs-s0", episodes=8, query=2, data="digits", split="all")
    assert isinstance(found, Audit)
    unsettled = [e for _, e in found.effects if e.verdict == "UNRESOLVED"]
    assert unsettled
    assert conclusion(found).count("would settle it") == len(unsettled)


def test_a_trace_just_under_the_margin_does_not_read_as_the_margin() -> None:
    trace = planted("TRACE+").model_copy(update={"value": 0.002496})
    effects = with_verdicts("TRACE+", "RAISED", "RAISED").model_copy(update={"on": trace})
    assert "by only 0.2496 points" in conclusion(with_effects(effects))


def test_numbers_print_with_sign_and_without_false_zeros() -> None:
    assert points(0.012) == "+1.20"
    assert points(-0.012) == "−1.20"
    assert points(0.0) == "0.00"
    assert points(-0.00001) == "−0.00"
    assert magnitude(0.00001) == "under 0.01"
    assert magnitude(0.0) == "0.00"
    assert plain_points(0.0025) == "0.25"
    assert plain_points(0.01) == "1"
    assert share(0.84236) == "0.842"
    assert percent(None) == "–"
    assert percent(0.553) == "55 %"


def test_the_words_know_every_verdict_of_the_schema() -> None:
    assert set(SIGNS) == set(VERDICTS)
    assert len(set(SIGNS.values())) == len(SIGNS)
    assert audit_parts.Verdict is Verdict


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_no_line_is_wider_than_the_console(n: int, width: int) -> None:
    text = printed(make_set(n, episodes=20), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize("n", [1, 3, 10])
def test_every_number_and_verdict_of_every_checkpoint_is_printed(n: int) -> None:
    audits = make_set(n, episodes=30)
    text = printed(audits, 80)
    for audit in audits.audits:
        for _, cell in audit.cells:
            assert share(cell.value) in text
        for _, effect in audit.effects:
            assert points(effect.value) in text
            assert f"{SIGNS[effect.verdict]} {effect.verdict.split()[0]}" in text
        assert share(audit.floors.pixels.value if audit.floors.pixels else 0) in text


def test_verdicts_are_told_apart_without_colour() -> None:
    effects = with_verdicts("RAISED", "LOWERED", "UNRESOLVED")
    text = printed(AuditSet.model_construct(audits=(with_effects(effects),)))
    assert "▲ RAISED" in text
    assert "▼ LOWERED" in text
    assert "? UNRESOLVED" in text


def test_a_console_without_unicode_gets_plain_ascii() -> None:
    text = printed(make_set(2, episodes=20), 120, encoding="ascii")
    text.encode("ascii")
    assert "NO MATERIAL CHANGE" in text or "RAISED" in text


def test_a_name_is_text_and_never_markup_or_an_escape() -> None:
    audit = make_audit("[bold red]x[/]\x1b[31m", episodes=20, rates=False)
    text = printed(audit)
    assert "[bold red]x[/]" in re.sub(r"\s", " ", text)
    assert "\x1b" not in text


def test_the_files_come_last() -> None:
    lines = printed(AUDIT).splitlines()
    assert [line.strip() for line in lines[-3:]] == ["Files", "out/audit.json", "out/report.html"]
    assert "Files" not in str(AuditView(AUDIT))


def test_a_folder_among_the_files_ends_with_a_slash(tmp_path: Path) -> None:
    stream = StringIO()
    show(AUDIT, files=[tmp_path], console=Console(file=stream, width=200))
    assert stream.getvalue().rstrip().endswith(f"{tmp_path}/")


def test_the_outcome_of_every_gate_is_a_word_and_its_values() -> None:
    one = make_audit(episodes=60).model_copy(update={"gates": make_gates("meta-sgd")})
    text = printed(one)
    assert re.search(r"^  passed  off\.value < -0\.5 \(off\.value is -0\.01\)$", text, re.MULTILINE)
    assert re.search(r"^  FAILED  episodes\.n < 99 \(episodes\.n is 60\)$", text, re.MULTILINE)
    both = make_set(2, episodes=20)
    several = both.model_copy(update={"gates": make_gates(*both.labels)})
    assert printed(several).count("  FAILED  ") == 2
    assert "  FAILED  maml: episodes.n < 99" in printed(several)
    assert "Gates" not in printed(both)
    hostile = one.gates[0].model_copy(update={"sentence": "[bold]\x1b[2J"})
    assert "\x1b" not in printed(one.model_copy(update={"gates": (hostile,)}))


def test_what_was_not_measured_is_a_dash() -> None:
    first, second = make_set(2, episodes=20).audits
    none = type(first.floors)(untrained=None, pixels=None, shuffled_labels=None)
    bare = second.model_copy(update={"floors": none, "head_accuracy": None, "rates": None})
    text = printed(AuditSet(audits=(first, bare)), 120)
    assert re.search(r"Raw pixels +0\.391 \[0\.384, 0\.398\] +–", text)
    assert "Raw pixels" not in printed(bare)


def test_a_support_gallery_comes_with_its_caution() -> None:
    assert any("support set" in note for note in cautions(make_audit(fresh=False, episodes=30)))
    other = make_audit(fresh=True, episodes=30).model_copy(update={"other_gallery": None})
    assert cautions(other) == []


def test_a_gallery_that_disagrees_is_named_and_one_that_agrees_is_not() -> None:
    assert AUDIT.other_gallery is not None
    effects = with_verdicts("RAISED", "RAISED", "UNRESOLVED")
    other = AUDIT.other_gallery.model_copy(update={"effects": effects})
    same = AUDIT.model_copy(update={"effects": effects, "other_gallery": other})
    assert "gallery" not in conclusion(same)
    here = with_verdicts("RAISED", "UNRESOLVED", "UNRESOLVED")
    assert conclusion(same.model_copy(update={"effects": here})).endswith(
        " With the support set as the gallery, the off-task effect is RAISED (+1.20 points, 95 %"
        " interval +0.80 to +1.60)."
    )


def test_features_no_better_than_untrained_ones_are_called_so() -> None:
    weak = make_audit(base=0.44, episodes=40)
    assert any("no better than" in note for note in cautions(weak))


def test_a_caution_that_holds_for_all_is_said_once() -> None:
    audits = AuditSet(
        audits=tuple(
            make_audit(name, fresh=False, episodes=20).model_copy(update={"other_gallery": None})
            for name in "ab"
        )
    )
    assert len(set_cautions(audits)) == 1


def test_what_was_done_to_the_images_and_what_was_left_out_is_a_caution() -> None:
    data = AUDIT.data.model_copy(update={"notes": ("1 of 10 images left out: 'a/2.png'",)})
    changed = AUDIT.model_copy(update={"preprocessing": "luma", "data": data})
    text = " ".join(printed(changed).split())
    assert "Images were changed before they were measured: luma." in text
    assert "Of the images: 1 of 10 images left out: 'a/2.png'." in text


def test_different_episodes_are_a_caution() -> None:
    one, other = make_set(2, episodes=20).audits
    moved = other.episodes.model_copy(update={"sha256": "0" * 64})
    audits = AuditSet(audits=(one, other.model_copy(update={"episodes": moved})))
    assert "not measured on the same episodes" in set_cautions(audits)[0]


def test_a_contrast_reads_as_a_sentence() -> None:
    contrast = make_set(2, episodes=600).contrasts[0]
    sentence = contrast_sentence(contrast)
    assert sentence.startswith(f"meta-sgd minus maml, off-task effect: {points(contrast.value)}")
    assert "p = 0.0012 after Holm" in sentence


def test_a_contrast_that_does_not_survive_correction_says_so() -> None:
    contrast = make_set(2, episodes=600).contrasts[0]
    assert contrast.verdict == "RAISED"
    weak = contrast.model_copy(update={"p_holm": 0.08})
    assert "RAISED by itself, not after correction (p = 0.08" in contrast_sentence(weak)
    assert "correction" not in contrast_sentence(contrast)
    settled = weak.model_copy(update={"verdict": "NO MATERIAL CHANGE"})
    assert "correction" not in contrast_sentence(settled)


def test_many_contrasts_are_summed_up() -> None:
    audits = make_set(2, episodes=20)
    raised = audits.contrasts[0].model_copy(update={"verdict": "RAISED"})
    weak = raised.model_copy(update={"p_holm": 0.2})
    many = audits.model_copy(update={"contrasts": (raised,) * 30 + (weak,) * 10})
    text = re.sub(r"\s+", " ", printed(many))
    assert "40 contrasts between checkpoints: 40 RAISED, of which 30 hold after" in text
