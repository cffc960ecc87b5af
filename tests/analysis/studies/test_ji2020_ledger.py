"""Ji 2020: the ledger and its arithmetic."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from metaprobe.analysis.studies import ji2020
from metaprobe.analysis.studies.ji2020.ledger import estimate, median, verdict
from metaprobe.analysis.studies.ji2020.run import report
from metaprobe.analysis.studies.ji2020.smoothness import Limit, everywhere, typically
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


WEAKER = {3: ["C3b"], 5: ["C5b"], 6: ["C6b"]}
IDS = [id_ for i in range(1, 15) for id_ in [f"C{i}", *WEAKER.get(i, [])]]


def check_study(study: Study) -> None:
    assert [c.id for c in study.claims] == [*IDS, "G1", "W1", "W2"]
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
    assert verdicts["C3"] == "REFUTED", "error/(N q^N) rises on a few of 64 problems"
    assert verdicts["C5"] == verdicts["C6"] == "NOT SHOWN", "not every problem keeps the limits"


def test_a_claim_about_every_problem_fails_with_one_and_its_weaker_form_does_not() -> None:
    kept = np.array([1.0, 1.01, 1.02, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    once, often = kept.copy(), kept + 0.2
    once[4] = 1.3

    def verdicts(values: np.ndarray) -> tuple[str, str]:
        limits = (Limit("N = 80 / N = 40", values, 1.03, above=False),)
        return everywhere(limits), typically(limits)

    assert verdicts(kept) == ("SUPPORTED", "SUPPORTED")
    assert verdicts(once) == ("NOT SHOWN", "SUPPORTED")
    assert verdicts(often) == ("REFUTED", "REFUTED")
    rising = Limit("N = 20 / N = 1", 4 * kept, 3, above=True)
    assert rising.within == 9
    assert rising.typically == "SUPPORTED"
    assert replace(rising, values=kept).typically == "REFUTED"
