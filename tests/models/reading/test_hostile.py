"""Every hostile, damaged or awkward file ends as it must: soon, small, in one sentence.

The requirement that a test is for stands in its name; docs/safety.md lists them.
"""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from metaprobe.cli import main
from metaprobe.data.errors import CheckpointError
from metaprobe.models.reading.read import read_file

from .corpus import write_corpus
from .corpus_parts import Entry

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "nasty" / "make_nasty.py"
LARGEST_CHILD = 1.5 * 2**30
MOST_GROWTH = 300 * 2**20
SCALE = 1024 if sys.platform == "linux" else 1


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str
    seconds: float


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, with every unsafe reader made to raise."""
    monkeypatch.chdir(tmp_path)

    def forbidden(*args: Any, **named: Any) -> Any:
        raise AssertionError("an unsafe reader was reached")

    import_module("metaprobe.analysis.audit")  # what it brings derives from the unpickler
    for owner, name in (
        (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (pickle, "_Unpickler"),
        (torch, "load"), (torch.jit, "load"), (torch.hub, "load"), (torch.serialization, "load"),
        (np, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, forbidden)

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["metaprobe", *map(str, words)])
        start = time.monotonic()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Outcome(int(end.value.code or 0), said.out, said.err, time.monotonic() - start)

    return call


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Entry, ...]]:
    folder = tmp_path_factory.mktemp("hostile") / "files"
    return folder, write_corpus(folder)


def problem(done: Outcome, end: str, code: str | None = None) -> str:
    """What is wrong with how a file ended, or nothing."""
    if done.seconds > 20:
        return f"took {done.seconds:.1f} s"
    if any(ord(c) < 32 and c != "\n" for c in done.out + done.err):
        return "a control sign reached the terminal"
    if "weights_only" in done.out + done.err or "Traceback" in done.err:
        return f"said {done.err!r}"
    if done.status == 2:
        if end == "accept":
            return f"refused: {done.err}"
        whole = done.out == "" and done.err.startswith("metaprobe: ") and done.err.count("\n") == 1
        if not whole or "internal" in done.err or "(see --help)" in done.err:
            return f"no sentence: {done.out!r} {done.err!r}"
        return ""
    if done.status != 0 or end == "reject":
        return f"status {done.status}: {done.out} {done.err}"
    told = json.loads(done.out)
    flags = [flag["code"] for flag in told.get("flags", ())] + told.get("notes", [])
    if end == "flag" and (not flags or (code and code not in flags)):
        return f"flags {flags}, not {code}"
    return ""


def memory() -> tuple[int, int]:
    """Peak resident bytes: of this process, and of the largest child that has ended."""
    own, children = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return tuple(resource.getrusage(who).ru_maxrss * SCALE for who in (own, children))  # type: ignore[return-value]


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_r01_r05_every_file_ends_as_it_must_and_runs_nothing(
    run: Run, corpus: tuple[Path, tuple[Entry, ...]], share: int
) -> None:
    folder, entries = corpus
    before, earlier = memory()
    wrong = {}
    for entry in [e for i, e in enumerate(entries) if e.live or i % share == 0]:
        done = run("convert", folder / entry.name, "out.safetensors", "--json")
        found = problem(done, entry.end, entry.code)
        if found:
            wrong[entry.name] = found
    assert wrong == {}
    after, children = memory()
    assert list((folder / "PWNED").iterdir()) == []
    # a child counts as large as its parent until its own program runs
    assert children < max(LARGEST_CHILD, 1.01 * max(after, earlier))
    assert after - before < MOST_GROWTH


def test_r01_the_control_runs_every_live_payload(
    corpus: tuple[Path, tuple[Entry, ...]], tmp_path: Path
) -> None:
    live = [entry.name for entry in write_corpus(tmp_path / "files") if entry.live]
    obey(tmp_path, [str(tmp_path / "files" / name) for name in live])
    assert len(live) >= 20
    assert len(list((tmp_path / "files" / "PWNED").iterdir())) == len(live)


def obey(folder: Path, files: list[str]) -> None:
    """Let an unsafe reader load files, in a process of its own."""
    script = str(Path(__file__).with_name("unsafe.py"))
    subprocess.run([sys.executable, script, *files], cwd=folder, capture_output=True, check=False)


def test_the_corpus_is_large_and_covers_every_end(corpus: tuple[Path, tuple[Entry, ...]]) -> None:
    ends = Counter(entry.end for entry in corpus[1])
    assert ends["reject"] > 150
    assert ends["flag"] > 25
    assert ends["accept"] > 20


def test_a_refusal_has_the_code_that_was_foreseen(
    corpus: tuple[Path, tuple[Entry, ...]],
) -> None:
    folder, entries = corpus
    wanted = [e for e in entries if e.end == "reject" and e.code][::5]
    found = {}
    for entry in wanted:
        with pytest.raises(CheckpointError) as refused:
            _ = read_file(folder / entry.name).repaired
        found[entry.name] = refused.value.code
    assert found == {entry.name: entry.code for entry in wanted}


def test_r11_what_is_no_file_is_refused_at_once(
    run: Run, corpus: tuple[Path, tuple[Entry, ...]]
) -> None:
    folder, _ = corpus
    for name in ("pipe.pt", "zero.pt", "random.pt", "loop.pt", "gone.pt", "socket.pt", "f_pipe", "f_nest", "PWNED"):  # fmt: skip
        done = run("convert", folder / name, "out.safetensors")
        assert problem(done, "reject") == "", name
        assert done.seconds < 1, name


def test_r13_a_failed_download_is_told_what_to_do(
    run: Run, corpus: tuple[Path, tuple[Entry, ...]]
) -> None:
    folder, _ = corpus
    for name, advice in (
        ("page.pth", "download it again"), ("pointer.safetensors", "git lfs pull"),
        ("gz.pt", "unpack it first"), ("nothing.pt", "0 bytes"), ("cut_at_60.pt", "fetch it again"),
        ("arrays.pt", "--data"), ("model_of_the_user.pt", "safetensors.torch.save_file"),
    ):  # fmt: skip
        assert advice in run("convert", folder / name, "out.safetensors").err, name


def test_r22_a_tar_is_refused_and_unpacked_nowhere(
    run: Run, corpus: tuple[Path, tuple[Entry, ...]], tmp_path: Path
) -> None:
    folder, _ = corpus
    before = sorted(tmp_path.rglob("*"))
    for words in (("convert", folder / "tarred.tar", "o.safetensors"), ("data", "show", folder / "tarred.tar")):  # fmt: skip
        assert problem(run(*words), "reject") == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert list((folder / "PWNED").iterdir()) == []


def test_r03_no_help_or_refusal_speaks_of_an_unsafe_way(
    run: Run, corpus: tuple[Path, tuple[Entry, ...]]
) -> None:
    from metaprobe.cli import app

    for verb in ("convert", "inspect", "audit", "embed", "probe"):
        told = CliRunner().invoke(app, [verb, "--help"]).output.lower()
        assert "--" in told
        for word in ("weights_only", "unsafe", "allow-pickle", "--force"):
            assert word not in told, (verb, word)
    folder, entries = corpus
    for entry in [e for e in entries if e.live][
        ::6
    ]:  # trust in code of one's own is none in a file
        for verb in ("inspect", "audit"):
            assert problem(run(verb, folder / entry.name), "reject") == "", (verb, entry.name)
        trusted = run("audit", folder / entry.name, "--trust-code", "--arch", "torch.nn:Flatten")
        assert trusted.status == 2, entry.name
    assert list((folder / "PWNED").iterdir()) == []


NOT_RUN_HERE = {"w_wrong_shape.pt", "w_extra.pt", "w_missing.pt"}
"""Awkward only beside a network they are held against."""


def shared_words(entry: dict[str, Any], folder: Path) -> tuple[object, ...]:
    """The command that reads a file of the shared corpus."""
    path = folder / entry["file"]
    if entry["group"] == "h5":
        return "data", "show", f"embeddings:{path}", "--json"
    if path.suffix == ".npz":
        return "data", "show", path, "--json"
    if entry["file"].startswith("mini_"):
        return "data", "show", f"mini-imagenet:{path}", "--json"
    if path.name == "config.json":
        path = path.parent
    like = ("--like", folder / "good_plain.pt") if entry["file"] in NOT_RUN_HERE else ()
    return "convert", path, "out.safetensors", "--json", *like


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The corpus that lies beside the repository."""
    if not SHARED.is_file():
        pytest.skip("no shared/nasty/make_nasty.py beside the repository")
    folder = tmp_path_factory.mktemp("shared") / "files"
    subprocess.run([sys.executable, "-W", "ignore", str(SHARED), str(folder)], check=True)
    return folder, json.loads((folder / "manifest.json").read_text())


@pytest.mark.slow
def test_r01_r05_every_file_of_the_shared_corpus_ends_as_its_manifest_says(
    run: Run, shared: tuple[Path, list[dict[str, Any]]]
) -> None:
    folder, manifest = shared
    before, earlier = memory()
    wrong = {}
    for entry in manifest:
        done = run(*shared_words(entry, folder))
        found = problem(done, entry["expect"])
        if found:
            wrong[entry["file"]] = found
        if "sha256" in entry:
            words = (folder / entry["file"], "o.safetensors", "--sha256", entry["sha256"])
            assert run("convert", *words).status == 2
    assert wrong == {}
    after, children = memory()
    assert len(manifest) >= 161
    assert list((folder / "PWNED").iterdir()) == []
    # a child counts as large as its parent until its own program runs
    assert children < max(LARGEST_CHILD, 1.01 * max(after, earlier))
    assert after - before < MOST_GROWTH


@pytest.mark.slow
def test_r01_the_control_runs_the_live_payloads_of_the_shared_corpus(
    shared: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    again = tmp_path / "files"
    subprocess.run([sys.executable, "-W", "ignore", str(SHARED), str(again)], check=True)
    names = [e["file"] for e in shared[1] if e["group"] == "pickle"]
    names += ["mini_evil.pkl", "st_pickle_named.safetensors", "evil_obj.npy"]
    obey(tmp_path, [str(again / name) for name in names])
    assert len(list((again / "PWNED").iterdir())) >= 14
    assert list((shared[0] / "PWNED").iterdir()) == []
