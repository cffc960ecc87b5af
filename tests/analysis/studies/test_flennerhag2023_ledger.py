"""The ledger of optimistic meta-gradients: verdicts come from rules, and no claim is missing."""

import math

import pytest

from metaprobe.analysis.studies import flennerhag2023
from metaprobe.analysis.studies.flennerhag2023.ledger import (
    Check,
    between,
    claim,
    judge,
    mean_interval,
    share_interval,
)
from metaprobe.analysis.studies.flennerhag2023.page import ANSWER, answer
from metaprobe.analysis.studies.study import Claim, Settings

# The ledger


def test_verdicts_come_from_bands_and_intervals() -> None:
    inside = Check("a", 0.5, 0, 1, (0.4, 0.6))
    across = Check("b", 0.9, 0, 1, (0.8, 1.2))
    outside = Check("c", 2.0, 0, 1, (1.5, 2.5))
    assert [c.verdict for c in (inside, across, outside)] == ["SUPPORTED", "NOT SHOWN", "REFUTED"]
    assert judge([inside, across]) == "NOT SHOWN"
    assert judge([inside, across, outside]) == "REFUTED"
    assert judge([Check("d", math.nan)]) == "NOT SHOWN"
    made = claim("X", "s", [between("e", [1.0, 1.1, 0.9], 0.5, 1.5)])
    assert made.verdict == "SUPPORTED"
    assert made.interval == mean_interval([1.0, 1.1, 0.9])
    assert made.rule == "e in [0.5, 1.5]"


def test_intervals_are_the_textbook_ones() -> None:
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    assert share_interval(0, 150) == pytest.approx((0, 1 - 0.025 ** (1 / 150)))
    assert share_interval(8, 8) == pytest.approx((0.025 ** (1 / 8), 1))


def test_the_answer_says_only_what_was_supported() -> None:
    def with_verdict(name: str, low: float) -> Claim:
        return claim(name, "s", [between("x", 0.0, low)])

    claims = [with_verdict(name, -1.0) for name, _ in ANSWER if name != "C7"]
    text = answer([*claims, with_verdict("C7", 1.0)])
    found, _, unconfirmed = text.partition(" Not confirmed: ")
    assert "diverge" not in found
    assert unconfirmed.startswith("there is a one-dimensional function")
    assert unconfirmed.endswith("(C7 REFUTED).")


def test_the_face_is_two_names() -> None:
    assert flennerhag2023.__all__ == ["optimise", "run"]


def check_study(quick: bool) -> None:
    study = flennerhag2023.run(Settings(quick=quick))
    ids = [c.id for c in study.claims]
    assert len(set(ids)) == len(ids)
    assert {f"C{i}" for i in range(1, 15)} | {"O1", "O2"} <= set(ids)
    assert set(study.figures) == set(study.captions)
    verdicts = {c.id: c.verdict for c in study.claims}
    exact = [f"C{i}" for i in range(1, 13)] + ["C2b", "C2c", "C2d", "C14c"]
    assert {verdicts[i] for i in exact} == {"SUPPORTED"}
    assert verdicts["C13"] == verdicts["C13b"] == "SUPPORTED"
    assert all(c.measured and c.rule and c.statement and c.source for c in study.claims)
    assert all(table.size for table in study.tables.values())
    assert study.question.endswith("?")


@pytest.mark.slow
def test_the_quick_study_holds_every_claim() -> None:
    check_study(quick=True)


@pytest.mark.slow
def test_the_full_study_holds_every_claim() -> None:
    check_study(quick=False)
