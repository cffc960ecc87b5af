"""What docs/safety.md promises has a test, and no code reaches for an unsafe reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (R\d\d) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
REQUIRED = [
    "01",
    "02",
    "03",
    "04",
    "05",
    "07",
    "09",
    "11",
    "12",
    "13",
    "14",
    "15",
    "17",
    "18",
    "19",
    "20",
    "21",
    "22",
    "23",
    "24",
]
SOURCES = [p for r in ("metaprobe", "data", "models", "probes", "analysis") for p in (ROOT / r).rglob("*.py")]  # fmt: skip

BANNED_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "imp"}  # fmt: skip
BANNED_CALLS = {
    "torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter",
    "joblib.load", "np.load", "numpy.load", "pandas.read_pickle", "pd.read_pickle",
    "torch.serialization.load", "eval", "exec", "compile", "os.system", "__import__",
}  # fmt: skip
BANNED_IMPORTS = {tuple(call.rsplit(".", 1)) for call in BANNED_CALLS if "." in call}
BANNED_NAMES = {"load_from_checkpoint", "weights_only", "trust_remote_code", "allow_pickle"}


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Every place in a module that could run what a file says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in BANNED_MODULES)
            yield from (
                f"{a.name} as {a.asname}"
                for a in node.names
                if a.asname not in (None, "np", "pd") and a.name in {m for m, _ in BANNED_IMPORTS}
            )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            if module.split(".")[0] in BANNED_MODULES:
                yield module
            yield from (
                f"{module}.{a.name}" for a in node.names if (module, a.name) in BANNED_IMPORTS
            )
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in BANNED_CALLS or called.split(".")[-1] in BANNED_NAMES:
                yield called
            if called.endswith("Image.open") and "formats" not in {w.arg for w in node.keywords}:
                yield f"{called}, which starts Ghostscript for PostScript"
            for word in node.keywords:
                value = ast.unparse(word.value)
                safe = {
                    "weights_only": "True",
                    "trust_remote_code": "False",
                    "allow_pickle": "False",
                }
                if word.arg in safe and value != safe[str(word.arg)]:
                    yield f"{called}({word.arg}={value})"
                if called.endswith("load_state_dict") and (word.arg, value) == ("strict", "False"):
                    yield f"{called}(strict=False)"


def test_r02_no_code_reaches_for_an_unsafe_reader() -> None:
    found = {
        str(path.relative_to(ROOT)): places
        for path in SOURCES
        if (places := sorted(unsafe(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert len(SOURCES) > 100
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from pickle import loads", "torch.load(x)", "np.load(x, allow_pickle=True)",
        "np.lib.format.read_array(f, allow_pickle=1)", "net.load_state_dict(s, strict=False)",
        "Net.load_from_checkpoint(x)", "from torch import load", "from numpy import load as read",
        "import torch as t", "Image.open(x)", "PIL.Image.open(x, 'r')", "AutoModel.from_config(c, trust_remote_code=True)", "eval(x)",
    ],
)  # fmt: skip
def test_r02_the_scan_sees_each_unsafe_line(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


def test_every_requirement_has_a_row() -> None:
    assert [number for number, _, _ in ROWS] == [f"R{n}" for n in REQUIRED]


@pytest.mark.parametrize(("number", "promise", "tests"), ROWS, ids=[row[0] for row in ROWS])
def test_a_promise_names_tests_that_exist(number: str, promise: str, tests: str) -> None:
    named = re.findall(r"\[(test_\w+)\]\((\S+?)\)", tests)
    assert named, number
    for name, link in named:
        path = (ROOT / "docs" / link).resolve()
        functions = {n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)}  # fmt: skip
        assert name in functions, f"{link}: {name}"
        assert number.lower() in name.split("_")
