"""Interventions change one respect of the rates and leave the others."""

from __future__ import annotations

import pytest
import torch

from metaprobe.analysis.interventions import (
    INTERVENTIONS,
    absolute,
    intervene,
    layer_mean,
    multiplied,
    restricted,
    shuffled,
    without_negative,
    without_positive,
    zeroed,
)
from metaprobe.data.errors import MetaprobeError
from metaprobe.models.encoder import load_encoder

RATES = {"body.a": torch.tensor([[-2.0, 1.0], [3.0, -4.0]]), "head.weight": torch.tensor([0.5])}


def test_clamping_splits_the_rates_into_two_parts() -> None:
    up, down = without_negative(RATES), without_positive(RATES)
    for name, rate in RATES.items():
        assert torch.equal(up[name] + down[name], rate)
        assert (up[name] >= 0).all()
        assert (down[name] <= 0).all()


def test_sizes_survive_what_changes_only_signs() -> None:
    for change in (absolute, multiplied(-1.0)):
        for name, rate in change(RATES).items():
            assert torch.equal(rate.abs(), RATES[name].abs())


def test_shuffling_keeps_each_tensors_values_and_depends_on_the_seed_alone() -> None:
    first, again = shuffled(3)(RATES), shuffled(3)(dict(reversed(RATES.items())))
    for name, rate in RATES.items():
        assert torch.equal(first[name].flatten().sort()[0], rate.flatten().sort()[0])
        assert torch.equal(first[name], again[name])


def test_the_layer_mean_keeps_the_mean_and_nothing_else() -> None:
    assert torch.equal(layer_mean(RATES)["body.a"], torch.full((2, 2), -0.5))


def test_zeroing_a_part_leaves_the_rest() -> None:
    found = zeroed("body.")(RATES)
    assert not found["body.a"].any()
    assert torch.equal(found["head.weight"], RATES["head.weight"])


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_an_intervened_encoder_keys_itself_apart_and_shares_its_body(name: str) -> None:
    encoder = load_encoder("meta-sgd-glyphs-s0")
    other = intervene(encoder, INTERVENTIONS[name], name)
    assert other.weights_digest == encoder.weights_digest
    assert other.rule_digest != encoder.rule_digest


def test_an_encoder_without_learned_rates_is_refused() -> None:
    with pytest.raises(MetaprobeError, match="no learned rates"):
        intervene(load_encoder("maml-glyphs-s0"), absolute, "absolute")


def test_a_restricted_loop_keeps_the_rates_of_what_may_still_move() -> None:
    encoder = load_encoder("meta-sgd-glyphs-s0")
    assert set(restricted(encoder, "head").rates) == {"head.weight", "head.bias"}
    assert all(n.startswith("body.") for n in restricted(encoder, "body").rates)
