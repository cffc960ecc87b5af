"""Ji 2020 asked of shipped encoders: curvatures against dense Hessians, and a claim that can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from metaprobe.analysis.studies.ji2020.checkpoints import (
    Inner,
    WithOnes,
    blocks,
    group_table,
    head_is_convex_and_layers_are_not,
    head_table,
    inner_loop,
    stored_head,
)
from metaprobe.analysis.studies.ji2020.geometry import softmax_spectrum
from metaprobe.analysis.studies.ji2020.spectrum import Curvature
from metaprobe.data.datasets import open_dataset
from metaprobe.data.episodes import draw_episodes
from metaprobe.models.encoder import load_encoder
from metaprobe.models.forward import logits_of, stack
from metaprobe.models.tensors import image_tensor, label_tensor


@pytest.fixture(scope="module")
def found() -> list[Inner]:
    data = open_dataset("glyphs", "test")
    drawn = draw_episodes(data, 1, query=1, seed=0).on
    supports, labels = image_tensor(data, drawn.support), label_tensor(1, 5, 1)
    return [
        inner_loop(load_encoder(name), supports, labels, seed=0)
        for name in ("maml-glyphs-s0", "nal-glyphs-s0")
    ]


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_spectrum_of_a_softmax_head_is_that_of_the_dense_hessian(l2: float) -> None:
    draw = torch.Generator().manual_seed(0)
    features, head = (torch.randn(s, generator=draw, dtype=torch.float64) for s in ((7, 4), (3, 4)))
    for labels in (torch.arange(7) % 3, torch.zeros(7, dtype=torch.int64)):

        def loss(flat: torch.Tensor, labels: torch.Tensor = labels) -> torch.Tensor:
            w = flat.view(3, 4)
            return cross_entropy(features @ w.T, labels) + l2 / 2 * (w**2).sum()

        at = head.flatten().requires_grad_()
        (slope,) = torch.autograd.grad(loss(at), at, create_graph=True)
        rows = [torch.autograd.grad(each, at, retain_graph=True)[0] for each in slope]
        expected = np.linalg.eigvalsh(torch.stack(rows).numpy())
        assert softmax_spectrum(features, head, l2=l2) == pytest.approx(expected, abs=1e-12)


def test_products_and_the_dense_hessian_agree_on_a_shipped_head(found: list[Inner]) -> None:
    maml = found[0]
    for spectrum, geometry in zip(maml.spectra, maml.geometry, strict=True):
        assert geometry.groups["head"][0].largest == pytest.approx(spectrum[-1], rel=1e-4)
        assert spectrum[-1] <= geometry.head.smoothness, "the bound of the features holds"
        assert np.sum(spectrum > 1e-9 * spectrum[-1]) <= 5 * 4, "five rows, four free logits each"


def test_a_column_of_ones_carries_the_heads_bias() -> None:
    encoder = load_encoder("maml-glyphs-s0")
    images = torch.rand(1, 5, *encoder.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = WithOnes(encoder.body)(images[0])
        logits = features @ stored_head(encoder).T
        expected = logits_of(stack(encoder.head, 1), encoder.body(images[0])[None])[0]
    torch.testing.assert_close(logits, expected)
    assert not stored_head(load_encoder("nal-glyphs-s0")).any(), "its head has other classes"


def test_every_parameter_is_in_one_block_and_everything_holds_all() -> None:
    body = WithOnes(load_encoder("maml-glyphs-s0").body)
    groups = blocks(body)
    names = [name for name, _ in body.named_parameters()]
    assert list(groups) == ["head", "block1", "block2", "block3", "block4", "body", "everything"]
    assert sorted(n for g, each in groups.items() if "block" in g for n in each) == sorted(names)
    assert groups["everything"] == [*names, "head"]


def test_the_rate_of_a_learned_rule_is_the_mean_of_its_rates() -> None:
    encoder = load_encoder("meta-sgd-glyphs-s0")
    data = open_dataset("glyphs", "test")
    supports = image_tensor(data, draw_episodes(data, 1, query=1, seed=0).on.support)
    inner = inner_loop(replace(encoder, rates={}), supports, label_tensor(1, 5, 1), seed=0)
    assert inner.alpha == encoder.rule.lr
    assert inner.moves_head


def test_the_claim_holds_of_what_was_measured_and_fails_with_one_bent_head(
    found: list[Inner],
) -> None:
    claim = head_is_convex_and_layers_are_not(found)
    assert claim.verdict == "SUPPORTED"
    assert claim.estimate == 1
    bent = replace(found[0], spectra=[np.array([-0.1, 0.0, 1.0])])
    assert head_is_convex_and_layers_are_not([bent, found[1]]).verdict == "REFUTED"
    first = found[0].geometry[0]
    flat = {**first.groups, "block2": (Curvature(1.0, 0.1, 9), first.groups["block2"][1])}
    straight = replace(found[0], geometry=[replace(first, groups=flat)])
    assert head_is_convex_and_layers_are_not([straight, found[1]]).verdict == "NOT SHOWN"


def test_tables_show_each_encoder_and_group_once(found: list[Inner]) -> None:
    head, groups = head_table(found), group_table(found)
    assert head["encoder"].tolist() == [inner.name for inner in found]
    assert len(groups) == 2 * 7
    assert head["largest curvature L"][0] == pytest.approx(found[0].spectra[0][-1])
    assert (head["least curvature μ"] == 0).all()
