"""All five studies at once, as a reader asks for them: no claim of the papers is skipped."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metaprobe.analysis.studies import STUDIES

from ..test_report import Reader

CLAIMS: dict[str, list[str]] = {
    "starshak2022": [f"C{i}" for i in range(1, 13)],
    "bernacchia2021": [f"C-A{i}" for i in range(1, 13)] + ["L1", "L2", "L3"],
    "collins2022": [f"C-B{i}" for i in range(1, 12)],
    "ji2020": [f"C{i}" for i in range(1, 15)],
    "flennerhag2023": [f"C{i}" for i in range(1, 15)],
}
"""What the papers claim or what follows from them, worked out before anything was measured."""

FORMULAS = [f"F{i}" for i in range(1, 10)]
"""The closed forms of bernacchia2021: each belongs to a row that holds it to simulation."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Written:
    """What one run of the command left behind."""

    folder: Path
    cpu_seconds: float

    def study(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / name / "study.json").read_text("utf-8"))
        return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("all")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["study", "--all", "--quick", "--out", f"{folder}/out", "--cache", f"{folder}/cache"]
    subprocess.run(
        [sys.executable, "-m", "metaprobe", *words, "--jobs", "2"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Written(folder / "out", used)


def test_all_quick_studies_end_within_five_minutes_of_one_processor(written: Written) -> None:
    # of the processor, so that a busy machine does not count; two of them need no more
    assert written.cpu_seconds < 300


@pytest.mark.parametrize("name", STUDIES)
def test_no_claim_of_a_paper_is_missing_from_its_ledger(written: Written, name: str) -> None:
    claims = {c["id"]: c for c in written.study(name)["claims"]}
    assert [i for i in CLAIMS[name] if i not in claims] == []
    for claim in claims.values():
        assert claim["verdict"] in ("SUPPORTED", "REFUTED", "NOT SHOWN")
        assert claim["statement"]
        assert claim["rule"]
        assert claim["source"]
        assert claim["measured"]
        assert not claim["measured"].startswith("not measured")


def test_every_closed_form_has_a_row_that_measures_it(written: Written) -> None:
    sources = [c["source"] for c in written.study("bernacchia2021")["claims"]]
    named = re.findall(r"\bF\d\b", " ".join(sources))
    assert sorted(named) == FORMULAS


def test_the_panels_of_the_landscape_are_drawn(written: Written) -> None:
    found = written.study("collins2022")["captions"]
    assert {"landscape", "gain", "network"} <= set(found)  # the two tasks; four panels; networks
    for axis in ("scatter of hard optima", "distance of the centres", "input variance", "samples"):
        assert axis in found["gain"]


@pytest.mark.parametrize("name", STUDIES)
def test_a_page_asks_shows_judges_and_says_what_follows(written: Written, name: str) -> None:
    study = written.study(name)
    assert study["question"].count("?") == 1
    assert study["captions"]
    for part in ("section.html", f"{name}.md"):
        page = (written.folder / name / part).read_text("utf-8")
        assert len(page) < 5_000_000
    text = Reader((written.folder / name / "section.html").read_text("utf-8")).text
    parts = ("question", "answer", "meaning")
    places = [text.index(" ".join(study[part].split())) for part in parts]
    assert places == sorted(places)
    for caption in study["captions"].values():
        assert " ".join(caption.split()) in text


def test_all_five_are_on_one_page(written: Written) -> None:
    page = (written.folder / "studies.html").read_text("utf-8")
    assert len(page.encode()) < 5_000_000
    assert [page.count(f'<section class="study" id="{name}"') for name in STUDIES] == [1] * 5
