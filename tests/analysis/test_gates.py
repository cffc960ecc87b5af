"""Gates: planted failures fail, guards pass, and what is wrong is refused before measuring."""

from __future__ import annotations

import math

import pytest

from metaprobe.analysis.expression_parser import parse
from metaprobe.analysis.expressions import names
from metaprobe.analysis.gate_baseline import GateError
from metaprobe.analysis.gate_paths import check_path, known_paths
from metaprobe.analysis.gates import read_gates
from metaprobe.analysis.result import Audit

from .gated import EPISODES, changed, outcome, with_bits
from .sample_audit import make_audit, make_set


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
        ("off.value < 'a'", "a number is needed"),
        ("off.value == 'a'", "a number is compared with text"),
        ("0.5 == off.verdict", "no verdict"),
        ("off.verdict + 1 > 2", r"off\.verdict is text where a number is needed"),
        ("off.verdict < on.verdict", r"off\.verdict is text where a number is needed"),
        ("off.verdict == LOWERED", "quotes: 'LOWERED'"),
        ("gallery == 'suport'", "no gallery; it is one of support, fresh"),
        ("1 < 2", "nothing of the audit"),
        ("on.value < 1 and 'off.value' == 'LOWERED'", "nothing of the audit"),
        ("off.value < 1 / 0", "division by zero"),
        ("off.value / (1 - 1) < 1", "division by zero"),
        ("off.value < 1e308 * 10", "too large"),
        ("created < 3", "no number and no text"),
        ("load.missing != 0", "is a group"),
        ("gates[0].passed == false", "no audit has"),
        ("off.value < -1 %", r"'%' has no meaning here; a percentage point is written 0\.01"),
        ("off.value = 1", "'==' compares"),
        ("off.value < –0.01", "a minus is written -"),
    ],
)
def test_a_gate_that_is_wrong_is_refused_before_measuring(text: str, words: str) -> None:
    with pytest.raises(GateError, match=words):
        read_gates([text], None)


def test_the_schema_goes_by_its_name_in_the_file(audit: Audit) -> None:
    assert outcome(audit, "schema != 'metaprobe.audit/1'") == [True]


def test_a_value_that_is_no_number_is_below_nothing_and_passes_nothing(audit: Audit) -> None:
    broken = changed(audit, "effects", off=audit.effects.off.model_copy(update={"value": math.nan}))
    with pytest.raises(GateError, match=r"off\.value is nan, which is no number"):
        outcome(broken, "off.value < -0.01")


def test_every_path_that_is_suggested_is_known() -> None:
    paths = list(known_paths())
    assert {"load.coverage", "effects.off.ci_low", "off.ci_low", "rule.steps"} <= set(paths)
    for path in paths:
        check_path(next(names(parse(f"{path} == null"))))
