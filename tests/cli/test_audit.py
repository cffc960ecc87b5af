"""`metaprobe audit`: the contract, and the same numbers however it runs."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .conftest import Command

PAIR = ("maml-glyphs-s0", "meta-sgd-glyphs-s0")
SMALL = ("--episodes", "24", "--query", "5")


def numbers(text: str) -> Any:
    """The result without what may differ between two runs."""
    plain = json.loads(text)
    for one in plain.get("audits", [plain]):
        for key in ("created", "run", "environment"):
            del one[key]
    return plain


SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text(encoding="utf-8")
)


def test_one_checkpoint_gives_the_promised_keys(command: Command, tmp_path: Path) -> None:
    done = command("audit", PAIR[0], *SMALL, "--cache", tmp_path / "c", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert found["schema"] == "metaprobe.audit/1"
    assert {
        "schema", "created", "version", "checkpoint", "data", "episodes", "rule", "cells", "phases",
        "effects", "floors", "rates", "environment",
    } <= set(found)  # fmt: skip
    assert set(found["cells"]) == {"init_on", "adapted_on", "init_off", "adapted_off"}
    assert found["phases"]["off_task"] == found["cells"]["adapted_off"]
    assert found["rates"] is None
    assert 0.15 < found["floors"]["shuffled_labels"]["value"] < 0.25
    assert found["cells"]["init_on"]["value"] > found["floors"]["untrained"]["value"] + 0.2


def test_two_checkpoints_share_episodes_and_add_contrasts(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command("audit", *PAIR, *SMALL, "--cache", tmp_path / "c", "--out", out, "--json")
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert found["schema"] == "metaprobe.audit-set/1"
    assert len({a["episodes"]["sha256"] for a in found["audits"]}) == 1
    assert {c["quantity"] for c in found["contrasts"]} == {"meta_init", "on", "off", "interaction"}
    assert json.loads((out / "audit.json").read_text()) == found
    found["audits"][1]["cells"]["init_on"]["value"] = "high"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)
    assert (out / "report.html").stat().st_size < 5_000_000
    assert {p.name for p in (out / "figures").iterdir()} >= {
        "phases.png",
        "phases.svg",
        "rates.svg",
    }
    rates = found["audits"][1]["rates"]
    assert rates["overall"]["dead"] >= 128  # the four biases before batch statistics
    biases = [x for x in rates["layers"] if x["name"].endswith("conv.bias")]
    assert all(x["dead"] == x["size"] and x["mean"] is None for x in biases)


def test_the_last_lines_name_every_file_and_the_folder_of_figures(
    command: Command, tmp_path: Path
) -> None:
    done = command("audit", PAIR[0], *SMALL, "--cache", tmp_path / "c", "--out", "found")
    named = done.out[done.out.index("\nFiles\n") :].split()[1:]
    assert named == ["found/report.html", "found/audit.json", "found/table.tex", "found/figures/"]
    assert all((tmp_path / name).exists() for name in named)


def test_a_second_audit_runs_no_forward_pass_and_gives_the_same_numbers(
    command: Command, tmp_path: Path
) -> None:
    words = ("audit", PAIR[1], *SMALL, "--cache", tmp_path / "c", "--json")
    first, second = command(*words), command(*words)
    assert json.loads(first.out)["run"]["forward_passes"] > 0
    assert json.loads(second.out)["run"]["forward_passes"] == 0
    assert numbers(first.out) == numbers(second.out)


def test_numbers_do_not_depend_on_threads_jobs_order_or_store(
    command: Command, process: Command, tmp_path: Path
) -> None:
    words = ("audit", "--episodes", 24, "--query", 2, "--json", "--no-cache")
    plain = command(*words, *PAIR, "--jobs", 1)
    other = process(
        *words, *PAIR, "--jobs", 2, OMP_NUM_THREADS="2", PYTHONHASHSEED="7", TZ="Asia/Tokyo"
    )
    assert other.status == 0, other.err
    assert numbers(plain.out) == numbers(other.out)
    turned = command(*words, *reversed(PAIR))
    assert numbers(turned.out)["audits"][::-1] == numbers(plain.out)["audits"]


def test_more_episodes_reuse_the_blocks_already_measured(command: Command, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "c", "--json", "--query", "5")
    command("audit", PAIR[0], "--episodes", 20, *cache)
    longer = json.loads(command("audit", PAIR[0], "--episodes", 40, *cache).out)
    assert longer["run"]["cached_entries"] == longer["run"]["forward_passes"] == 3


def test_no_inner_steps_give_effects_of_exactly_zero(command: Command) -> None:
    found = json.loads(command("audit", PAIR[1], *SMALL, "--steps", 0, "--json", "--no-cache").out)
    for effect in found["effects"].values():
        assert (effect["value"], effect["ci_low"], effect["ci_high"]) == (0.0, 0.0, 0.0)
        assert effect["verdict"] == "NO MATERIAL CHANGE"
    assert found["cells"]["init_on"] == found["cells"]["adapted_on"]


def test_far_tasks_come_from_another_dataset(command: Command) -> None:
    done = command("audit", PAIR[0], *SMALL, "--off-data", "digits", "--json", "--no-cache")
    assert done.status == 0, done.err
    near = command("audit", PAIR[0], *SMALL, "--json", "--no-cache")
    far, near_plain = json.loads(done.out), json.loads(near.out)
    assert far["episodes"]["sha256"] != near_plain["episodes"]["sha256"]


def test_an_interrupted_audit_says_so_and_keeps_what_it_has(
    process: Command, tmp_path: Path
) -> None:
    words = ("audit", PAIR[0], "--episodes", "400", "--jobs", "2", "--cache", str(tmp_path / "c"))
    victim = start(words, tmp_path)
    while victim.poll() is None and not list(tmp_path.glob("c/entries/*/*/commit.json")):
        time.sleep(0.005)
    victim.send_signal(signal.SIGINT)
    _, said = victim.communicate()
    assert victim.returncode == 130, said
    assert said.strip() == "metaprobe: interrupted; what was kept is used by the same command"


def start(words: tuple[str, ...], folder: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, to be stopped."""
    return subprocess.Popen(
        [sys.executable, "-m", "metaprobe", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        # a suite started in the background hands on that interrupts are ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_a_killed_audit_is_finished_by_the_same_command(command: Command, tmp_path: Path) -> None:
    kill_and_finish(command, tmp_path, moments=1)


@pytest.mark.slow
def test_an_audit_killed_at_twenty_moments_is_finished_by_the_same_command(
    command: Command, tmp_path: Path
) -> None:
    kill_and_finish(command, tmp_path, moments=20)


def kill_and_finish(command: Command, tmp_path: Path, moments: int) -> None:
    """SIGKILL at random moments of the work; then the report of an undisturbed run."""
    words = ("audit", PAIR[0], "--episodes", "41", "--query", "2", "--steps", "2", "--json")
    whole = command(*words, "--no-cache")
    rng = random.Random(0)
    reused = 0
    for moment in range(moments):
        cache, out = tmp_path / f"cache-{moment}", tmp_path / f"out-{moment}"
        full = (*words, "--cache", str(cache), "--out", str(out))
        victim = start(full, tmp_path)
        wanted = rng.randrange(0, 10)  # entries that must be there before the blow: 9 in all
        while victim.poll() is None and len(list(cache.glob("entries/*/*/commit.json"))) < wanted:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.1)
        victim.send_signal(signal.SIGKILL)
        _, said = victim.communicate()
        assert not said, moment
        half = [p for p in out.glob("*") if p.suffix in {".json", ".html"}]
        assert all(p.read_text().rstrip().endswith(("}", "</html>")) for p in half)
        again = command(*full)
        assert again.status == 0, again.err
        assert numbers(again.out) == numbers(whole.out)
        assert numbers((out / "audit.json").read_text()) == numbers(whole.out)
        assert (out / "report.html").read_text().rstrip().endswith("</html>")
        assert json.loads(again.out)["run"]["cached_entries"] >= wanted
        reused += json.loads(again.out)["run"]["cached_entries"]
    assert reused > 0
