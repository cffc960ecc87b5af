"""What every verb promises: help with an example that parses, ``--json``, ``--seed``."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from metaprobe.cli import app


def verbs(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """``("metaprobe cache list", its command)`` and so on, down to the last."""
    below = getattr(command, "commands", None)
    if not below:
        yield path, command
        return
    for name, verb in below.items():
        yield from verbs(verb, f"{path} {name}")


VERBS = dict(verbs(get_command(app), "metaprobe"))


def test_all_promised_verbs_are_there() -> None:
    promised = {"audit", "train", "embed", "probe", "study", "cache list", "cache verify"}
    promised |= {"cache explain", "cache prune", "data list", "data show"}
    assert {f"metaprobe {verb}" for verb in promised} <= set(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_takes_json_and_seed(name: str) -> None:
    options = {option for parameter in VERBS[name].params for option in parameter.opts}
    assert {"--json", "--seed"} <= options


@pytest.mark.parametrize("name", VERBS)
def test_the_example_of_a_verb_is_a_command_line_it_understands(name: str) -> None:
    [example] = [
        line.strip().removeprefix("Example: ")
        for line in VERBS[name].help.splitlines()
        if line.strip().startswith("Example: ")
    ]
    assert example.startswith(name)
    words = shlex.split(example.removeprefix(name))
    VERBS[name].make_context(name, words)  # parses, and refuses what it does not know


def test_help_answers_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(
        [sys.executable, "-m", "metaprobe", "--help"], capture_output=True, text=True, check=True
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert all(name.split()[1] in said for name in VERBS)
    # of the processor, so that a busy machine does not count
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
