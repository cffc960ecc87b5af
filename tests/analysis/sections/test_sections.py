"""Sections tell planted causes, layers and standstills apart, and repeat without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metaprobe.analysis.audit import AuditSettings, audit, audit_each
from metaprobe.analysis.report import report_html
from metaprobe.analysis.result import Audit
from metaprobe.analysis.sections.context import SECTIONS, Context, run_sections
from metaprobe.analysis.sections.directions import run as directions
from metaprobe.analysis.sections.distance import run as distance
from metaprobe.analysis.sections.interventions import cause_sentence
from metaprobe.analysis.sections.layers import ORDERS, REORDERED, p_value
from metaprobe.analysis.sections.parts import variants_of
from metaprobe.analysis.sections.values import Section, effect_line
from metaprobe.data.errors import MetaprobeError
from metaprobe.data.store import Store
from metaprobe.models.encoder import Encoder, load_encoder
from metaprobe.models.layers import EMBEDDING, UnknownLayer
from metaprobe.probes.measurement import BLOCK

from ..sample_audit import with_verdicts

SMALL = AuditSettings(data="digits", split="all", episodes=6, query=4)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("meta-sgd-glyphs-s0")


def changed(encoder: Encoder, rate: Callable[[str, torch.Tensor], torch.Tensor]) -> Encoder:
    return replace(encoder, rates={n: rate(n, r) for n, r in encoder.rates.items()})


def sections(encoder: Encoder, *names: str, asked: AuditSettings = SMALL) -> dict[str, Section]:
    found = audit(encoder, asked, sections=names)
    assert isinstance(found, Audit)
    return found.sections


@pytest.mark.slow
def test_an_encoder_whose_rates_are_zero_gives_exactly_zero_everywhere(encoder: Encoder) -> None:
    still = changed(encoder, lambda _, r: torch.zeros_like(r))
    found = sections(still, "layers", "steps", "interventions", "wandering", "directions")
    effects = [line for s in found.values() for line in s.lines if line.verdict is not None]
    assert len(effects) > 100
    for line in effects:
        if "control" not in line.group:
            assert (line.value, line.ci_low, line.ci_high) == (0, 0, 0), line
    change = [line.value for line in found["layers"].lines if line.group == "relative change"]
    assert change == [0.0] * 5
    assert "no layer" in found["layers"].finding
    assert found["interventions"].cause is None
    assert "cannot fall, universal or not" in found["wandering"].finding
    assert found["directions"].lines == ()


def test_the_layer_that_moves_is_the_one_reported(encoder: Encoder) -> None:
    last = changed(encoder, lambda n, r: r if "block4" in n else torch.zeros_like(r))
    found = sections(last, "layers")["layers"]
    change = {line.label: line.value for line in found.lines if line.group == "relative change"}
    assert [change[f"block{i}:avg"] for i in (1, 2, 3)] == [0, 0, 0]
    assert (change["block4:avg"] or 0) > 0.01
    assert "most in block4" in found.finding
    assert any(line.p is not None for line in found.lines)
    assert f"first {SMALL.episodes} episodes" in " ".join(found.notes)
    alike = {line.label: line.value for line in found.lines if line.group == "debiased CKA"}
    assert alike["block1:avg"] == pytest.approx(1)


@pytest.mark.slow
def test_a_planted_harmful_sign_is_named_as_a_cause(encoder: Encoder) -> None:
    harmful = changed(encoder, lambda _, r: -4 * r.abs())
    asked = replace(SMALL, data="glyphs", split="test", episodes=12)
    found = sections(harmful, "interventions", asked=asked)
    cause = found["interventions"].cause
    assert cause is not None
    assert "without negative rates on-task accuracy changes by +" in cause
    assert "The negative rates of this checkpoint cause" in report_html(audit_of(harmful, found))


def test_a_change_no_larger_than_a_random_one_is_no_cause() -> None:
    """Contrasts that are resolved beyond doubt, and a control that does as much or more."""
    up, down, none = (
        with_verdicts(v, v, "UNRESOLVED") for v in ("RAISED", "LOWERED", "UNRESOLVED")
    )
    sure = {t: getattr(up, t).model_copy(update={"p_sign_flip": 1e-6}) for t in ("on", "off")}
    contrasts = {"clamp negative": up.model_copy(update=sure)}
    for control in (none, down):
        assert cause_sentence(contrasts, {"clamp negative": control}) is None
    assert "on-task" in (cause_sentence(contrasts, {"clamp negative": up}) or "")


def audit_of(encoder: Encoder, found: dict[str, Section]) -> Audit:
    base = audit(encoder, SMALL)
    assert isinstance(base, Audit)
    return base.model_copy(update={"sections": found})


@pytest.mark.slow
def test_without_a_negative_rate_no_cause_is_named(encoder: Encoder) -> None:
    positive = changed(encoder, lambda _, r: r.abs())
    found = sections(positive, "interventions")["interventions"]
    assert found.cause is None
    unchanged = [line for line in found.lines if line.label in ("clamp negative", "absolute")]
    assert len(unchanged) == 8  # the contrasts, and what they do beyond a random change
    assert all((line.value, line.ci_low, line.ci_high) == (0, 0, 0) for line in unchanged)


def test_each_layer_has_its_correlations_with_the_effects(encoder: Encoder) -> None:
    lines = sections(encoder, "directions")["directions"].lines
    found = [line for line in lines if line.group.startswith("correlation with effects · ")]
    assert {line.group.partition(" · ")[2] for line in found} == {
        *(f"block{i}" for i in (1, 2, 3, 4)), "head", "all layers"
    }  # fmt: skip
    for line in found:
        if line.value is not None:
            assert line.n == SMALL.episodes
            assert (line.ci_low or 0) <= line.value <= (line.ci_high or 0)


def test_a_correlation_is_named_only_where_it_survives_that_six_were_asked(
    encoder: Encoder,
) -> None:
    _, [found] = audit_each([encoder], SMALL)
    assert found.trace is not None
    cells, draw = found.cells["support"], np.random.default_rng(5)
    bits = np.zeros((40, 100), dtype=bool)
    for e in range(40):  # episode e has 40 + e queries right after, 40 before, of T; T′ stands
        bits[e, : 40 + e] = True
    cells = {n: np.broadcast_to(np.arange(100) < 40, bits.shape) for n in cells}
    cells["adapted_on"] = bits

    def asked(noise: float) -> Section:
        trace = np.ones((40, 1, len(found.measurement.moved), 4))
        trace[..., 2] = 0.5
        along = np.arange(40) + noise * draw.permutation(40)
        trace[..., 0] = -1 - along[:, None, None] / 100
        made = replace(found, cells={"support": cells}, trace=trace)
        return directions(Context(made, SMALL))

    sure = asked(0)
    assert "first-order change goes with the effect on-task (r = −1.00" in sure.finding
    assert "off-task" not in sure.finding
    assert "Holm" in sure.notes[0]
    between = 0
    for noise in range(2, 40):
        weak = asked(noise)
        ps = {
            line.label: line.p
            for line in weak.lines
            if line.group == "correlation with effects · all layers" and line.p is not None
        }
        assert set(ps) == {"first-order change, on-task", "cosine with −g, on-task"}
        low = min(ps.values())
        assert ("goes with" in weak.finding) == (2 * low < 0.05)
        between += low < 0.05 <= 2 * low  # seen alone, and not among the two that can be asked
    assert between


def test_a_scalar_rate_is_multiplied_and_has_no_signs_to_change() -> None:
    found = sections(load_encoder("maml-glyphs-s0"), "interventions", "parts", "directions")
    groups = {line.group for line in found["interventions"].lines}
    assert not any("changed" in group for group in groups)
    assert any("no learned rates" in note for note in found["interventions"].notes)
    zero = [line for line in found["interventions"].lines if line.label == "0"]
    assert [line.value for line in zero] == [0, 0]


@pytest.mark.slow
def test_a_last_block_of_one_episode_has_a_third_task_too() -> None:
    asked = replace(SMALL, episodes=BLOCK + 1, query=1)
    found = sections(load_encoder("maml-glyphs-s0"), "interventions", asked=asked)
    lines = [line for line in found["interventions"].lines if line.label == "third task"]
    assert [line.n for line in lines] == [BLOCK + 1] * len(lines)
    assert lines


def test_a_head_that_moves_alone_leaves_every_feature(encoder: Encoder) -> None:
    lines = sections(encoder, "parts")["parts"].lines
    for name in ("head only", "blocks 1–4 still"):
        assert [line.value for line in lines if line.label == name] == [0, 0]
    trained = [line.value for line in lines if line.label == "as trained"]
    assert any(trained)


def test_a_body_that_cannot_move_says_nothing_of_wandering() -> None:
    still, moving = (load_encoder(f"{name}-glyphs-s0") for name in ("anil", "maml"))
    asked = replace(SMALL, episodes=3)
    words = [sections(e, "wandering", asked=asked)["wandering"].finding for e in (still, moving)]
    assert ["cannot fall" in said for said in words] == [True, False]


def test_a_body_that_moves_alone_under_a_head_of_zeros_starts_from_class_means(
    encoder: Encoder,
) -> None:
    heads = {}
    for head in ("stored", "zeros"):
        asked = replace(SMALL, shot=3, head=head)
        _, found = audit_each([encoder], asked)
        variants = variants_of(Context(found[0], asked).few)
        heads[head] = {name: one.head for name, one in variants.items()}
        section = run_sections(Context(found[0], asked), ["parts"])["parts"]
        assert any("class means" in note for note in section.notes) == (head == "zeros")
        body = [n.value for n in section.lines if n.label == "body only, head still"]
        assert any(body)  # it has a gradient, and moves
    assert set(heads["stored"].values()) == {"stored"}
    assert heads["zeros"].pop("body only, head still") == "class-means"
    assert set(heads["zeros"].values()) == {"zeros"}


def test_a_curve_is_hollow_where_its_effect_is_unresolved() -> None:
    verdicts = ("NO MATERIAL CHANGE", "UNRESOLVED", "RAISED", "UNRESOLVED")
    effects = [with_verdicts(v, v, "UNRESOLVED").on for v in verdicts]  # type: ignore[arg-type]
    lines = [effect_line("on-task", str(x), e, x=float(x)) for x, e in enumerate(effects)]
    shown = Section(title="", question="", finding="", episodes=6, lines=tuple(lines)).plot()
    [axis] = shown.axes
    hollow = {
        x: line.get_markerfacecolor() == "white"
        for line in axis.lines
        if line.get_marker() != "None"
        for x in np.atleast_1d(line.get_xdata())
    }
    assert hollow == {x: v == "UNRESOLVED" for x, v in enumerate(verdicts)}


def test_one_trajectory_gives_the_cells_of_the_audit(encoder: Encoder) -> None:
    _, found = audit_each([encoder], SMALL)
    context = Context(found[0], SMALL)
    bits = context.trajectory["bits"]
    for t, task in enumerate(("on", "off")):
        for moment, step in (("init", 0), ("adapted", encoder.rule.steps)):
            wanted = found[0].cells["support"][f"{moment}_{task}"]  # type: ignore[index]
            assert np.array_equal(bits[:, step, -1, t].astype(bool), wanted)


@pytest.mark.slow
def test_near_tasks_are_near(encoder: Encoder) -> None:
    _, found = audit_each([encoder], replace(SMALL, data="glyphs", split="test"))
    far = {line.label: line.x or 0 for line in distance(Context(found[0], SMALL)).lines}
    assert far["same classes, new images"] == pytest.approx(0, abs=1e-6)
    assert far["same classes, new images"] < far["2 of 5 classes shared"] < far["classes apart"]
    assert set(far) > {"other scripts", "other families", "another dataset"}


def test_runs_agree_with_themselves_and_one_run_cannot_tell(encoder: Encoder) -> None:
    assert "cannot tell" in sections(encoder, "reliability")["reliability"].finding
    _, found = audit_each([encoder], SMALL)
    peers = [encoder, replace(encoder, name="again"), replace(encoder, name="and again")]
    same = run_sections(Context(found[0], SMALL, peers=peers), ["reliability"])["reliability"]
    sizes, chances = [], []
    for rate in encoder.rates.values():
        share = float((rate < 0).double().mean())
        if rate.numel() > 1:
            sizes.append(rate.numel())
            chances.append(share**2 + (1 - share) ** 2)
    assert same.lines[-1].value == pytest.approx(1 - np.average(chances, weights=sizes))
    assert "more than" in same.finding


def test_runs_of_one_start_are_told_from_runs_of_others(encoder: Encoder) -> None:
    _, found = audit_each([encoder], SMALL)
    others = [load_encoder(n) for n in ("meta-sgd-init0-glyphs-s1", "meta-sgd-glyphs-s1")]
    context = Context(found[0], SMALL, peers=[encoder, *others])
    told = run_sections(context, ["reliability"])["reliability"]
    assert "one start (1 pair)" in told.finding
    assert "other starts (2 pairs)" in told.finding


@pytest.mark.slow
def test_a_full_audit_repeats_without_a_forward_pass_and_reads_back(
    encoder: Encoder, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    asked = replace(SMALL, sections=tuple(SECTIONS), layers=("block2", EMBEDDING))
    first, again = (audit(encoder, asked, store=store) for _ in range(2))
    assert isinstance(first, Audit)
    assert isinstance(again, Audit)
    assert (first.run.forward_passes or 0) > 0
    assert again.run.forward_passes == 0
    assert again.sections == first.sections
    assert tuple(first.sections) == tuple(SECTIONS)
    assert Audit.from_json(first.to_json()) == first
    assert first.layers[EMBEDDING].cells == first.cells
    assert first.layers["block2:avg"].cells != first.cells
    page = report_html(first)
    for name, section in first.sections.items():
        assert f'<section id="why-{name}"' in page
        assert section.finding
    assert page.count("<figure") == 4 + sum(bool(s.lines) for s in first.sections.values())


def test_an_unknown_section_or_layer_is_refused(encoder: Encoder) -> None:
    with pytest.raises(MetaprobeError, match="section 'layrs' is unknown; choose layers"):
        audit(encoder, SMALL, sections=("layrs",))
    with pytest.raises(UnknownLayer, match="near it are"):
        audit(encoder, SMALL, layers=("blok1",))


@pytest.mark.parametrize("name", list(REORDERED))
def test_features_kept_beat_every_order_and_unrelated_ones_are_one_among_many(name: str) -> None:
    draw = np.random.default_rng(0)
    before, unrelated = draw.standard_normal((2, 6, 30, 8))
    kept = before + 0.3 * draw.standard_normal(before.shape)
    assert p_value(name, before, kept) == pytest.approx(1 / (ORDERS + 1))
    assert 0.05 < (p_value(name, before, unrelated) or 0) <= 1
    assert p_value(name, before, before) == pytest.approx(1 / (ORDERS + 1))
