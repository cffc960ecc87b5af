"""A study on paper: what a reader who knows none of the papers is given."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from metaprobe.analysis.studies.page import studies_html
from metaprobe.analysis.studies.study import Claim, Study
from metaprobe.analysis.studies.words import RULES, WORDS
from metaprobe.analysis.studies.writing import LONG, claim_published, study_markdown

CLAIM = Claim(
    id="C1",
    statement="More is <more>.",
    source="abstract",
    published="12 points",
    published_status="read",
    measured="11 points",
    rule="SUPPORTED if above 10",
    verdict="SUPPORTED",
    estimate=11.0,
    interval=(10.5, 11.5),
    unit="points",
    note="On one data set.",
)
STUDY = Study(
    name="paper2020",
    title="A paper",
    citation="Somebody 2020",
    question="Is more more?",
    answer="It is.",
    meaning="Take more.",
    claims=(CLAIM, replace(CLAIM, id="C2", published=None, published_status="not obtainable")),
    tables={
        "short": pd.DataFrame({"x": [1.0, 2.0]}),
        "long": pd.DataFrame({"x": range(LONG + 1)}),
    },
)


@pytest.mark.parametrize(
    ("published", "status", "words"),
    [
        ("12 points", "read", "12 points (read)"),
        ("α < 0", "derived", "α < 0 (derived)"),
        (None, "derived", "none: derived here"),
        (None, "secondary", "not obtainable"),
        (None, "not obtainable", "not obtainable"),
    ],
)
def test_a_published_value_says_how_it_is_known(
    published: str | None, status: str, words: str
) -> None:
    claim = replace(CLAIM, published=published, published_status=status)  # type: ignore[arg-type]
    assert claim_published(claim) == words


def test_a_page_answers_before_it_shows_tables_and_folds_the_long_ones() -> None:
    page = study_markdown(STUDY)
    order = ["Is more more?", "It is.", "**SUPPORTED**", "Take more.", "### short", "### long"]
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    short, long = page.split("### long")
    assert "<details>" not in short
    assert f"<summary>{LONG + 1} rows</summary>" in long


def test_the_page_of_studies_explains_its_words_and_its_rules() -> None:
    html = studies_html([STUDY])
    assert all(f"<dt>{word}</dt>" in html for word, _ in WORDS)
    assert RULES in html
    assert "More is &lt;more&gt;." in html
    assert html.count("not obtainable") == 1, "said once, not as value and as status"
    assert html.index("Take more.") < html.index("Table: short")
