"""Gates: planted failures fail, guards pass, and another measurement is no baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaprobe.analysis.audit_parts import Bits, packed
from metaprobe.analysis.expression_parser import parse
from metaprobe.analysis.expressions import names
from metaprobe.analysis.gate_paths import check_path, known_paths
from metaprobe.analysis.gates import GateError, read_gates
from metaprobe.analysis.planning import AuditSettings
from metaprobe.analysis.result import Audit, AuditSet

from .sample_audit import make_audit, make_set

EPISODES = 60


def outcome(audit: Audit | AuditSet, *conditions: str, baseline: Path | None = None) -> list[bool]:
    found = read_gates(conditions, baseline).applied(audit)
    return [gate.passed for gate in found.gates]


def with_bits(audit: Audit, loss: float = 0.0, *, cells: tuple[str, ...] = ()) -> Audit:
    """The audit with planted bits: `loss` of the queries that were right turn wrong in `cells`."""
    rng = np.random.default_rng(3)
    size = (audit.episodes.n, audit.episodes.way * audit.episodes.query)
    drop = np.random.default_rng(4)
    kept = {}
    for cell in ("init_on", "adapted_on", "init_off", "adapted_off"):
        bits = rng.random(size) < 0.8
        lost = drop.random(size) < (loss if cell in cells else 0)
        kept[cell] = packed(bits & ~lost)
    classes = np.stack([rng.permutation(40)[:10] for _ in range(audit.episodes.n)])
    on, off = (
        tuple(tuple(map(int, row)) for row in part) for part in (classes[:, :5], classes[:, 5:])
    )
    return audit.model_copy(update={"bits": Bits(cells=kept, classes_on=on, classes_off=off)})


@pytest.fixture
def audit() -> Audit:
    return with_bits(make_audit(episodes=EPISODES, on=0.02, off=-0.03))


def test_planted_failures_fail_and_others_pass(audit: Audit) -> None:
    value = audit.effects.off.value
    assert outcome(
        audit,
        f"effects.off.value < {value + 1e-6}",
        f"effects.off.value < {value - 1e-6}",
        "off.verdict == 'LOWERED' and on.verdict == 'RAISED'",
        "on_task.value <= floors.untrained.value",
        "abs(interaction.value) > 0.02 and episodes.n == 60",
        "rates.overall.share_negative > 1.0",
    ) == [False, True, False, True, False, True]


def test_a_sentence_names_the_values(audit: Audit) -> None:
    [gate] = read_gates(["off.value < 0.5"], None).applied(audit).gates
    assert gate.sentence == f"off.value < 0.5 (off.value is {audit.effects.off.value:.6g})"
    assert gate.checkpoint == "meta-sgd"


def test_every_checkpoint_is_gated_by_name() -> None:
    several = make_set(3, episodes=EPISODES)
    found = read_gates(["off.verdict == 'LOWERED'"], None).applied(several)
    assert {g.checkpoint: g.passed for g in found.gates} == {
        label: one.effects.off.verdict != "LOWERED"
        for label, one in zip(several.labels, several.audits, strict=True)
    }
    assert {g.passed for g in found.gates} == {True, False}


@pytest.mark.parametrize("word", ["TRACE-", "TRACE−"])
def test_a_trace_may_be_written_with_a_hyphen(word: str) -> None:
    lowered = make_audit(episodes=EPISODES, off=-0.03)
    off = lowered.effects.off.model_copy(update={"verdict": "TRACE−"})
    audit = changed(lowered, "effects", off=off)
    assert outcome(audit, f"off.verdict == '{word}'") == [False]


def test_an_audit_without_rates_is_undecided_unless_guarded() -> None:
    plain = make_audit(episodes=EPISODES, rates=False)
    with pytest.raises(GateError, match=r"rates\.overall\.mean is null"):
        outcome(plain, "rates.overall.mean < 0")
    assert outcome(plain, "rates.overall.mean != null and rates.overall.mean < 0") == [True]


def test_layers_and_rates_go_by_their_names(audit: Audit) -> None:
    name = audit.rates.layers[0].name if audit.rates else ""
    assert (
        outcome(audit, f'rates.layers["{name}"].size > 0', "rates.layers[0].size > 0")
        == [False] * 2
    )
    for text in ('rates.layers["body.conv9"].size > 0', "rates.layers[99].size > 0"):
        with pytest.raises(GateError, match="not in this audit"):
            outcome(audit, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("effects.of.ci_low < 0", r"at character 1, .*near it are effects\.off\.ci_low"),
        ("0 > effects.off.cilow", r"at character 5, .*effects\.off\.ci_low"),
        ("load.coverag < 1", r"near it are load\.coverage"),
        ("coverage < 1", r"load\.coverage"),
        ("effects.off < 0", "is a group; choose one of value, ci_low"),
        ("effects.off.value.real < 0", "no audit has"),
        ("effects.off.__class__ == 1", "no audit has"),
        ("effects['off'] < 0", "is a group"),
        ("per_episode.on < 0", "is a group"),
        ("zzzz < 0", "there are such as|near it"),
        ("off.verdict == 'LOWERD'", "no verdict; the verdicts are RAISED, LOWERED"),
        ("off.verdict == 3", "no verdict"),
        ("on.value < baseline.on.value", r"needs --baseline"),
        ("baseline < 1", "needs --baseline"),
        ("off.value <", "the end comes"),
    ],
)
def test_a_gate_that_is_wrong_is_refused_before_measuring(text: str, words: str) -> None:
    with pytest.raises(GateError, match=words):
        read_gates([text], None)


def test_every_path_that_is_suggested_is_known() -> None:
    paths = list(known_paths())
    assert {"load.coverage", "effects.off.ci_low", "off.ci_low", "rule.steps"} <= set(paths)
    for path in paths:
        check_path(next(names(parse(f"{path} == null"))))


def write(path: Path, audit: Audit | AuditSet) -> Path:
    path.write_text(audit.to_json(), encoding="utf-8")
    return path


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


def test_a_loss_below_the_smallest_effect_of_interest_passes(tmp_path: Path, audit: Audit) -> None:
    old = write(tmp_path / "audit.json", audit)
    worse = with_bits(audit, 0.05, cells=("adapted_off",)).model_copy(update={"sesoi": 0.1})
    assert all(g.passed for g in read_gates([], old).applied(worse).gates)


def changed(audit: Audit, part: str, **fields: Any) -> Audit:
    return audit.model_copy(update={part: getattr(audit, part).model_copy(update=fields)})


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
