"""An earlier audit as a gate: planted losses fail, and another measurement is no baseline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metaprobe.analysis.gate_baseline import GateError
from metaprobe.analysis.gates import read_gates
from metaprobe.analysis.planning import AuditSettings
from metaprobe.analysis.result import Audit

from .gated import EPISODES, changed, outcome, with_bits, write
from .sample_audit import make_audit, make_set


@pytest.fixture
def audit() -> Audit:
    return with_bits(make_audit(episodes=EPISODES, on=0.02, off=-0.03))


def test_conditions_may_name_the_baseline(tmp_path: Path, audit: Audit) -> None:
    old = write(tmp_path / "audit.json", audit)
    assert outcome(
        audit,
        "on.value < baseline.on.value",
        "on.value >= baseline.effects.on.value - 0.01",
        "abs(off.value - baseline.off.value) > 1e-12",
        baseline=old,
    ) == [True, False, True]
    assert outcome(audit, "on.value < baseline.on.value", baseline=tmp_path) == [True]


def test_the_same_audit_is_no_worse_than_itself(tmp_path: Path, audit: Audit) -> None:
    old = write(tmp_path / "audit.json", audit)
    found = read_gates([], old).applied(audit)
    assert [g.gate.removeprefix("baseline: ") for g in found.gates] == [
        "meta_init", "on_task", "off_task", "on", "off",
    ]  # fmt: skip
    assert all(g.passed for g in found.gates)


def test_a_planted_loss_fails_where_it_was_planted_and_nowhere_else(
    tmp_path: Path, audit: Audit
) -> None:
    old = write(tmp_path / "audit.json", audit)
    worse = with_bits(audit, 0.05, cells=("adapted_off",))
    found = {g.gate: g.passed for g in read_gates([], old).applied(worse).gates}
    assert found == {
        "baseline: meta_init": True,
        "baseline: on_task": True,
        "baseline: off_task": False,
        "baseline: on": True,
        "baseline: off": False,
    }
    better = write(tmp_path / "worse.json", worse)
    assert all(g.passed for g in read_gates([], better).applied(audit).gates)


def test_a_baseline_is_a_gate_beside_conditions_that_do_not_speak_of_it(
    tmp_path: Path, audit: Audit
) -> None:
    old = write(tmp_path / "audit.json", audit)
    worse = with_bits(audit, 0.05, cells=("adapted_off",))
    assert outcome(worse, "episodes.n < 60", baseline=old) == [True, True, True, False, True, False]
    spoken = "off.value < baseline.off.value - 1"
    assert outcome(worse, "episodes.n < 60", spoken, baseline=old) == [True, True]
    bare = write(tmp_path / "bare.json", make_audit(episodes=EPISODES))
    with pytest.raises(GateError, match="keeps no correctness bits"):
        read_gates(["episodes.n < 60"], bare)


def test_a_loss_below_the_smallest_effect_of_interest_passes(tmp_path: Path, audit: Audit) -> None:
    old = write(tmp_path / "audit.json", audit)
    worse = with_bits(audit, 0.05, cells=("adapted_off",)).model_copy(update={"sesoi": 0.1})
    assert all(g.passed for g in read_gates([], old).applied(worse).gates)


@pytest.mark.parametrize(
    ("part", "fields", "words"),
    [
        ("episodes", {"sha256": "0" * 64}, r"episodes\.sha256"),
        ("episodes", {"seed": 9}, r"episodes\.seed is 9 here and 0 there"),
        ("data", {"fingerprint": "a" * 64}, "data is glyphs/test aaaaaaaaaaaa here"),
        ("rule", {"steps": 9}, r"rule\.steps is 9 here"),
        ("probe", {"k": 3}, r"probe\.k"),
    ],
)
@pytest.mark.parametrize("conditions", [(), ("on.value < baseline.on.value",)])
def test_a_baseline_of_another_measurement_is_refused(
    tmp_path: Path, audit: Audit, part: str, fields: dict[str, Any], words: str,
    conditions: tuple[str, ...],
) -> None:  # fmt: skip
    old = write(tmp_path / "audit.json", audit)
    with pytest.raises(GateError, match=words):
        outcome(changed(audit, part, **fields), *conditions, baseline=old)


def test_settings_that_differ_are_found_before_measuring(tmp_path: Path, audit: Audit) -> None:
    gates = read_gates([], write(tmp_path / "audit.json", audit))
    alike = AuditSettings(episodes=EPISODES, gallery="fresh")
    gates.check(alike)
    with pytest.raises(GateError, match="episodes is 600 here and 60 there"):
        gates.check(AuditSettings(gallery="fresh"))
    with pytest.raises(GateError, match="steps is 1 here and 5 there"):
        gates.check(AuditSettings(episodes=EPISODES, gallery="fresh", steps=1))


def test_a_set_of_baselines_goes_by_name(tmp_path: Path) -> None:
    several = make_set(2, episodes=EPISODES)
    old = write(tmp_path / "audit.json", several)
    text = "on.value != baseline.on.value"
    assert outcome(several, text, baseline=old) == [True, True]
    assert outcome(several.audits[1], text, baseline=old) == [True]
    with pytest.raises(GateError, match="none is called 'other'"):
        outcome(make_audit("other", episodes=EPISODES), text, baseline=old)


def test_other_episodes_are_found_before_measuring(tmp_path: Path, audit: Audit) -> None:
    gates = read_gates([], write(tmp_path / "audit.json", audit))

    def planned(sha256: str, fingerprint: str) -> Any:
        data = SimpleNamespace(name="digits", split="test", fingerprint=fingerprint)
        return [SimpleNamespace(episodes=SimpleNamespace(sha256=sha256), data=data)]

    gates.planned(planned(audit.episodes.sha256, audit.data.fingerprint))
    with pytest.raises(GateError, match=r"data is digits/test a{12} here and glyphs/test"):
        gates.planned(planned("0" * 64, "a" * 64))
    with pytest.raises(GateError, match=r"episodes\.sha256 is 0{12} here"):
        gates.planned(planned("0" * 64, audit.data.fingerprint))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.update(schema="metaprobe.audit/0"), "schema"),
        (lambda raw: raw.pop("episodes"), "episodes"),
        (lambda raw: raw.update(of_another_version=1), "of_another_version"),
        (lambda raw: raw["effects"]["off"].update(verdict="LOWER"), r"effects\.off\.verdict"),
    ],
)
def test_a_baseline_of_another_version_says_which_file_and_what_to_do(
    tmp_path: Path, audit: Audit, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    raw = json.loads(audit.to_json())
    change(raw)
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(GateError, match=rf"audit.json' is no audit .*{words}.*measure it again"):
        read_gates([], path)


def test_a_pipe_is_no_baseline(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "audit.json")
    with pytest.raises(GateError, match="is no file"):
        read_gates([], tmp_path / "audit.json")


def test_a_baseline_that_is_none_is_refused(tmp_path: Path, audit: Audit) -> None:
    with pytest.raises(GateError, match="cannot be read"):
        read_gates([], tmp_path / "nowhere.json")
    bare = write(tmp_path / "bare.json", make_audit(episodes=EPISODES))
    with pytest.raises(GateError, match="keeps no correctness bits"):
        read_gates([], bare)
    assert len(read_gates(["on.value < baseline.on.value"], bare).conditions) == 1
    cut = audit.bits.model_copy(update={"cells": {"init_on": "AA=="}}) if audit.bits else None
    old = write(tmp_path / "cut.json", audit.model_copy(update={"bits": cut}))
    with pytest.raises(GateError, match="damaged"):
        outcome(audit, baseline=old)
