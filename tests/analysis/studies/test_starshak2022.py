"""The ledger of Starshak (2022): the rules decide, also against the paper."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pytest

from metaprobe.analysis.studies import Settings, run_study
from metaprobe.analysis.studies.page import studies_html
from metaprobe.analysis.studies.starshak2022.claims_effects import effect_claim
from metaprobe.analysis.studies.writing import study_json, study_markdown
from metaprobe.data.store import Store


def claim(shift: float, runs: int = 5, expected: str = "RAISED") -> str:
    """The verdict of a claim about 300 episodes a run, of which the mean is planted."""
    rng = np.random.default_rng(0)
    differences = shift + 0.02 * rng.standard_normal((runs, 300))
    found = effect_claim("C5", "statement", "source", None, differences, expected)  # type: ignore[arg-type]
    return found.verdict


def test_a_planted_effect_supports_a_claim_and_its_opposite_refutes_it() -> None:
    assert claim(0.02) == "SUPPORTED"
    assert claim(-0.02) == "REFUTED"
    assert claim(0.0) == "NOT SHOWN"
    assert claim(-0.02, expected="LOWERED") == "SUPPORTED"


def test_fewer_than_five_runs_show_nothing_about_a_method() -> None:
    assert claim(0.02, runs=4) == "NOT SHOWN"


def test_one_run_against_the_others_is_forgiven_two_are_not() -> None:
    rng = np.random.default_rng(1)
    base = 0.002 * rng.standard_normal((6, 300))
    for against, verdict in ((1, "SUPPORTED"), (2, "NOT SHOWN")):
        shifts = np.array([-0.001] * against + [0.02] * (6 - against))
        found = effect_claim("C5", "s", "s", None, base + shifts[:, None], "RAISED")
        assert found.verdict == verdict


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    store = Store(tmp_path_factory.mktemp("store") / "s")
    with pytest.MonkeyPatch.context() as patch:
        study = import_module("metaprobe.analysis.studies.starshak2022.run")
        patch.setattr(study, "QUICK_EPISODES", 12)
        yield run_study("starshak2022", Settings(quick=True), store=store, jobs=2)


def test_the_quick_run_has_every_claim_and_says_nothing_of_methods(quick: object) -> None:
    from metaprobe.analysis.studies import Study

    assert isinstance(quick, Study)
    assert [c.id for c in quick.claims] == [f"C{i}" for i in range(1, 13)]
    assert all(c.verdict == "NOT SHOWN" for c in quick.claims)  # two runs of each learner
    assert study_json(quick)["schema"] == "metaprobe.study/1"
    page = study_markdown(quick)
    assert all(f"**{c.id}**" in page for c in quick.claims)
    html = studies_html([quick])
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<tr>") > 12
