"""The HTML report: complete, self-contained, well-formed, safe against a checkpoint's strings."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from metaprobe.analysis import report
from metaprobe.analysis.audit_parts import Floors
from metaprobe.analysis.number_words import points, share
from metaprobe.analysis.report import notebook_html, report_html, write_report
from metaprobe.analysis.result import Audit, AuditSet
from metaprobe.analysis.terminal import conclusion
from metaprobe.data.errors import MetaprobeError

from .sample_audit import make_audit, make_gates, make_section, make_set

SECTIONS = ["answer", "numbers", "figures", "rates", "floors", "method", "provenance", "repeat"]
VOID = {"meta", "br", "img", "link", "input", "hr"}
AUDIT = make_audit(episodes=60)
PAGES = {n: report_html(make_set(n, episodes=60)) for n in (1, 3, 4)}
EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=y>{{ 7*7 }}"


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at words only: drawing takes most of the time."""
    monkeypatch.setattr("metaprobe.analysis.figures.drawable", lambda _: ())


class Reader(HTMLParser):
    """Collects what a page is made of, and complains where a tag is left open."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], f"left open: {self.open}"
        self.text = " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def with_strings(text: str) -> Audit:
    """The sample with ``text`` wherever a checkpoint or a user has a say."""
    assert AUDIT.rates is not None
    first, *rest = AUDIT.rates.layers
    layers = (first.model_copy(update={"name": text}), *rest)
    checkpoint = AUDIT.checkpoint.model_copy(
        update={
            "name": text, "path": text, "architecture": text, "format": text, "head": text,
            "layer": text, "load_report": {text: text}, "strip_report": {text: [text]},
        }
    )  # fmt: skip
    return AUDIT.model_copy(
        update={
            "checkpoint": checkpoint,
            "rates": AUDIT.rates.model_copy(update={"layers": layers}),
            "rule": AUDIT.rule.model_copy(update={"name": text}),
            "data": AUDIT.data.model_copy(update={"name": text}),
            "run": AUDIT.run.model_copy(update={"command": text}),
            "probes": {text: AUDIT.phases},
        }
    )


@pytest.mark.parametrize("n", PAGES)
def test_a_page_is_well_formed_and_finds_its_way(n: int) -> None:
    page = Reader(PAGES[n])
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.all("a")]
    assert all(link and link[0] == "#" and link[1:] in ids for link in links)
    assert links[0] == "#answer"
    assert [a["id"] for a in page.all("section")] == SECTIONS
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', PAGES[n])
    assert set(used) <= set(ids)


@pytest.mark.parametrize("n", PAGES)
def test_a_page_can_be_read_without_seeing_it(n: int) -> None:
    page = Reader(PAGES[n])
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("summary")) == len(page.all("details"))
    pictures = [a for _, a in page.tags if a.get("role") == "img"]
    assert len(pictures) == len(page.all("figure")) == 4
    assert all(len(a["aria-label"] or "") > 40 for a in pictures)
    assert all(a.get("tabindex") == "0" for _, a in page.tags if a.get("role") == "region")


@pytest.mark.parametrize("n", PAGES)
def test_a_page_needs_nothing_but_itself(n: int) -> None:
    page = Reader(PAGES[n])
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    sources = [v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "xlink:href")]
    assert all(source and source.startswith("#") for source in sources)
    style = re.search(r"<style>(.*?)</style>", PAGES[n], re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(", style[1])
    assert "default-src 'none'" in PAGES[n]
    assert len(PAGES[n].encode()) < 5_000_000


def test_sections_of_several_checkpoints_stand_below_one_another() -> None:
    sections = {"layers": make_section(), "steps": make_section("Steps")}
    audits = make_set(2, episodes=30)
    first, second = (a.model_copy(update={"sections": sections}) for a in audits.audits)
    text = report_html(audits.model_copy(update={"audits": (first, second)}))
    found = re.findall(r'<section id="(why-[^"]+)"', text)
    assert found == ["why-layers", "why-layers-2", "why-steps", "why-steps-2"]
    numbers = [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", text)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 8


def test_no_string_of_a_checkpoint_becomes_markup() -> None:
    text = report_html(with_strings(EVIL))
    page = Reader(text)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any(key.startswith("on") for _, a in page.tags for key in a)
    assert "49" not in page.text.split("alert(1)")[1][:60]
    assert page.text.count("alert(1)") >= 10
    fragment = Reader(notebook_html(AuditSet(audits=(with_strings(EVIL), AUDIT))))
    assert not {"script", "img"} & {tag for tag, _ in fragment.tags}


@pytest.mark.parametrize("n", PAGES)
def test_a_page_gives_the_conclusion_and_every_number_of_the_audit(n: int) -> None:
    page = Reader(PAGES[n])
    for audit in make_set(n, episodes=60).audits:
        assert conclusion(audit) in page.text
        assert audit.checkpoint.sha256 in page.text
        for _, cell in audit.cells:
            assert share(cell.value) in page.text
        for _, effect in audit.effects:
            assert points(effect.value) in page.text
            assert effect.verdict in page.text
            assert effect.sentence.replace("  ", " ") in page.text


@pytest.mark.usefixtures("no_figures")
def test_a_page_says_how_to_repeat_it() -> None:
    assert "metaprobe audit checkpoints/meta-sgd.safetensors --episodes 60" in PAGES[1]
    silent = AUDIT.model_copy(update={"run": AUDIT.run.model_copy(update={"command": None})})
    assert (
        "metaprobe audit checkpoints/meta-sgd.safetensors --data glyphs --split test --way 5"
        " --shot 1 --query 15 --episodes 60 --steps 5 --gallery both --norm batch --seed 0"
    ) in Reader(report_html(silent)).text


@pytest.mark.usefixtures("no_figures")
def test_what_was_not_measured_is_said() -> None:
    none = Floors(untrained=None, pixels=None, shuffled_labels=None)
    bare = AUDIT.model_copy(
        update={"rates": None, "floors": none, "head_accuracy": None, "other_gallery": None}
    )
    text = Reader(report_html(bare)).text
    assert "No rate was learned" in text
    assert "No floor was measured" in text
    assert "Own head" not in text
    assert "other readings" not in text


@pytest.mark.usefixtures("no_figures")
def test_the_support_gallery_is_named_as_a_confound() -> None:
    text = Reader(report_html(make_audit(fresh=False, episodes=30))).text
    assert "the very images the inner loop fitted" in text
    assert "Before you quote this" in text


@pytest.mark.usefixtures("no_figures")
def test_other_readings_are_there_to_unfold() -> None:
    assert AUDIT.other_gallery is not None
    more = AUDIT.model_copy(
        update={"layers": {"conv3": AUDIT.other_gallery}, "probes": {"class mean": AUDIT.phases}}
    )
    text = Reader(report_html(more)).text
    assert "support gallery layer conv3" in text
    assert "class mean" in text
    assert share(AUDIT.other_gallery.cells.adapted_on.value) in text


def test_many_checkpoints_become_rows() -> None:
    def first_row(page: str) -> str:
        table = page[page.index('<table class="cells"') :]
        return " ".join(Reader(table[: table.index("</thead>")] + "</thead></table>").words)

    assert "meta-sgd" in first_row(PAGES[3])
    assert "meta-sgd" not in first_row(PAGES[4])
    assert "Meta-init" in first_row(PAGES[4])


@pytest.mark.usefixtures("no_figures")
def test_many_contrasts_are_folded_away() -> None:
    audits = make_set(2, episodes=30)
    many = audits.model_copy(update={"contrasts": audits.contrasts * 20})
    assert "Between checkpoints: 20 contrasts, corrected together" in Reader(report_html(many)).text


@pytest.mark.usefixtures("no_figures")
def test_a_contrast_that_does_not_survive_correction_says_so() -> None:
    audits = make_set(2, episodes=30)
    weak = audits.contrasts[0].model_copy(update={"verdict": "RAISED", "p_holm": 0.08})
    page = report_html(audits.model_copy(update={"contrasts": (weak,)}))
    assert "RAISED by itself, not after correction" in Reader(page).text


@pytest.mark.usefixtures("no_figures")
def test_gates_are_a_small_table_with_what_came_of_each() -> None:
    one = AUDIT.model_copy(update={"gates": make_gates("meta-sgd")})
    page = Reader(report_html(one))
    assert "gates" in [a["id"] for a in page.all("section")]
    assert "1 of 2 failed." in page.text
    assert "off.value < -0.5 ✓ passed off.value is -0.01" in page.text
    assert "episodes.n < 99 ✗ FAILED episodes.n is 60" in page.text
    both = make_set(2, episodes=30)
    several = Reader(report_html(both.model_copy(update={"gates": make_gates(*both.labels)[::2]})))
    assert "All 2 passed." in several.text
    assert "maml off.value < -0.5 ✓ passed" in several.text
    evil = one.gates[0].model_copy(update={"gate": EVIL, "sentence": EVIL, "checkpoint": EVIL})
    unsafe = Reader(report_html(one.model_copy(update={"gates": (evil,)})))
    assert not {"script", "img"} & {tag for tag, _ in unsafe.tags}


def test_the_same_audit_gives_the_same_page() -> None:
    assert report_html(AUDIT) == report_html(Audit.from_json(AUDIT.to_json()))


@pytest.mark.usefixtures("no_figures")
def test_the_page_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report(AUDIT, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "report.html"
    before = path.read_text(encoding="utf-8")
    monkeypatch.setattr(report, "report_html", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(AUDIT, path.parent)
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("no_figures")
def test_a_place_that_cannot_be_written_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MetaprobeError, match="cannot be written"):
        write_report(AUDIT, tmp_path / "file")


def test_a_notebook_gets_the_answer_and_two_tables() -> None:
    page = Reader(notebook_html(AUDIT))
    assert conclusion(AUDIT) in page.text
    assert len(page.all("table")) == 2
