"""Two ways to run the command: within this process, which is quick, and as people do."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from metaprobe.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: its status and its two streams."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """``command("audit", …)``, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["metaprobe", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Outcome(int(end.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """The same in a process of its own, whose files may be limited to so many KiB."""

    def call(*words: object, files: int | None = None, **environment: str) -> Outcome:
        limit = [] if files is None else ["bash", "-c", f'ulimit -f {files}; exec "$@"', "bash"]
        done = subprocess.run(
            [*limit, sys.executable, "-m", "metaprobe", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100", **environment},
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def unprivileged(tmp_path: Path) -> Command:
    """The same in a process that may write only where modes allow it, even as root."""

    def run(*words: object) -> Outcome:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            preexec_fn=_forgo_override if os.geteuid() == 0 else None,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def call(*words: object) -> Outcome:
        return run("-m", "metaprobe", *words)

    probe = tmp_path / "probe"
    probe.mkdir(mode=0o555)
    if run("-c", "open('probe/file', 'w')").status == 0:
        pytest.skip("this user's right to write anywhere cannot be given up here")
    return call


def _forgo_override() -> None:
    """What root runs next has no right to write against a file's mode (Linux)."""
    drop_from_bounding_set, override = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
    ctypes.CDLL(None).prctl(drop_from_bounding_set, override, 0, 0, 0)
