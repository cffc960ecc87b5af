"""The tutorial runs as it is written, and prints as much as it shows."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "tutorial.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_every_cell_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells():
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
        shown = "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")
        assert [line.split()[0] for line in said.getvalue().splitlines()] == [
            line.split()[0] for line in shown.splitlines()
        ]
    assert {"maml", "both", "likeness", "layers"} <= set(names)


def test_no_output_is_an_error_or_names_a_folder() -> None:
    outputs = [output for cell in cells() for output in cell["outputs"]]
    assert len(outputs) == len(cells())
    assert all(output["output_type"] in {"stream", "execute_result"} for output in outputs)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.findall(r"""['" (](/[a-z]+/[^<>'" ]+)""", text)
