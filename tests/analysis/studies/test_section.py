"""A study as a section: whole by itself, and safe in the audit's report whoever wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from metaprobe.analysis.report import report_html
from metaprobe.analysis.studies import section, stored
from metaprobe.analysis.studies.section import section_html, write_study
from metaprobe.analysis.studies.stored import study_sections
from metaprobe.analysis.studies.study import Study
from metaprobe.analysis.studies.words import RULES
from metaprobe.data.errors import MetaprobeError

from ..sample_audit import make_audit
from ..test_report import EVIL, Reader
from .test_writing import STUDY


def drawn(**changes: Any) -> Study:
    """The sample study with one figure."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    pictured = replace(STUDY, figures={"a line": figure}, captions={"a line": "A line."})
    return replace(pictured, **changes)


def test_a_fragment_needs_no_other_file_and_no_encoding() -> None:
    page = section_html(drawn(answer="It is: θ − 1."))
    assert page.isascii()
    assert page.startswith("<style>")
    read = Reader(page)
    assert [tag for tag, _ in read.tags[:2]] == ["style", "section"]
    assert "It is: θ − 1." in read.text
    assert RULES in read.text
    assert "measured apart" not in read.text
    assert not re.search(r"(?:src|href)=\"(?!data:image/png;base64,)", page)
    assert "@import" not in page
    assert "url(" not in page


def test_what_a_study_wrote_becomes_a_section_of_the_report(tmp_path: Path) -> None:
    study = drawn()
    written = write_study(study, tmp_path)
    assert {p.name for p in written} == {
        "study.json", "section.html", "paper2020.md", "paper2020-a-line.png", "paper2020-a-line.svg"
    }  # fmt: skip
    assert (tmp_path / "section.html").read_text() == section_html(study)
    extra = study_sections([tmp_path, tmp_path])
    page = report_html(make_audit(episodes=30), extra)
    read = Reader(page)
    for anchor in ("study-1", "study-2"):
        assert page.count(f'id="{anchor}"') == 1
        assert f'<a href="#{anchor}">Study: paper2020</a>' in page
    assert page.index('id="floors"') < page.index('id="study-1"') < page.index('id="method"')
    for words in ("Is more more?", "More is <more>.", "Take more.", "measured apart from", RULES):
        assert words in read.text
    assert "+10.5 to +11.5 points" in read.text
    assert page.count("data:image/png;base64,") == 2
    assert ".study .outcome" in page
    assert len(page) < 5_000_000


def test_a_report_without_studies_is_as_it_was() -> None:
    page = report_html(make_audit(episodes=30))
    assert "study" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    assert ".study" not in page


def test_strings_of_a_strangers_study_are_shown_and_obeyed_nowhere(tmp_path: Path) -> None:
    write_study(drawn(), tmp_path)
    (tmp_path / "section.html").write_text(EVIL)  # is not read
    plain = json.loads((tmp_path / "study.json").read_text())

    def evil(value: Any) -> Any:
        if isinstance(value, dict):
            return {f"{k}{EVIL}" if k in ("short", "x") else k: evil(v) for k, v in value.items()}
        if isinstance(value, list):
            return [evil(v) for v in value]
        return f"{value}{EVIL}\x1b[2J" if isinstance(value, str) else value

    bad = evil(plain)
    for kept in ("schema", "name"):
        bad[kept] = plain[kept]
    for one, other in zip(bad["claims"], plain["claims"], strict=True):
        for kept in ("verdict", "published_status"):
            one[kept] = other[kept]
    (tmp_path / "study.json").write_text(json.dumps(bad))
    [extra] = study_sections([tmp_path])
    assert "<script" not in extra.html
    assert "\x1b" not in extra.html
    assert "49" not in Reader(str(extra.html)).text
    tags = {tag for tag, _ in Reader(str(extra.html)).tags}
    assert tags <= {
        "section", "p", "h2", "h3", "figure", "img", "figcaption", "div", "table", "thead",
        "tbody", "tr", "th", "td", "span", "details", "summary", "ul", "li", "strong", "em",
    }  # fmt: skip
    names = {name for _, attributes in Reader(str(extra.html)).tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert "<script>alert(1)</script>" in Reader(str(extra.html)).text


def altered(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A change to study.json."""

    def alter(folder: Path) -> None:
        file = folder / "study.json"
        plain = json.loads(file.read_text())
        change(plain)
        file.write_text(json.dumps(plain))

    return alter


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "study.json").unlink(), "holds no study.json"),
        (lambda d: (d / "study.json").write_text("{"), "is no study of schema metaprobe.study/1"),
        (altered(lambda s: s.update(schema="x/9")), "is no study of schema"),
        (altered(lambda s: s.update(name="../up")), "name: string should match"),
        (altered(lambda s: s.update(captions={"../../up": "x"})), "captions"),
        (altered(lambda s: s["claims"][0].update(verdict="<b>")), "verdict"),
        (altered(lambda s: s["claims"][0].update(decimals=10**9)), "more decimals than 12"),
        (altered(lambda s: s.update(captions={"other": "x"})), "paper2020-other.png"),
        (lambda d: (d / "paper2020-a-line.png").write_bytes(b"<svg/>"), "is no PNG picture"),
    ],
)
def test_a_study_that_cannot_be_shown_is_refused_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    write_study(drawn(), tmp_path)
    spoil(tmp_path)
    with pytest.raises(MetaprobeError, match=re.escape(words)):
        study_sections([tmp_path])


def test_a_figure_is_a_file_of_the_folder_and_no_link_out_of_it(tmp_path: Path) -> None:
    write_study(drawn(), tmp_path / "a")
    picture = tmp_path / "a" / "paper2020-a-line.png"
    picture.rename(tmp_path / "elsewhere.png")
    picture.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(MetaprobeError, match="it is no regular file"):
        study_sections([tmp_path / "a"])


def test_a_folder_of_all_studies_says_which_there_are(tmp_path: Path) -> None:
    write_study(drawn(), tmp_path / "paper2020")
    with pytest.raises(MetaprobeError, match=r"name one of its folders \(paper2020\)"):
        study_sections([tmp_path])


def test_sections_stay_below_what_a_page_may_weigh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(drawn(), tmp_path)
    size = len(study_sections([tmp_path])[0].html)
    monkeypatch.setattr(stored, "LARGEST", int(1.5 * size))
    assert section.LARGEST == 2_000_000
    with pytest.raises(MetaprobeError, match="include fewer"):
        study_sections([tmp_path, tmp_path])
