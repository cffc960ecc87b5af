"""What the documentation says is what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "checkpoints").glob("*.md")]


def test_the_command_line_reference_is_what_the_command_says() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))["cli_page"]()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made, "run: make docs"


def test_the_tables_of_measures_are_what_the_measures_declare() -> None:
    from metaprobe.analysis.measures import MEASURES

    page = (ROOT / "docs" / "how-to-choose.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))["choose_page"]()
    assert page == made, "run: make docs"
    for name in MEASURES:
        assert page.count(f"\n| `{name}`: ") == 1


def test_the_readme_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "phases.png").stat().st_size > 10_000
    assert (tmp_path / "audit.csv").read_text().startswith(",checkpoint,quantity")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_verb_has_an_example() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for section in page.split("\n## ")[1:]:
        name = section.splitlines()[0]
        assert f"Example: {name}" in section, name


def test_every_shipped_checkpoint_has_a_card_that_names_its_bytes() -> None:
    from metaprobe.models.checkpoint import read_checkpoint, shipped

    assert len(shipped()) == 15
    for name, path in shipped().items():
        assert path.stat().st_size < 1_000_000
        card = (ROOT / "checkpoints" / f"{name}.md").read_text(encoding="utf-8")
        assert read_checkpoint(name).sha256 in card, "run: make cards"


def test_every_kind_of_checkpoint_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    named = re.findall(r"\[([\w ]+)\]\((\.\./tests/[\w/]+\.py)\)", page)
    assert len(named) > 35
    for words, path in named:
        source = (ROOT / "docs" / path).read_text(encoding="utf-8")
        assert f"\ndef test_{words.replace(' ', '_')}(" in source, f"{path}: {words}"
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    headers = [line for line in rows if line.endswith("| test |")]
    assert len(headers) == 3
    assert all("/tests/" in line for line in rows if line not in headers)
