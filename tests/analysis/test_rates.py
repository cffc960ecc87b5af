"""The table of learned rates: what is dead is left out, what counts is weighed by its gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from metaprobe.analysis.rates import rates_table
from metaprobe.models.encoder import Encoder, load_encoder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Two tensors of rates, planted: half of the head's weights negative, its bias all positive."""
    base = load_encoder("meta-sgd-glyphs-s0")
    weight = torch.ones_like(base.head["head.weight"])
    weight[:, ::2] = -0.5
    rates = {"head.weight": weight, "head.bias": torch.full((5,), 0.25)}
    return replace(base, rates=rates, rule=replace(base.rule, adapts="head"))


MOVED = ("head.weight", "head.bias")


def trace(uphill: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """One episode, one step: g·Δ, g², g² uphill, Δ² of both tensors."""
    return np.array([[[[-2.0, 4.0, uphill, 1.0], [-1.0, 4.0, 0.0, 0.25]]]])


def test_shares_and_means_are_of_the_live_rates(encoder: Encoder) -> None:
    reach = np.ones(5 * 32 + 5)
    reach[-5:] = 0.0
    found = rates_table(encoder, MOVED, trace(1.0), reach)
    assert found is not None
    weight, bias = found.layers
    assert (weight.mean, weight.share_negative, weight.dead) == (0.25, 0.5, 0)
    assert (bias.mean, bias.share_negative, bias.dead, bias.size) == (None, None, 5, 5)
    assert bias.g2_weighted_share_negative is None
    assert found.overall.share_negative == 0.5
    assert found.overall.dead == 5


def test_the_weighted_share_is_that_of_the_squared_gradient(encoder: Encoder) -> None:
    found = rates_table(encoder, MOVED, trace(1.0), np.ones(165))
    assert found is not None
    assert found.layers[0].g2_weighted_share_negative == 0.25
    assert found.overall.g2_weighted_share_negative == 1 / 8
    assert found.layers[0].first_order_change == -2.0
    assert found.overall.first_order_change == -3.0
    assert found.layers[0].cosine == pytest.approx(2 / np.sqrt(4 * 1))
    assert found.overall.cosine == pytest.approx(3 / np.sqrt(8 * 1.25))


def test_rounding_is_dead_and_a_small_gradient_is_not(encoder: Encoder) -> None:
    reach = np.ones(165)
    reach[0], reach[1] = 1e-16, 1e-9
    found = rates_table(encoder, MOVED, trace(0.0), reach)
    assert found is not None
    assert found.layers[0].dead == 1


def test_histograms_count_every_live_rate(encoder: Encoder) -> None:
    found = rates_table(encoder, MOVED, trace(0.0), np.ones(165))
    assert found is not None
    for layer in found.layers:
        assert layer.histogram is not None
        assert sum(layer.histogram.counts) == layer.size - layer.dead


def test_an_encoder_without_learned_rates_has_no_table() -> None:
    assert rates_table(load_encoder("maml-glyphs-s0"), MOVED, trace(0.0), np.ones(165)) is None
