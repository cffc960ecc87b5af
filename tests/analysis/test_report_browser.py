"""The report in a real browser: no console message, all sections, light and dark."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from metaprobe.analysis.report import write_report

from ..browser import FLAGS, NAMES, find_browser
from .sample_audit import make_set

pytestmark = pytest.mark.browser

SECTIONS_OF_PAGE = (
    "answer",
    "numbers",
    "figures",
    "rates",
    "floors",
    "method",
    "provenance",
    "repeat",
)


@pytest.fixture(scope="module")
def browser() -> str:
    return find_browser() or pytest.skip(f"no browser found; install one of {', '.join(NAMES)}")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_set(3, episodes=60), tmp_path_factory.mktemp("report"))


def browse(browser: str, page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """Opens a page; returns standard output and what the page said on its console."""
    done = subprocess.run(
        [
            browser, *FLAGS, "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}",
            *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, re.findall(r"^.*CONSOLE.*$", done.stderr, re.MULTILINE)


def colour_of_corner(path: Path) -> tuple[int, ...]:
    with Image.open(path) as picture:
        pixel = picture.convert("RGB").getpixel((2, 2))
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


def test_the_report_opens_without_a_word_on_the_console(
    browser: str, page: Path, tmp_path: Path
) -> None:
    dom, console = browse(browser, page, tmp_path / "profile", "--dump-dom")
    assert console == []
    for section in SECTIONS_OF_PAGE:
        assert f'<section id="{section}"' in dom
    assert dom.count("<figure") == 4
    assert dom.count("<svg ") == 4 + 1  # and the letters that they share
    assert len(re.findall(r"<tr[ >]", dom)) > 20


def test_a_page_with_a_fault_would_be_noticed(browser: str, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.html"
    faulty.write_text("<!doctype html><title>x</title><script>nothing.there()</script>")
    _, console = browse(browser, faulty, tmp_path / "profile", "--dump-dom")
    assert console


def test_the_report_follows_light_and_dark(browser: str, page: Path, tmp_path: Path) -> None:
    light, dark = tmp_path / "light.png", tmp_path / "dark.png"
    size = "--window-size=900,700"
    browse(browser, page, tmp_path / "a", size, f"--screenshot={light}",
           "--blink-settings=preferredColorScheme=1")  # fmt: skip
    browse(browser, page, tmp_path / "b", size, f"--screenshot={dark}",
           "--blink-settings=preferredColorScheme=0")  # fmt: skip
    assert min(colour_of_corner(light)) > 240
    assert max(colour_of_corner(dark)) < 50


def test_the_report_prints(browser: str, page: Path, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    browse(browser, page, tmp_path / "profile", f"--print-to-pdf={paper}")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(content) > 50_000
