"""Meta-training: its arithmetic against torch's own, and what it writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metaprobe.data.errors import CheckpointError, DataError
from metaprobe.data.images import LabelledImages
from metaprobe.data.synthetic import planted_images
from metaprobe.models import training
from metaprobe.models.backbones import build_backbone
from metaprobe.models.checkpoint import read_checkpoint
from metaprobe.models.encoder import load_encoder
from metaprobe.models.forward import Params, features_of
from metaprobe.models.learners import LEARNERS, meta_loss
from metaprobe.models.norms import calibrate, with_norm
from metaprobe.models.outer import adam, meta_batch, outer_step, start
from metaprobe.models.state import State, learned, under
from metaprobe.models.training import train, validate

from .networks import noise
from .runs import in_float64, tiny_recipe, trained, training_data, validation_data

LEARNER_NAMES = list(LEARNERS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_is_torchs(dtype: torch.dtype) -> None:
    start_at = {"a": noise(3, 4, seed=1).to(dtype), "b": noise(5, seed=2).to(dtype)}
    theirs = {n: nn.Parameter(p.clone()) for n, p in start_at.items()}
    optimiser = torch.optim.Adam(list(theirs.values()), lr=1.0)
    moments = {
        f"{m}.{n}": torch.zeros_like(p) for m in ("first", "second") for n, p in start_at.items()
    }
    own = start_at
    for step in range(30):
        lr = 0.1 / (1 + step)
        grads = {n: (step - 9) * noise(*p.shape, seed=step).to(dtype) for n, p in own.items()}
        own, moments = adam(own, grads, moments, step, lr)
        optimiser.param_groups[0]["lr"] = lr
        for n, p in theirs.items():
            p.grad = grads[n]
        optimiser.step()
    exact = 1e-12 if dtype == torch.float64 else 2e-6
    for n, p in theirs.items():
        torch.testing.assert_close(own[n], p.detach(), rtol=exact, atol=exact)


def test_adam_changes_nothing_in_place() -> None:
    params, grads = {"a": torch.ones(2)}, {"a": torch.ones(2)}
    moments = {"first.a": torch.zeros(2), "second.a": torch.zeros(2)}
    adam(params, grads, moments, 0, 0.1)
    assert params["a"].tolist() == grads["a"].tolist() == [1, 1]
    assert not any(m.any() for m in moments.values())


@pytest.mark.parametrize("learner", [n for n in LEARNER_NAMES if n != "bmg"])
def test_outer_steps_are_those_of_torchs_optimiser(learner: str) -> None:
    """Adam, gradients clipped by value, the rate falling along a cosine to a tenth.

    In float64, where the rounding errors that a dead bias has for slopes are nothing to Adam.
    """
    recipe = tiny_recipe(learner, outer={"clip": 0.05})
    state = in_float64(start(recipe, training_data()))
    # copies, so that neither can train the other
    values = {n: nn.Parameter(v.clone()) for n, v in learned(state.params, state.rates).items()}
    optimiser = torch.optim.Adam(list(values.values()), lr=recipe.outer.lr)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, recipe.outer.steps, eta_min=recipe.outer.lr / 10
    )
    body = build_backbone(recipe.architecture).double()
    features = features_of(with_norm(body, "batch"), "loop")
    for step in range(recipe.outer.steps):
        state, loss = outer_step(recipe, training_data(), state)
        optimiser.zero_grad()
        now: Params = {**values}
        params, rates = under("params.", now), under("rates.", now)
        batch = meta_batch(recipe, training_data(), step, torch.float64)
        theirs = meta_loss(recipe.how, features, "batch", params, recipe.rule, rates, batch)
        theirs.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_value_(list(values.values()), recipe.outer.clip)
        assert loss == pytest.approx(float(theirs.detach()), rel=1e-12)
        optimiser.step()
        falling.step()
        for name, value in learned(state.params, state.rates).items():
            torch.testing.assert_close(value, values[name].detach(), rtol=0, atol=1e-7)
    assert state.step == recipe.outer.steps


def test_a_meta_batch_depends_on_the_seed_and_the_step_alone() -> None:
    data, recipe = training_data(), tiny_recipe()
    one, same = (meta_batch(recipe, data, 4) for _ in range(2))
    others = [meta_batch(recipe, data, 5), meta_batch(tiny_recipe(seed=4), data, 4)]
    assert torch.equal(one.support, same.support)
    assert torch.equal(one.query, same.query)
    assert not any(torch.equal(one.query, o.query) for o in others)


def test_runs_of_one_init_seed_share_their_first_weights_and_not_their_tasks() -> None:
    data = training_data()
    one, other = (tiny_recipe("meta-sgd", seed=s, init_seed=3) for s in (4, 5))
    plain = tiny_recipe("meta-sgd")  # seed 3
    for name, value in start(plain, data).params.items():
        assert torch.equal(value, start(one, data).params[name])
        assert torch.equal(value, start(other, data).params[name])
    assert not torch.equal(meta_batch(one, data, 0).query, meta_batch(other, data, 0).query)
    assert torch.equal(
        meta_batch(one, data, 0).query, meta_batch(tiny_recipe(seed=4), data, 0).query
    )


def test_a_task_has_distinct_classes_and_its_query_shares_no_image_with_its_support() -> None:
    data = training_data()
    recipe = tiny_recipe(task={"shot": 2, "query": 3}, outer={"meta_batch": 4})
    where = {row.tobytes(): label for row, label in zip(data.images, data.labels, strict=True)}
    for step in range(5):
        batch = meta_batch(recipe, data, step)
        for e in range(4):
            classes = batch.classes[e].tolist()
            assert len(set(classes)) == 3
            rows = torch.cat([batch.support[e], batch.query[e]])
            labels = torch.cat([batch.support_labels[e], batch.query_labels[e]])
            pixels = [(255 * r).round().to(torch.uint8).numpy().tobytes() for r in rows]
            assert len(set(pixels)) == len(pixels)
            assert [where[p] for p in pixels] == [classes[k] for k in labels.tolist()]


@pytest.mark.parametrize("learner", LEARNER_NAMES)
def test_every_learner_trains_and_its_checkpoint_says_how(learner: str, tmp_path: Path) -> None:
    path = trained(tmp_path, learner)
    found = read_checkpoint(path)
    recipe = tiny_recipe(learner)
    assert found.metadata["recipe"] == recipe.model_dump()
    assert found.metadata["rule"]["learner"] == learner
    assert found.metadata["data"]["fingerprint"] == training_data().fingerprint
    assert [h[0] for h in found.metadata["history"]] == [2, 4, 5]
    looks = {h[0]: h[2] for h in found.metadata["history"]}
    assert found.metadata["validation"]["accuracy"] == max(looks.values())
    assert looks[found.metadata["step"]] == max(looks.values())
    assert bool(found.part("rates")) is (learner in ("meta-sgd", "lslr", "bmg"))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("learner", ["maml", "nal"])
def test_training_learns_what_was_planted(learner: str, tmp_path: Path) -> None:
    """Six patterns under noise, judged on further images of the same patterns."""
    data, judge = (planted_images(6, n, size=16, gap=0.4, seed=5) for n in (12, 20))
    recipe = tiny_recipe(
        learner,
        architecture={"filters": 8},
        outer={"steps": 60, "meta_batch": 4, "lr": 0.01},
        validation={"every": 20, "episodes": 20, "query": 6},
    )
    before = validate(recipe, judge, start(recipe, data))
    state = train(recipe, data, judge, tmp_path / "one.safetensors")
    assert state.best > before + 0.15


def test_the_checkpoint_holds_the_best_parameters_and_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = judged_by(monkeypatch, [0.4, 0.9, 0.5])
    seen: dict[int, State] = {}
    recipe = tiny_recipe()
    path = tmp_path / "one.safetensors"
    train(
        recipe,
        training_data(),
        validation_data(),
        path,
        progress=lambda s: seen.update({s.step: s}),
    )
    assert next(looks, None) is None
    found = read_checkpoint(path)
    assert found.metadata["step"] == 4
    assert found.metadata["validation"]["accuracy"] == 0.9
    assert all(torch.equal(found.tensors[n], p) for n, p in seen[4].params.items())
    assert not all(torch.equal(found.tensors[n], p) for n, p in seen[5].params.items())


def judged_by(monkeypatch: pytest.MonkeyPatch, accuracies: list[float]) -> Iterator[float]:
    """Each look finds the next of these."""
    given = iter(accuracies)
    monkeypatch.setattr(training, "validate", lambda *args: next(given))
    return given


def test_training_stops_when_patience_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = judged_by(monkeypatch, [0.5, 0.6, 0.6, 0.4, 0.9])
    recipe = tiny_recipe(outer={"steps": 50}, validation={"every": 1, "patience": 2})
    state = train(recipe, training_data(), validation_data(), tmp_path / "one.safetensors")
    assert (state.step, state.best_step, state.best) == (4, 2, 0.6)
    assert list(looks) == [0.9]


def test_the_stored_statistics_are_those_of_training_tasks_under_the_best_parameters(
    tmp_path: Path,
) -> None:
    recipe = tiny_recipe()
    path = trained(tmp_path)
    encoder = load_encoder(path)
    batches = [
        meta_batch(recipe, training_data(), recipe.outer.steps + i).query.flatten(0, 1)
        for i in range(50)
    ]
    for name, tensor in calibrate(encoder.body, batches).named_buffers():
        torch.testing.assert_close(encoder.body.get_buffer(name), tensor)


def test_a_step_draws_nothing_from_the_global_generators(tmp_path: Path) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(2), np.random.rand(2)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    trained(tmp_path, "nal")
    assert torch.equal(torch.rand(2), expected[0])
    assert np.array_equal(np.random.rand(2), expected[1])  # noqa: NPY002


def test_a_diverging_loss_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    recipe = tiny_recipe(inner={"lr": 1e38})
    with pytest.raises(CheckpointError, match="the meta-loss at step 1 is nan") as refused:
        train(recipe, training_data(), validation_data(), tmp_path / "one.safetensors")
    assert refused.value.code == "diverged"
    assert not list(tmp_path.iterdir())


def test_parameters_that_stopped_being_numbers_are_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss may have a gradient that is not; after the last step no loss would tell."""

    def spoiled(*args: Any) -> tuple[State, float]:
        state, loss = outer_step(*args)
        return replace(state, params={n: p * math.nan for n, p in state.params.items()}), loss

    monkeypatch.setattr(training, "outer_step", spoiled)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        trained(tmp_path, outer={"steps": 1})
    assert not (tmp_path / "maml.safetensors").exists()


def few_images() -> LabelledImages:
    return planted_images(9, 2, size=16)


@pytest.mark.parametrize(
    ("changes", "data", "validation", "code"),
    [
        ({"norm": "running"}, training_data, validation_data, "norm"),
        ({"task": {"way": 10}}, training_data, validation_data, "too-few-classes"),
        ({}, few_images, validation_data, "too-few-classes"),
        ({}, training_data, few_images, "too-few-classes"),
        ({}, training_data, lambda: planted_images(8, 12, size=20), "shape"),
        ({"task": {"way": 4}}, training_data, validation_data, "strip"),
        (
            {},
            lambda: planted_images(9, 6, size=8),
            lambda: planted_images(8, 12, size=8),
            "image-shape",
        ),
        (
            {},
            lambda: planted_images(9, 6, size=16, channels=3),
            lambda: planted_images(8, 12, size=16, channels=3),
            "image-shape",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_step(
    changes: dict[str, Any], data: Any, validation: Any, code: str, tmp_path: Path
) -> None:
    with pytest.raises((CheckpointError, DataError)) as refused:
        train(tiny_recipe(**changes), data(), validation(), tmp_path / "one.safetensors")
    assert refused.value.code == code
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_a_place_for_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder; name a file"):
        train(tiny_recipe(), training_data(), validation_data(), tmp_path)


def test_joint_learning_is_judged_by_the_nearest_class_mean() -> None:
    """Patterns all but free of noise are told apart by any features; dealt labels by none."""
    recipe = tiny_recipe("nal", validation={"episodes": 60})
    judge = planted_images(8, 12, size=16, gap=0.95, seed=7)
    dealt = replace(judge, labels=np.random.default_rng(0).permutation(judge.labels))
    state = start(recipe, training_data())
    assert validate(recipe, judge, state) > 0.95
    assert validate(recipe, dealt, state) == pytest.approx(1 / 3, abs=0.08)


def test_a_machine_with_more_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    one = trained(tmp_path / "one").read_bytes()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = trained(tmp_path / "two").read_bytes()
    finally:
        torch.set_num_threads(before)
    assert one == two
