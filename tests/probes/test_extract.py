"""Blocks of episodes: computed once, kept whole, and equal to the plainest computation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from metaprobe.data.datasets import open_dataset
from metaprobe.data.episodes import draw_episodes
from metaprobe.data.store import Store
from metaprobe.models.encoder import load_encoder
from metaprobe.models.norms import with_norm
from metaprobe.models.rules import Rule
from metaprobe.models.tensors import image_tensor
from metaprobe.probes.embed import embed
from metaprobe.probes.extract import compute, extract
from metaprobe.probes.measurement import BLOCK, Measurement


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    data = open_dataset("digits", "all")
    encoder = load_encoder("meta-sgd-glyphs-s0")
    episodes = draw_episodes(data, 6, way=5, shot=1, query=4)
    return Measurement(encoder, data, data, episodes, encoder.rule, "batch", "stored")


def test_features_before_and_after_equal_a_plain_loop(measurement: Measurement) -> None:
    encoder, episodes = measurement.encoder, measurement.episodes
    found = compute(measurement, episodes, ("init", "adapted"))
    body = with_norm(encoder.body, "batch")
    start = {**encoder.params, **encoder.head}
    for e in range(len(episodes)):
        rows = [r[e : e + 1] for r in (episodes.on.support, episodes.on.query, episodes.off.query)]
        support, query, off = (image_tensor(measurement.data, r)[0] for r in rows)
        params = {n: p.clone().requires_grad_() for n, p in start.items()}
        for _ in range(encoder.rule.steps):
            own = {n.removeprefix("body."): p for n, p in params.items() if n.startswith("body.")}
            features = functional_call(body, own, (support,))
            logits = F.linear(features, params["head.weight"], params["head.bias"])
            loss = F.cross_entropy(logits, torch.arange(5))
            grads = torch.autograd.grad(loss, list(params.values()))
            params = {
                n: (p - encoder.rates[n] * g).detach().requires_grad_()
                for (n, p), g in zip(params.items(), grads, strict=True)
            }
        own = {n.removeprefix("body."): p for n, p in params.items() if n.startswith("body.")}
        with torch.no_grad():
            for task, images in (("on", query), ("off", off)):
                for moment, values in (("init", None), ("adapted", own)):
                    plain = functional_call(body, values, (images,)) if values else body(images)
                    got = found[moment].part(task, "query", 5)[e]  # type: ignore[arg-type, index]
                    assert np.abs(got - plain.numpy()).max() < 1e-3 * plain.abs().max()


def test_a_block_is_the_same_alone_and_among_others(measurement: Measurement) -> None:
    data = measurement.data
    episodes = draw_episodes(data, BLOCK + 4, way=5, query=4)
    both = replace(measurement, episodes=episodes)
    first, second = both.blocks
    assert (len(first), len(second)) == (BLOCK, 4)
    alone = replace(measurement, episodes=draw_episodes(data, BLOCK, way=5, query=4))
    assert alone.key(alone.blocks[0], "init") == both.key(first, "init")


def test_the_key_sees_which_third_task_an_episode_has(measurement: Measurement) -> None:
    many = draw_episodes(measurement.data, 2 * BLOCK, way=3, query=4)
    third = replace(measurement, episodes=many, control="third task")
    other = replace(third, episodes=many[:2])
    block = many[:1]
    assert not np.array_equal(third.fitted(many[1:2]), other.fitted(many[1:2]))
    assert third.key(many[1:2], "adapted") != other.key(many[1:2], "adapted")
    assert third.key(block, "init") == other.key(block, "init")
    longer = replace(third, episodes=many[:-1])
    assert np.array_equal(third.fitted(block), longer.fitted(block))
    assert third.key(block, "adapted") == longer.key(block, "adapted")


def test_what_is_stored_is_not_computed_again(measurement: Measurement, tmp_path: Path) -> None:
    store, block = Store(tmp_path / "s"), measurement.episodes
    first, computed = extract(measurement, block, store, ("init", "adapted"))
    again, none = extract(measurement, block, store, ("init", "adapted"))
    assert (computed, none) == (2, 0)
    for moment in ("init", "adapted"):
        assert np.array_equal(first[moment].features, again[moment].features)
        for name, array in first[moment].extras.items():
            assert np.array_equal(array, again[moment].extras[name]), name


def test_the_key_sees_what_matters_and_nothing_else(measurement: Measurement) -> None:
    block = measurement.episodes
    base = {m: measurement.key(block, m) for m in ("init", "adapted")}
    encoder = measurement.encoder
    nudged = {**encoder.head, "head.bias": encoder.head["head.bias"] + 1}
    other_head = replace(measurement, encoder=replace(encoder, head=nudged))
    assert other_head.key(block, "init") == base["init"]
    assert other_head.key(block, "adapted") != base["adapted"]
    renamed = replace(measurement, encoder=replace(encoder, name="another"))
    assert renamed.key(block, "adapted") == base["adapted"]
    for change in (
        {"rule": Rule("meta-sgd", 0.1, 3)},
        {"head": "class-means"},
        {"norm": "support"},
        {"preprocessing": "luma"},
    ):
        assert replace(measurement, **change).key(block, "adapted") != base["adapted"], change
    body = {n: p.clone() for n, p in encoder.body.state_dict().items()}
    body["block1.conv.weight"].view(-1)[0] += 1e-6
    moved = load_encoder("meta-sgd-glyphs-s0")
    moved.body.load_state_dict(body)
    assert replace(measurement, encoder=moved).key(block, "init") != base["init"]


def test_rates_of_biases_before_batch_statistics_are_dead(measurement: Measurement) -> None:
    reach = compute(measurement, measurement.episodes[:4], ("adapted",))["adapted"].extras["reach"]
    sizes = [
        (measurement.encoder.params | measurement.encoder.head)[n].numel()
        for n in measurement.moved
    ]
    parts = dict(zip(measurement.moved, np.split(reach, np.cumsum(sizes)[:-1]), strict=True))
    top = reach.max()
    for name, part in parts.items():
        if name.endswith("conv.bias"):
            assert part.max() < 1e-12 * top
        elif name.startswith("head"):
            assert part.max() > 1e-6 * top


def test_the_trace_adds_up_for_one_fixed_rate(measurement: Measurement) -> None:
    fixed = replace(measurement, encoder=load_encoder("maml-glyphs-s0"), rule=Rule("sgd", 0.1, 2))
    trace = compute(fixed, fixed.episodes[:2], ("adapted",))["adapted"].extras["trace"]
    along, squared, uphill, moved = (trace[..., i] for i in range(4))
    assert np.allclose(along, -0.1 * squared, rtol=1e-4, atol=1e-9)
    assert np.allclose(moved, 0.01 * squared, rtol=1e-3, atol=1e-9)
    assert uphill[squared > 1e-8].max() < 1e-3


def test_a_whole_dataset_is_embedded_once_and_resumed(tmp_path: Path) -> None:
    data, encoder = open_dataset("digits", "test"), load_encoder("maml-glyphs-s0")
    store = Store(tmp_path / "s")
    told: list[int] = []
    rows = embed(encoder, data, store, progress=lambda name, done, whole: told.append(done))
    again = embed(encoder, data, store, progress=lambda name, done, whole: told.append(done))
    assert told == [1]
    assert np.array_equal(rows.features, again.features)
    assert np.array_equal(rows.ids, data.ids)
    one = data.subset(range(10))
    alone = embed(
        encoder, replace(one, images=one.images[:1], labels=one.labels[:1], ids=one.ids[:1]), None
    )
    where = int(np.flatnonzero(data.ids == one.ids[0])[0])
    assert np.abs(alone.features[0] - rows.features[where]).max() < 1e-4
