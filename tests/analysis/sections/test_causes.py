"""Causes planted in a real encoder, and changes that are resolved and no cause, told apart.

A bias before a norm layer and one after it do the same to features where statistics are fixed.
Given rates of opposite sign that cancel, adaptation moves nothing; without the negative ones the
biases go off. A short way off is a way chosen by the gradient: the signs are what keeps features
in place, and a random movement as long does far less. A very long one leaves nothing of the
features wherever it goes: the change is as sure and as large, and says nothing of the signs.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from metaprobe.analysis.audit import AuditSettings, audit
from metaprobe.analysis.result import Audit
from metaprobe.analysis.sections.values import Line, Section
from metaprobe.models.encoder import Encoder, load_encoder

ASKED = AuditSettings(data="glyphs", split="test", episodes=12, query=6, norm="running")
SIGNS = ("clamp negative", "absolute")


def cancelling(encoder: Encoder, size: float) -> Encoder:
    """Rates that move the two biases of block 4 as far apart as they like, and features nowhere."""
    norm = encoder.body.get_submodule("block4.norm")
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(norm.running_var, torch.Tensor)
    gain = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    rates = {
        n: r.abs() if n.startswith("head.") else torch.zeros_like(r)
        for n, r in encoder.rates.items()
    }
    rates["body.block4.conv.bias"] = torch.full_like(gain, size)
    rates["body.block4.norm.bias"] = -size * gain**2
    return replace(encoder, rates=rates)


def interventions(size: float) -> Section:
    encoder = cancelling(load_encoder("meta-sgd-glyphs-s0"), size)
    found = audit(encoder, ASKED, sections=("interventions",))
    assert isinstance(found, Audit)
    assert abs(found.effects.on.value) < 0.01  # as learned the biases cancel
    return found.sections["interventions"]


def read(section: Section, group: str, label: str) -> Line:
    [line] = [line for line in section.lines if (line.group, line.label) == (group, label)]
    return line


@pytest.mark.slow
def test_a_planted_cause_is_found_and_goes_beyond_a_random_change_as_long() -> None:
    found = interventions(1e3)
    for task in ("on", "off"):
        for name in SIGNS:
            change = read(found, f"rates changed, change {task}-task", name)
            beyond = read(found, f"beyond a random change as large, {task}-task", name)
            assert change.verdict == beyond.verdict == "LOWERED"
            assert (change.value or 0) < -0.3
        assert f"without negative rates {task}-task accuracy changes by −" in (found.cause or "")


@pytest.mark.slow
def test_a_change_that_a_random_one_as_long_makes_too_is_no_cause_however_sure() -> None:
    found = interventions(1e6)
    for task in ("on", "off"):
        for name in SIGNS:
            change = read(found, f"rates changed, change {task}-task", name)
            random = read(found, f"control, change {task}-task", f"random, as far as {name}")
            beyond = read(found, f"beyond a random change as large, {task}-task", name)
            assert change.verdict == random.verdict == "LOWERED"
            assert (change.value or 0) < -0.3
            assert beyond.verdict in ("UNRESOLVED", "NO MATERIAL CHANGE")
    assert found.cause is None
