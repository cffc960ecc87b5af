"""A full report in a real browser: silent, whole, its images to be seen, with and without a mouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metaprobe.analysis.audit import AuditSettings, audit
from metaprobe.analysis.report import write_report
from metaprobe.analysis.result import Audit
from metaprobe.analysis.sections.context import SECTIONS

from ..browser import NAMES, Browser, find_browser

pytestmark = pytest.mark.browser

SECTIONS_OF_PAGE = (
    "answer", "numbers", "gates", "figures", *(f"why-{name}" for name in SECTIONS), "rates",
    "floors", "method", "provenance", "repeat",
)  # fmt: skip
DRAWN = "document.documentElement.dataset.maps === 'drawn'"
PAPER = 672  # the width of A4 between the margins, in CSS pixels
SEEN_AT = """
(() => {
  const view = [...Bokeh.index].find((one) => one.el.parentElement.id === "map-1-pca-0-0");
  view.el.scrollIntoView({ block: "center", behavior: "instant" });
  const rows = [...view.model.document.all_models].find((model) => model.name === "map-1");
  const box = view.el.getBoundingClientRect();
  const seen = [0, 1, 2, 3].map((row) => [
    box.x + view.frame.x_scale.compute(rows.get_column("pca_x")[row]),
    box.y + view.frame.y_scale.compute(rows.get_column("pca_y")[row]),
    rows.get_column("picture")[row],
    rows.get_column("what")[row],
  ]);
  return seen;
})()
"""
SHOWN = """
(() => {
  const found = [];
  const walk = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) walk(node.shadowRoot);
      if (node.localName === "img" && node.naturalWidth && node.checkVisibility()) found.push(node.src);
    }
  };
  walk(document);
  return found;
})()
"""


@pytest.fixture(scope="module")
def found() -> Audit:
    asked = AuditSettings(data="digits", split="all", episodes=4, query=2, sections=tuple(SECTIONS))
    result = audit("meta-sgd-glyphs-s0", asked)
    assert isinstance(result, Audit)
    return result


@pytest.fixture(scope="module")
def page(found: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from .sample_audit import make_gates

    gated = found.model_copy(update={"gates": make_gates("meta-sgd-glyphs-s0")})
    return write_report(gated, tmp_path_factory.mktemp("full"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        pytest.skip(f"no browser found; install one of {', '.join(NAMES)}")
    with Browser(path, tmp_path / "profile") as opened:
        yield opened


def test_every_section_is_there_and_nothing_is_said(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    assert browser.js("[...document.querySelectorAll('section')].map((s) => s.id)") == list(
        SECTIONS_OF_PAGE
    )
    assert browser.js("document.querySelectorAll('.map canvas, .map-plot > *').length") >= 4
    assert browser.said() == []
    assert page.stat().st_size < 5_000_000


def test_pointing_at_a_mark_shows_its_image(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    assert browser.js(SHOWN) == []
    for x, y, picture, what in browser.js(SEEN_AT):
        assert what == "T, support, before adaptation"
        browser.point(x, y)
        browser.wait(f"{SHOWN}.includes({picture!r})")
    browser.point(5, 5)
    browser.wait(f"{SHOWN}.length === 0")
    assert browser.said() == []


def test_keys_reach_every_part_and_step_through_the_images(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    wanted = "a[href], summary, .map, [role=region], pre[tabindex]"
    many = browser.js(
        f"[...document.querySelectorAll('{wanted}')].filter((one) => one.checkVisibility()).length"
    )
    reached = "document.activeElement"
    seen, map_passed = set(), False
    for _ in range(5 * many):
        browser.press("Tab")
        if browser.js(f"{reached} === document.body"):
            break
        if browser.js(f"{reached}.matches('{wanted}')"):
            seen.add(browser.js(f"[...document.querySelectorAll('{wanted}')].indexOf({reached})"))
        if browser.js(f"{reached}.matches('.map')") and not map_passed:
            map_passed = True
            told = []
            for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
                browser.press(key)
                browser.wait("document.querySelector('.map-told img')?.naturalWidth > 0")
                told.append(browser.js("document.querySelector('.map-told').textContent"))
            assert told[0] == told[2] != told[1]
            assert all(", T, support, before adaptation, " in one for one in told)
    assert map_passed
    assert len(seen) == many > 30
    assert browser.said() == []


def test_the_map_takes_the_colours_of_the_page(browser: Browser, page: Path) -> None:
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    drawn = (
        "[...Bokeh.documents[0].all_models].filter((m) => m.type === 'Arrow').map((m) => "
        "m.line_color.value ?? m.line_color)"
    )
    browser.media(prefers_color_scheme="dark")
    browser.open(page)
    browser.wait(DRAWN)
    dark = browser.js(ink)
    assert browser.js(drawn) == [dark] * 4
    browser.media(prefers_color_scheme="light")
    assert browser.js(ink) != dark
    browser.wait(f"{drawn}.every((colour) => colour === {ink})")
    assert browser.said() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_panel_is_painted_in_the_colours_of_its_classes(
    browser: Browser, page: Path, scheme: str
) -> None:
    browser.media(prefers_color_scheme=scheme)
    browser.open(page)
    browser.wait(DRAWN)
    panels = browser.js("[...document.querySelectorAll('.map-plot')].map((one) => one.id)")
    fills = "[...document.querySelectorAll('.map-key path')].map((one) => one.getAttribute('fill'))"
    classes = {tuple(bytes.fromhex(colour[1:])) for colour in browser.js(fills)}
    assert len(panels) == 4
    seen: set[tuple[int, ...]] = set()
    for panel in panels:
        colours = browser.picture(f"#{panel}").getcolors(1 << 20)
        assert colours is not None
        paper = max(colours)[1]
        assert isinstance(paper, tuple)
        assert min(paper) > 240 if scheme == "light" else max(paper) < 50
        # marks are filled to 85 %, so a class shows as its colour over the paper
        over = {
            tuple(round(0.85 * c + 0.15 * p) for c, p in zip(one, paper, strict=True)): one
            for one in classes
        }
        near = {one for mixed, one in over.items() for _, other in colours
                if isinstance(other, tuple)
                and max(abs(a - b) for a, b in zip(mixed, other, strict=True)) <= 2}  # fmt: skip
        assert near, panel
        seen |= near
    assert seen == classes


def test_every_figure_says_in_words_what_it_shows(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    words = browser.js(
        "[...document.querySelectorAll('figure')].map((one) => "
        "one.querySelector('[role=img]').getAttribute('aria-label'))"
    )
    assert len(words) == 4 + 8
    assert all(len(one) > 40 for one in words)
    assert len(set(words)) == len(words)
    silent = (
        "[...document.querySelectorAll('svg, img')].filter((one) => "
        "!one.closest('[role=img], [aria-hidden=true], .bk-Figure') && one.alt !== '').length"
    )
    assert browser.js(silent) == 0


def test_on_paper_the_still_map_stands_in_and_nothing_is_cut_off(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    visible = "[document.querySelector('.live'), document.querySelector('.both .still')].map((one) => one.checkVisibility())"
    assert browser.js(visible) == [True, False]
    browser.media("print")
    browser.size(PAPER, 1000)
    assert browser.js(visible) == [False, True]
    wide = (
        "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility() && "
        f"!one.closest('svg *') && one.getBoundingClientRect().right > {PAPER} + 1)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert browser.js(wide) == []
    tall = "Math.max(...[...document.querySelectorAll('figure')].map((one) => one.offsetHeight))"
    assert browser.js(tall) < 970  # US letter, the shorter of the two, between the margins
    assert browser.js("document.querySelector('#why-layers details').open") is False
    rows = "document.querySelector('#why-layers details tr').getBoundingClientRect().height"
    assert browser.js(rows) > 5


def test_without_scripts_the_still_map_is_shown(browser: Browser, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    assert browser.js("document.querySelector('.both .still').checkVisibility()")
    assert not browser.js("document.querySelector('.live').checkVisibility()")


def test_no_other_script_runs_in_a_report(browser: Browser, page: Path, tmp_path: Path) -> None:
    smuggled = tmp_path / "smuggled.html"
    text = page.read_text(encoding="utf-8")
    smuggled.write_text(text.replace("</main>", "<script>window.stolen = 1</script></main>", 1))
    browser.open(smuggled)
    browser.wait(DRAWN)
    assert browser.js("window.stolen === undefined")
    assert any("Content Security Policy" in one for one in browser.said())
