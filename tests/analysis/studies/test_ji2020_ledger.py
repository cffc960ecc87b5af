"""Ji 2020: the ledger and its arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from metaprobe.analysis.studies import ji2020
from metaprobe.analysis.studies.ji2020.ledger import estimate, median, verdict
from metaprobe.analysis.studies.ji2020.run import report
from metaprobe.analysis.studies.study import Settings, Study

from .sample_ji2020 import measured


def test_intervals_come_from_repeats_and_hold_their_statistic() -> None:
    values = np.exp(np.random.default_rng(0).standard_normal(40))
    found = estimate(values)
    assert found.low < found.value < found.high
    assert found == estimate(values), "the same seed resamples the same"
    assert estimate(values, median).value == pytest.approx(np.median(values))
    assert estimate(np.full(5, 2.0)).interval == pytest.approx((2.0, 2.0))


def test_verdicts_follow_the_rule() -> None:
    table = {(True, False): "SUPPORTED", (True, True): "SUPPORTED", (False, True): "REFUTED"}
    for supported, refuted in itertools.product((True, False), repeat=2):
        expected = table.get((supported, refuted), "NOT SHOWN")
        assert verdict(supported=supported, refuted=refuted) == expected


def check_study(study: Study) -> None:
    ids = [c.id for c in study.claims]
    assert ids == ["C1", "C2", "C3", "C3b", *(f"C{i}" for i in range(4, 15)), "W1", "W2"]
    for claim in study.claims:
        for word in ("SUPPORTED", "REFUTED"):
            assert word in claim.rule
        assert (claim.published is None) == (claim.published_status == "not obtainable")
        assert claim.measured
        if claim.interval is not None:
            assert claim.estimate is not None
            assert claim.interval[0] <= claim.estimate <= claim.interval[1]
    assert set(study.figures) == set(study.captions)
    assert all(len(table) for table in study.tables.values())


def test_the_ledger_names_every_claim_with_rule_status_and_verdict() -> None:
    check_study(report(measured()))


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False])
def test_the_whole_study_runs_and_its_ledger_is_complete(quick: bool) -> None:
    study = ji2020.run(Settings(quick=quick))
    check_study(study)
    verdicts = {c.id: c.verdict for c in study.claims}
    for exact in ("C1", "C2", "C9", "C13", "C14"):
        assert verdicts[exact] == "SUPPORTED"
    assert verdicts["W1"] == "REFUTED"
