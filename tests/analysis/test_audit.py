"""An audit from end to end, small: what it says follows from the bits."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from metaprobe.analysis.audit import AuditSettings, audit, audit_each, reading, reread, save_audit
from metaprobe.analysis.report import report_html
from metaprobe.analysis.result import Audit, AuditSet
from metaprobe.analysis.terminal import show
from metaprobe.analysis.wording import conclusion
from metaprobe.data.errors import MetaprobeError
from metaprobe.data.store import Store
from metaprobe.models.encoder import Encoder, load_encoder
from metaprobe.probes.cells import ProbeSettings

SMALL = AuditSettings(data="digits", split="all", episodes=8, query=4)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("meta-sgd-glyphs-s0")


def test_effects_and_verdicts_are_recomputable_from_bits_alone(encoder: Encoder) -> None:
    audits, found = audit_each([encoder], SMALL)
    episodes = found[0].measurement.episodes
    again = reading(found[0].cells["support"], episodes, SMALL)
    assert again.effects == audits[0].effects
    assert again.cells == audits[0].cells


def test_rates_of_zero_change_nothing_at_all(encoder: Encoder) -> None:
    still = replace(encoder, rates={n: torch.zeros_like(r) for n, r in encoder.rates.items()})
    found = audit(still, SMALL)
    assert isinstance(found, Audit)
    for _, effect in found.effects:
        assert (effect.value, effect.ci_low, effect.ci_high, effect.flip_rate) == (0, 0, 0, 0)
        assert effect.verdict == "NO MATERIAL CHANGE"
    assert found.head_accuracy is not None
    assert found.head_accuracy.init == found.head_accuracy.adapted


def test_an_inner_loop_on_the_head_alone_leaves_the_features(encoder: Encoder) -> None:
    rule = replace(encoder.rule, adapts="head")
    rates = {n: r for n, r in encoder.rates.items() if n.startswith("head")}
    found = audit(replace(encoder, rule=rule, rates=rates), SMALL)
    assert isinstance(found, Audit)
    assert found.effects.on.value == found.effects.off.value == 0.0
    assert found.head_accuracy is not None
    assert found.head_accuracy.init != found.head_accuracy.adapted


def test_rates_that_wreck_the_features_are_found_out(encoder: Encoder) -> None:
    wild = {n: torch.full_like(r, 50.0) for n, r in encoder.rates.items()}
    found = audit(replace(encoder, rates=wild), SMALL, data="glyphs", split="test", episodes=24)
    assert isinstance(found, Audit)
    assert found.effects.off.verdict == "LOWERED"


def test_the_norm_mode_is_recorded_and_matters(encoder: Encoder) -> None:
    modes = {m: audit(encoder, SMALL, norm=m) for m in ("batch", "running", "support")}
    assert {m: a.rule.norm for m, a in modes.items() if isinstance(a, Audit)} == {
        m: m for m in modes
    }
    values = {a.cells.init_on.value for a in modes.values() if isinstance(a, Audit)}
    assert len(values) > 1


def test_an_encoder_with_a_wider_head_starts_from_zeros() -> None:
    found = audit("nal-glyphs-s0", SMALL)
    assert isinstance(found, Audit)
    assert found.rule.head == "zeros"
    assert found.head_accuracy is not None
    assert found.head_accuracy.init.value == 0.2  # no opinion: always the first class
    assert found.head_accuracy.adapted.value > 0.3


def test_several_checkpoints_are_contrasted_on_the_same_episodes(tmp_path: Path) -> None:
    found = audit(["maml-glyphs-s0", "anil-glyphs-s0"], SMALL, store=Store(tmp_path / "s"))
    assert isinstance(found, AuditSet)
    assert found.audits[0].episodes == found.audits[1].episodes
    assert len(found.contrasts) == 4
    anil = found.audits[1]
    assert anil.effects.on.value == 0.0
    gap = found.contrasts[0]
    expected = found.audits[0].cells.init_on.value - anil.cells.init_on.value
    assert gap.value == pytest.approx(expected, abs=1e-12)


def test_a_seed_is_another_list_of_episodes(encoder: Encoder) -> None:
    one, other = (audit(encoder, SMALL, seed=s) for s in (0, 1))
    assert isinstance(one, Audit)
    assert isinstance(other, Audit)
    assert one.episodes.sha256 != other.episodes.sha256


def test_results_are_written_whole(encoder: Encoder, tmp_path: Path) -> None:
    found = audit(encoder, SMALL)
    files = save_audit(found, tmp_path / "out")
    assert {"audit.json", "report.html", "phases.png", "rates.svg"} <= {f.name for f in files}
    assert Audit.from_json((tmp_path / "out" / "audit.json").read_text()) == found


def test_no_checkpoint_is_an_error() -> None:
    with pytest.raises(MetaprobeError, match="no checkpoint"):
        audit([])


def test_verdicts_come_back_from_the_bits_of_a_written_audit(encoder: Encoder) -> None:
    found = audit(encoder, SMALL)
    assert isinstance(found, Audit)
    again = reread(Audit.from_json(found.to_json()))
    assert again.effects == found.effects
    assert again.cells == found.cells


def test_the_record_says_what_was_probed_and_where_from(encoder: Encoder) -> None:
    asked = replace(SMALL, probe=ProbeSettings("class-mean"), data="glyphs", split="test")
    found = audit(encoder, asked, off_data="digits")
    assert isinstance(found, Audit)
    assert found.probe.name == "class-mean"
    assert found.off_data is not None
    assert found.off_data.name == "digits"
    assert found.bits is not None
    assert not set(np.ravel(found.bits.classes_on)) & set(np.ravel(found.bits.classes_off))


def test_a_figure_that_does_not_exist_is_answered_with_those_that_do(encoder: Encoder) -> None:
    found = audit(encoder, SMALL)
    with pytest.raises(MetaprobeError, match="'phase'; choose from phases, effects, episodes"):
        found.plot("phase")  # type: ignore[arg-type]


def test_where_another_dataset_is_used_it_is_named_wherever_one_reads(encoder: Encoder) -> None:
    asked = replace(SMALL, data="glyphs", split="test")
    far, near = audit(encoder, asked, off_data="digits"), audit(encoder, asked)
    shown = Console(record=True, width=200, file=StringIO())
    for found, named in ((far, True), (near, False)):
        assert isinstance(found, Audit)
        assert ("tasks from digits" in conclusion(found)) is named
        page = report_html(found)
        assert ("· T′ from digits, " in page) is named
        assert ("<dt>Data of T′</dt><dd>digits, " in page) is named
        show(found, console=shown)
        assert ("; T′ from digits/" in shown.export_text()) is named
        assert (found.other_data is None) is not named


def test_rates_for_another_way_are_refused(encoder: Encoder) -> None:
    with pytest.raises(MetaprobeError, match="for 5 classes"):
        audit(encoder, SMALL, way=3, head="zeros")


def test_tasks_from_two_splits_that_share_classes_are_refused(encoder: Encoder) -> None:
    with pytest.raises(MetaprobeError, match="shares 10 classes"):
        audit(encoder, SMALL, split="train", off_data="digits/test")
