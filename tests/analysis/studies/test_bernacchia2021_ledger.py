"""Bernacchia 2021: verdicts come from rules, and the ledger is whole."""

from __future__ import annotations

import numpy as np
import pytest

from metaprobe.analysis.studies.bernacchia2021 import (
    run,
)
from metaprobe.analysis.studies.bernacchia2021.claims_accuracy import figure_three, figure_two
from metaprobe.analysis.studies.bernacchia2021.claims_limits import tied_rates
from metaprobe.analysis.studies.bernacchia2021.evidence import (
    Order,
    order_of,
    second_order,
    share_interval,
    sign_test,
    verdict,
)
from metaprobe.analysis.studies.bernacchia2021.run import figure_2, figure_3
from metaprobe.analysis.studies.study import Settings, Study


def test_tied_rates_are_not_alpha_train() -> None:
    finding = tied_rates(Settings(quick=True))
    table = finding.tables["tied rates"]
    assert (table["best tied rate"] > 0).all()
    assert (table["best alpha_train, alpha_test fixed"] < 0).all()
    (claim,) = finding.claims
    assert claim.id == "L1"
    assert "does not contradict" in claim.note


def test_a_planted_sign_is_found_and_its_absence_is_not() -> None:
    rng = np.random.default_rng(4)
    rates = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    common = rng.standard_normal((60, 1))
    noise = 0.1 * rng.standard_normal((60, 5))
    falling = sign_test(rates, common + noise + np.array([0.0, 0.0, 1.0, 1.0, 1.0]))
    assert falling.negative_wins
    assert not falling.negative_loses
    assert falling.gain == pytest.approx(1.0, abs=0.2)
    rising = sign_test(rates, common + noise + np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert rising.negative_loses
    flat = sign_test(rates, common + noise)
    assert not flat.negative_wins
    assert not flat.negative_loses


def test_an_order_is_supported_refuted_or_left_open_by_its_interval() -> None:
    exact = order_of((4.0, 0.001), (1.0, 0.001), growth=2.0)
    assert exact.value == pytest.approx(2.0)
    assert second_order([exact]) == "SUPPORTED"
    assert second_order([exact, Order(1.0, 0.9, 1.1)]) == "REFUTED"
    assert second_order([exact, Order(2.0, 1.0, 3.0)]) == "NOT SHOWN"
    assert second_order([order_of((1.0, 0.1), (-1.0, 0.1), growth=2.0)]) == "NOT SHOWN"
    assert order_of((27.0, 0.0), (1.0, 0.0), growth=3.0).value == pytest.approx(3.0)
    low, high = share_interval(30, 30)
    assert 0.88 < low < 0.89
    assert high == 1.0
    with pytest.raises(AssertionError):
        verdict(supported=True, refuted=True)


def test_a_wrong_curve_refutes_the_figure_claims() -> None:
    table = figure_2(Settings(quick=True))
    assert figure_two(table).verdict == "SUPPORTED"
    assert figure_two(table.assign(leading=table["leading"] + 0.003)).verdict == "REFUTED"
    assert figure_two(table.assign(simulated=table["simulated"] + 0.01)).verdict == "REFUTED"


IDS = [f"C-A{place}" for place in range(1, 13)] + ["FIG3", "L1", "L2", "L3"]


@pytest.fixture(scope="module")
def quick() -> Study:
    return run(Settings(quick=True))


def test_the_ledger_holds_every_claim_with_a_rule_and_a_verdict(quick: Study) -> None:
    assert [claim.id for claim in quick.claims] == IDS
    for claim in quick.claims:
        assert claim.statement.endswith(".")
        assert "SUPPORTED" in claim.rule
        assert "REFUTED" in claim.rule
        assert claim.measured
        assert (claim.published is None) == (
            claim.published_status in ("derived", "not obtainable")
        ) or (claim.published_status == "secondary")


def test_quick_verdicts_are_never_the_opposite_of_the_full_ones(quick: Study) -> None:
    for claim in quick.claims:
        assert (
            claim.verdict in {"SUPPORTED", "NOT SHOWN"}
            if claim.id != "L3"
            else {"REFUTED", "NOT SHOWN"}
        )


def test_the_anomaly_of_the_caption_is_stated(quick: Study) -> None:
    claim = next(claim for claim in quick.claims if claim.id == "FIG3")
    assert "0.2" in claim.statement
    assert "0.2 of its caption" in quick.captions["figure-3"]
    assert "0.0390" in claim.measured


def test_every_figure_has_a_caption_and_can_be_drawn(quick: Study) -> None:
    assert set(quick.figures) == set(quick.captions) == {"figure-2", "figure-3", "signs", "limits"}
    for figure in quick.figures.values():
        figure.canvas.draw()
        assert all(ax.get_ylabel() for ax in figure.axes)


def test_the_page_can_be_read_without_the_paper(quick: Study) -> None:
    assert quick.question.endswith("?")
    assert "negative" in quick.answer.lower()
    assert "L1" in quick.meaning
    assert all(len(table) for table in quick.tables.values())


@pytest.mark.slow
def test_the_full_run_supports_every_claim_but_the_network() -> None:
    study = run(Settings())
    verdicts = {claim.id: claim.verdict for claim in study.claims}
    assert verdicts.pop("L3") != "SUPPORTED"
    assert set(verdicts.values()) == {"SUPPORTED"}


@pytest.mark.slow
def test_figure_three_is_reproduced_with_all_its_runs() -> None:
    assert figure_three(figure_3(Settings())).verdict == "SUPPORTED"
