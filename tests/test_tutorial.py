"""The tutorial runs as it is written, and shows what it shows."""

from __future__ import annotations

import base64
import json
import re
import runpy
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "tutorial.ipynb"
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


class Shown(HTMLParser):
    """The words of a fragment, and the pictures in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[str] = []
        self._skipped = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped = tag == "style"
        if tag == "img":
            self.pictures.append((dict(attrs)["src"] or "").partition("base64,")[2])

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.words += data.split()


def shown(output: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """What an output says in words, and how large its pictures are."""
    if output["output_type"] == "stream":
        return "".join(output["text"]), []
    data = {kind: "".join(content) for kind, content in output["data"].items()}
    page = Shown(data.get("text/html", ""))
    pictures = [*page.pictures, *([data["image/png"]] if "image/png" in data else [])]
    return " ".join(page.words), [size_of(picture) for picture in pictures]


def size_of(picture: str) -> tuple[int, int]:
    """Of a picture that is more than paper."""
    with Image.open(BytesIO(base64.b64decode(picture))) as opened:
        assert len(opened.convert("L").getcolors() or []) > 20
        return opened.size


def agree(new: str, old: str) -> None:
    """The same words, and numbers alike to within one unit of the last digit printed."""
    assert NUMBER.sub("#", new) == NUMBER.sub("#", old)
    for one, other in zip(NUMBER.findall(new), NUMBER.findall(old), strict=True):
        unit = 10.0 ** -len(other.partition(".")[2].partition("e")[0])
        scale = 10.0 ** float(other.partition("e")[2] or 0)
        a, b = (float(text.replace("−", "-")) for text in (one, other))
        assert abs(a - b) <= 1.01 * unit * scale, (one, other)


@pytest.mark.slow
def test_every_cell_runs_and_shows_what_the_notebook_shows() -> None:
    again = runpy.run_path(str(NOTEBOOK.parent / "notebook.py"))["run"]()
    new = [cell for cell in again["cells"] if cell["cell_type"] == "code"]
    old = cells()
    assert len(new) == len(old) > 10
    pictures = 0
    for made, kept in zip(new, old, strict=True):
        assert len(made["outputs"]) == len(kept["outputs"]) == 1, kept["source"]
        (words, sizes), (kept_words, kept_sizes) = (
            shown(made["outputs"][0]),
            shown(kept["outputs"][0]),
        )
        agree(words, kept_words)
        assert sizes == kept_sizes
        pictures += len(sizes)
    assert pictures == 3  # a figure, a section, a map


def test_a_changed_word_or_number_would_be_noticed() -> None:
    agree("on +6.467 points, p 0.392", "on +6.467 points, p 0.392")
    agree("0.84", "0.85")
    for changed in ("on +6.467 points, p 0.394", "on +6.467 point, p 0.392", "off +6.467 points, p 0.392",
                    "on −6.467 points, p 0.392"):  # fmt: skip
        with pytest.raises(AssertionError):
            agree(changed, "on +6.467 points, p 0.392")
    table = "<style>td {a: 1}</style><table><tr><td>a</td><td>−1.2</td></tr></table>"
    assert Shown(table).words == ["a", "−1.2"]


def test_no_output_is_an_error_or_a_warning_or_names_a_folder() -> None:
    outputs = [output for cell in cells() for output in cell["outputs"]]
    assert len(outputs) == len(cells())
    assert all(output["output_type"] in {"stream", "execute_result"} for output in outputs)
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)
    text = NOTEBOOK.read_text(encoding="utf-8")
    text = re.sub(r"base64,[\w+/=]+|\"image/png\": \"[^\"]+\"", "", text)
    assert not re.findall(r"""['" (](/[a-z]+/[^<>'" ]+)""", text)
