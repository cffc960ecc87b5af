"""A file may be called anything; a report shows its name and obeys nothing in it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from metaprobe.models.checkpoint import shipped

from .conftest import Command

EVIL = "=1+1<script>alert(1)</script>\x1b[2J|a|.safetensors"


def test_r19_a_name_is_no_markup_in_a_report(command: Command, tmp_path: Path) -> None:
    path = shutil.copy(shipped()["anil-glyphs-s0"], tmp_path / EVIL.replace("/", "∕"))
    words = (
        "--data",
        "digits",
        "--split",
        "all",
        "--episodes",
        8,
        "--query",
        2,
        "--jobs",
        1,
        "--no-cache",
    )
    done = command("audit", path, *words, "--out", "report")
    assert done.status == 0, done.err
    assert "\x1b[2J" not in done.out + done.err
    files = [p for p in (tmp_path / "report").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} >= {".html", ".json"}
    for file in [file for file in files if file.suffix not in {".png", ".pdf"}]:
        raw = file.read_bytes()
        assert b"\x1b" not in raw, file
        if file.suffix in {".html", ".svg"}:
            assert b"<script>alert" not in raw, file
        if file.suffix == ".csv":
            assert not [
                c for r in raw.decode().splitlines() for c in r.split(",") if c[:1] in "=+@"
            ]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert r"=1+1&lt;script&gt;alert(1)" in page
    assert r"\x1b[2J|a|" in page


def test_r19_a_name_is_no_formula_in_a_table(command: Command, tmp_path: Path) -> None:
    for name in ("=1+1", "@SUM(A1)"):
        shutil.copy(shipped()["anil-glyphs-s0"], tmp_path / f"{name}.safetensors")
    words = ("--data", "digits", "--most", 20, "--repeats", 2, "--layer", "embedding", "--no-cache")
    done = command("compare", "=1+1.safetensors", "@SUM(A1).safetensors", *words, "--out", "out")
    assert done.status == 0, done.err
    text = (tmp_path / "out" / "comparison.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    assert {cell for row in rows for cell in row} >= {"'=1+1", "'@SUM(A1)"}
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "@")]
