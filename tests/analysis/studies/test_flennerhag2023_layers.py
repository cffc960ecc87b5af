"""Per-layer rates, bootstrapped against plain: the pairs are pairs, and the rule can come out any way."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from metaprobe.analysis.studies.flennerhag2023.claims_layers import LEAST, judge_learners
from metaprobe.analysis.studies.flennerhag2023.figures import draw_layer_rates
from metaprobe.analysis.studies.flennerhag2023.layer_rates import (
    Trained,
    encoder_parting,
    query_accuracy,
    rates_table,
    seeds_table,
    trained_pairs,
)
from metaprobe.data.datasets import open_dataset
from metaprobe.data.episodes import draw_episodes
from metaprobe.models.checkpoint import Checkpoint, read_checkpoint, shipped
from metaprobe.models.encoder import load_encoder
from metaprobe.models.outer import meta_batch, start
from metaprobe.models.recipe import Recipe, read_recipe
from metaprobe.models.tensors import image_tensor, label_tensor

ROOM = Path(__file__).parents[3] / "checkpoints" / "layer_rates"
LEARNERS = ("lslr", "bmg")


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([2.0, 2.2, 1.8, 2.1, 1.9], "SUPPORTED"),
        ([0.9, 1.2, 0.8, 1.3, 1.1], "NOT SHOWN"),
        ([0.1, -0.1, 0.0, 0.1, -0.1], "REFUTED"),
        ([-5.0, -4.0, -6.0, -5.5, -4.5], "REFUTED"),
    ],
)
def test_an_advantage_counts_from_a_point_on(differences: list[float], verdict: str) -> None:
    assert LEAST == 1.0
    better, faster = judge_learners(differences, [0.2, -0.1, 0.3, 0.1, 0.2])
    assert better.verdict == verdict
    assert better.estimate == pytest.approx(sum(differences) / 5)
    assert faster.verdict == "REFUTED"
    assert better.rule.endswith("≥ 1")
    assert better.published == "not in the paper: ours"
    assert ("the plain meta-gradient did better" in better.note) is (max(differences) < 0)


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_a_few_seeds_decide_nothing(seeds: int) -> None:
    accuracy = [5.0, 5.1, 4.9, 5.0][:seeds]
    for found in judge_learners(accuracy, [-d for d in accuracy]):
        assert found.verdict == "NOT SHOWN"
        assert "Fewer than 5 pairs" in found.note


def test_the_two_recipes_differ_in_the_learner_alone() -> None:
    plain, ahead = (read_recipe(ROOM / f"{learner}.toml", seed=2) for learner in LEARNERS)
    assert plain.model_dump(exclude={"learner", "bootstrap"}) == ahead.model_dump(
        exclude={"learner", "bootstrap"}
    )
    assert (plain.learner, ahead.learner) == LEARNERS
    assert ahead.bootstrap is not None
    assert ahead.bootstrap.steps > 1
    data = open_dataset("glyphs", "train")
    for name, value in start(plain, data).params.items():
        assert torch.equal(value, start(ahead, data).params[name])
    assert torch.equal(meta_batch(plain, data, 7).query, meta_batch(ahead, data, 7).query)


def test_every_encoder_of_a_pair_is_of_its_recipe_and_was_trained_as_long() -> None:
    found = shipped("layer_rates")
    assert set(found) == {f"{how}-glyphs-s{seed}" for how in LEARNERS for seed in range(5)}
    assert not set(found) & set(shipped())
    assert sum(path.stat().st_size for path in found.values()) < 500_000
    made = runpy.run_path(str(ROOM.parents[1] / "docs" / "generate.py"))["pairs_page"]()
    assert (ROOM / "README.md").read_text(encoding="utf-8") == made, "run: make layer-rates"
    for name, path in found.items():
        learner, _, seed = name.partition("-glyphs-s")
        checkpoint = read_checkpoint(path)
        recipe = read_recipe(ROOM / f"{learner}.toml", seed=int(seed))
        assert Recipe.model_validate(checkpoint.metadata["recipe"]) == recipe
        looks = [look[0] for look in checkpoint.metadata["history"]]
        assert looks == [50, 100, 150, 200, 250, 300]
        assert checkpoint.sha256 in made


def test_accuracy_after_adaptation_is_that_of_plain_gradient_steps() -> None:
    encoder = load_encoder(shipped("layer_rates")["bmg-glyphs-s1"])
    data = open_dataset("glyphs", "test")
    tasks = draw_episodes(data, 3, way=5, shot=1, query=4, seed=9).on
    support, query = image_tensor(data, tasks.support), image_tensor(data, tasks.query)
    labels, wanted = label_tensor(3, 5, 1), label_tensor(3, 5, 4)
    body = encoder.body.train()  # normalises by the batch it sees
    shares = []
    for e in range(3):
        now = {n: p.detach() for n, p in {**encoder.params, **encoder.head}.items()}

        def logits(images: torch.Tensor, at: dict[str, torch.Tensor]) -> torch.Tensor:
            own = {n.removeprefix("body."): p for n, p in at.items() if n.startswith("body.")}
            seen = functional_call(body, own, (images,))
            return F.linear(seen, at["head.weight"], at["head.bias"])

        for _ in range(5):
            now = {n: p.requires_grad_() for n, p in now.items()}
            loss = F.cross_entropy(logits(support[e], now), labels[e])
            grads = torch.autograd.grad(loss, list(now.values()))
            now = {
                n: (p - encoder.rates[n] * g).detach()
                for (n, p), g in zip(now.items(), grads, strict=True)
            }
        right = logits(query[e], now).argmax(dim=1) == wanted[e]
        shares.append(float(right.double().mean()))
    assert query_accuracy(encoder, data, tasks).tolist() == pytest.approx(shares, abs=1e-12)
    assert len(set(shares)) > 1


def pair(seed: int, learner: str, accuracy: float, rate: float) -> Trained:
    at, curve = torch.tensor([50.0, 100.0]).numpy(), torch.tensor([40.0, accuracy]).numpy()
    rates = {"body.a.weight": rate, "head.weight": -rate}
    return Trained(learner, seed, accuracy, at, curve, rates, 0.1)


def test_tables_set_the_learners_side_by_side() -> None:
    found = [
        pair(1, "BMG", 60.0, 0.4),
        pair(0, "BMG", 70.0, 0.2),
        pair(0, "LSLR", 80.0, 0.1),
        pair(1, "LSLR", 50.0, 0.3),
    ]
    seeds = seeds_table(found).set_index("seed")
    assert seeds.loc[0].to_dict() == {
        "LSLR, accuracy": 80.0,
        "LSLR, over training": 60.0,
        "BMG, accuracy": 70.0,
        "BMG, over training": 55.0,
    }
    rates = rates_table(found).set_index("tensor")
    assert rates.loc["head.weight", "LSLR"] == pytest.approx(-0.2)
    assert rates.loc["body.a.weight", "BMG, range"] == "0.200 to 0.400"
    left, middle, right = draw_layer_rates(found).axes
    assert [label.get_text() for label in right.get_yticklabels()] == ["a.weight", "head.weight"]
    assert len(middle.lines) == 2
    assert left.get_ylabel() == "query accuracy, %"


def test_the_shipped_pairs_are_measured_on_shared_episodes() -> None:
    found = trained_pairs(4, 3)
    assert sorted((one.learner, one.seed) for one in found) == [
        (how, seed) for how in ("BMG", "LSLR") for seed in range(5)
    ]
    apart = [
        name
        for name in found[0].rates
        if max(one.rates[name] for one in found if one.learner == "LSLR")
        < min(one.rates[name] for one in found if one.learner == "BMG")
    ]
    assert len(apart) >= 3, "the profiles differ by more than seeds do"
    one = found[0]
    data = open_dataset("glyphs", "test")
    tasks = draw_episodes(data, 4, way=5, shot=1, query=15, seed=3).on
    encoder = load_encoder(shipped("layer_rates")[f"{one.learner.lower()}-glyphs-s{one.seed}"])
    assert one.accuracy == 100 * float(query_accuracy(encoder, data, tasks).mean())
    assert one.rates["head.weight"] == float(encoder.rates["head.weight"])
    assert next(iter(one.rates)) == "body.block1.conv.weight"
    dead = [float(encoder.rates[n]) for n in encoder.rates if n not in one.rates]
    assert dead == pytest.approx([0.1] * 4, abs=1e-3), "rates without a gradient stay"
    assert one.curve.max() == pytest.approx(100 * best_of(encoder.checkpoint))


def best_of(checkpoint: Checkpoint | None) -> float:
    assert checkpoint is not None
    return float(checkpoint.metadata["validation"]["accuracy"])


def test_one_step_ahead_is_the_plain_learner_on_an_encoder() -> None:
    assert encoder_parting(2, 1) < 1e-8
