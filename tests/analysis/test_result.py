"""The audit as a value: what it holds, what it refuses, and that JSON loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from metaprobe.analysis.audit_parts import Interval, Share
from metaprobe.analysis.provenance import Run
from metaprobe.analysis.result import Audit, AuditSet, as_set, schema_text
from metaprobe.data.errors import DataError

from .sample_audit import SESOI, make_audit, make_set, planted

AUDIT = make_audit(episodes=40)

CONTRACT = {
    "schema": None,
    "created": None,
    "version": None,
    "checkpoint": "path sha256 format architecture embedding_dim head load_report strip_report",
    "data": "name fingerprint split classes images",
    "episodes": "n way shot query seed sha256",
    "rule": "name steps adapts norm",
    "cells": "init_on adapted_on init_off adapted_off",
    "phases": "meta_init on_task off_task",
    "effects": "on off interaction",
    "floors": "untrained pixels shuffled_labels",
    "rates": "layers",
    "environment": "python torch faiss device threads git",
}

EFFECT_KEYS = {"value", "ci_low", "ci_high", "ci_method", "n", "flip_rate", "verdict"}


def changed(audit: Audit, path: str, value: Any) -> dict[str, Any]:
    """The audit's JSON with one entry replaced."""
    plain = json.loads(audit.to_json())
    *parents, last = path.split(".")
    node = plain
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[last] = value
    return dict(plain)


def test_json_returns_the_same_audit_and_the_same_text() -> None:
    text = AUDIT.to_json()
    assert Audit.from_json(text) == AUDIT
    assert Audit.from_json(text).to_json() == text


def test_json_returns_the_same_set_and_the_same_text() -> None:
    audits = make_set(3, episodes=30)
    assert AuditSet.from_json(audits.to_json()) == audits
    assert AuditSet.from_json(audits.to_json().encode()).to_json() == audits.to_json()


def test_every_key_of_the_contract_is_there() -> None:
    plain = json.loads(AUDIT.to_json())
    for key, inner in CONTRACT.items():
        assert key in plain
        assert inner is None or set(inner.split()) <= set(plain[key])
    assert plain["schema"] == "metaprobe.audit/1"
    for effect in plain["effects"].values():
        assert set(effect) >= EFFECT_KEYS
    assert set(json.loads(as_set(AUDIT).to_json())) == {"schema", "audits", "contrasts", "gates"}


def test_json_rounds_nothing() -> None:
    plain = json.loads(AUDIT.to_json())
    assert plain["effects"]["on"]["value"] == AUDIT.effects.on.value
    assert tuple(plain["per_episode"]["off"]) == AUDIT.per_episode.off


@given(
    st.dictionaries(
        st.text(), st.text() | st.lists(st.integers() | st.floats(allow_nan=False)), max_size=4
    )
)
def test_any_report_of_a_checkpoint_survives_json(report: dict[str, Any]) -> None:
    checkpoint = AUDIT.checkpoint.model_copy(update={"load_report": report})
    audit = AUDIT.model_copy(update={"checkpoint": checkpoint})
    if any(float("inf") in map(abs, v) for v in report.values() if isinstance(v, list)):
        with pytest.raises(ValueError, match="JSON compliant"):
            audit.to_json()
    else:
        assert Audit.from_json(audit.to_json()).checkpoint.load_report == report


def test_text_that_looks_like_a_list_of_numbers_stays_text() -> None:
    note = "[\n  1,\n  2\n]"
    checkpoint = AUDIT.checkpoint.model_copy(update={"strip_report": {"note": note}})
    audit = AUDIT.model_copy(update={"checkpoint": checkpoint})
    assert json.loads(audit.to_json())["checkpoint"]["strip_report"]["note"] == note


def test_two_runs_of_one_command_differ_only_where_they_may() -> None:
    other = AUDIT.model_copy(update={"run": Run(wall_seconds=1.0, cached_entries=99)})
    here, there = json.loads(AUDIT.to_json()), json.loads(other.to_json())
    assert {key for key in here if here[key] != there[key]} == {"run"}


def test_the_schema_in_the_docs_is_the_schema_of_the_code() -> None:
    path = Path(__file__).parents[2] / "docs" / "audit.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), (
        "docs/audit.schema.json is stale; write it again with python -c 'from metaprobe.analysis."
        'result import schema_text; print(schema_text(), end="")\''
    )


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Share(value=float("nan"), ci_low=0, ci_high=1, n=1)
    with pytest.raises(DataError):
        Audit.from_json(AUDIT.to_json().replace('"sesoi": 0.0025', '"sesoi": NaN'))


def test_an_interval_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="lies above"):
        Interval(value=0.5, ci_low=0.6, ci_high=0.4)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("extra", 1, "Extra inputs"),
        ("schema", "metaprobe.audit/2", "metaprobe.audit/1"),
        ("cells.init_on.value", 1.2, "less than or equal to 1"),
        ("cells.init_on.value", 0.1, "phases must be the cells"),
        ("effects.off.value", 0.2, "the cells differ by"),
        ("per_episode.on", [0.0], "has 1 entries, not 40"),
        ("per_episode.on", [0.5] * 40, "averages 0.5"),
        ("effects.on.verdict", "SPLENDID", "RAISED"),
        ("rates.layers.0.histogram.counts", [1], "need 2 edges"),
        ("created", "2026-03-01T12:00:00", "timezone"),
    ],
)
def test_an_audit_that_contradicts_itself_is_refused(path: str, value: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as error:
        Audit.from_json(json.dumps(changed(AUDIT, path, value)))
    assert error.value.code == "audit-schema"


def test_a_verdict_its_interval_does_not_carry_is_refused() -> None:
    raised = planted("RAISED").model_dump()
    with pytest.raises(ValidationError, match="ci_low above 0"):
        type(planted("RAISED"))(**{**raised, "ci_low": -0.001})
    with pytest.raises(ValidationError, match="ci_high below 0"):
        type(planted("RAISED"))(**{**raised, "verdict": "LOWERED"})


def test_a_plain_hyphen_in_a_verdict_is_understood() -> None:
    trace = planted("TRACE−").model_dump()
    assert type(planted("RAISED"))(**{**trace, "verdict": "TRACE-"}).verdict == "TRACE−"


def test_an_audit_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(AUDIT, "sesoi", 0.1)  # noqa: B010


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        AuditSet(audits=())


def test_the_table_is_tidy_and_holds_every_headline_number() -> None:
    audits = make_set(2, episodes=30)
    table = audits.table()
    columns = ["checkpoint", "quantity", "value", "ci_low", "ci_high", "n", "verdict"]
    assert list(table.columns) == columns
    assert not table.duplicated(["checkpoint", "quantity"]).any()
    one = table.set_index(["checkpoint", "quantity"])
    effect = audits.audits[1].effects.off
    assert one.loc[("maml", "effects.off"), "value"] == effect.value
    assert one.loc[("maml", "effects.off"), "verdict"] == effect.verdict
    assert one.loc[("meta-sgd", "floors.pixels"), "value"] == 0.391
    assert len(table) == 2 * (3 + 4 + 3 + 3 + 2)


def test_equal_names_are_numbered_and_unprintable_ones_made_harmless() -> None:
    names = ("a", "a", "b\x1b[31m\n")
    audits = tuple(make_audit(name, episodes=20, rates=False) for name in names)
    assert AuditSet(audits=audits).labels == ("a (1)", "a (2)", "b\ufffd[31m\ufffd")


def test_the_planted_effect_is_found() -> None:
    audit = make_audit(on=0.02, off=-0.02, episodes=600, rates=False)
    assert audit.sesoi == SESOI
    assert audit.effects.on.verdict == "RAISED"
    assert audit.effects.off.verdict == "LOWERED"
    assert audit.effects.on.ci_low < 0.02 < audit.effects.on.ci_high


def test_a_notebook_sees_tables_and_a_figure() -> None:
    assert "<table" in AUDIT._repr_html_()
    assert AUDIT.plot("effects").axes
    assert AUDIT.table().equals(as_set(AUDIT).table())


def test_reading_an_audit_loads_no_plotting_library() -> None:
    code = (
        "import sys, metaprobe.analysis.result;"
        "print([m for m in ('matplotlib', 'seaborn', 'jinja2', 'rich') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
