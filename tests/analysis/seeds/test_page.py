"""The page says what the values say, and only from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaprobe.analysis.seeds.figures import CAPTIONS, figures
from metaprobe.analysis.seeds.page import TITLES, seeds_markdown
from metaprobe.analysis.seeds.questions import QUESTIONS
from metaprobe.analysis.seeds.run import rounded

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "docs" / "results" / "seeds.json"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return kept


def test_the_page_of_results_is_what_the_values_beside_it_say(found: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert seeds_markdown(found, figures="results/") in page, "run: make results"


def test_the_values_are_of_the_questions_that_are_asked(found: dict[str, Any]) -> None:
    words = ("id", "learner", "statement", "measured", "expected", "sesoi")
    assert [[a[w] for w in words] for a in found["answers"]] == [
        [getattr(q, w) for w in words] for q in QUESTIONS
    ], "run: make results"


def test_every_section_has_its_statements_and_every_checkpoint_its_row(
    found: dict[str, Any],
) -> None:
    page = seeds_markdown(found)
    for section in {q.section for q in QUESTIONS}:
        part = page.split(f"### {TITLES[section]}\n")[1].split("\n### ")[0]
        for q in QUESTIONS:
            assert (f"| **{q.id}** " in part) == (q.section == section)
        if section != "reliability":
            for checkpoint in found["checkpoints"]:
                assert f"\n| {checkpoint['name']} | " in part
    assert len(found["checkpoints"]) == 15


def test_a_planted_verdict_and_cause_reach_the_page(found: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(found))
    first = next(a for a in changed["answers"] if a["id"] == "I1")
    first.update(outcome="SUPPORTED", sentence="It does.")
    first["told"].update(value=-0.0123, word="LOWERED")
    changed["checkpoints"][-1].update(cause="Planted.", told=changed["checkpoints"][8]["told"])
    page = seeds_markdown(changed)
    assert "Changed by −1.23 [" in page
    assert ": SUPPORTED. It does." in page
    assert f"- {changed['checkpoints'][-1]['name']}: Planted." in page


def test_curves_start_after_what_they_are_told_against(found: dict[str, Any]) -> None:
    profiles = found["profiles"]
    for name, last in (("steps", "20"), ("wandering", "10")):
        labels = list(dict.fromkeys(row["label"] for row in profiles[name]))
        assert (labels[0], labels[-1]) == ("1", last)
    learned = {
        (r["learner"], r["kind"]): r["value"] for r in profiles["steps"] if r["label"] == "5"
    }
    by_layer = [r for r in profiles["layers"] if r["label"] == "block4"]
    assert {(r["learner"], r["kind"]): r["value"] for r in by_layer} == learned
    assert all(0.01 <= row["p"] <= 1 for row in profiles["similarity"] if row["p"] is not None)


def test_figures_show_every_learner_and_close_nothing_open(found: dict[str, Any]) -> None:
    made = figures(found["profiles"])
    assert set(made) == set(CAPTIONS)
    for figure in made.values():
        keys = [text.get_text() for text in figure.legends[0].get_texts()]
        assert keys == ["MAML", "Meta-SGD"]


def test_rounding_keeps_six_digits_and_everything_else() -> None:
    told = {"a": [1.23456789, 3, "−", None], "b": (1e-12,), "c": True}
    assert rounded(told) == {"a": [1.23457, 3, "−", None], "b": [1e-12], "c": True}
