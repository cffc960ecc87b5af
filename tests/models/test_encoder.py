"""An encoder is a checkpoint without its head, and everything that came with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metaprobe.data.errors import CheckpointError
from metaprobe.models.checkpoint import read_checkpoint, shipped
from metaprobe.models.container import decode, encode
from metaprobe.models.encoder import load_encoder
from metaprobe.models.recipe import Recipe, read_recipe
from metaprobe.models.rules import Rule

from .runs import tiny_recipe, trained


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {name: trained(folder, name, outer={"steps": 1}) for name in ("boil", "meta-sgd", "nal")}


def test_what_was_trained_is_what_is_loaded(files: dict[str, Path]) -> None:
    encoder = load_encoder(files["boil"])
    assert encoder.rule == Rule("sgd", 0.2, 2, "body")
    assert encoder.norm == "batch"
    assert encoder.shape == (1, 16, 16)
    assert encoder.embedding_dim == 4
    assert encoder.architecture == tiny_recipe().architecture
    assert encoder.architecture_text == "conv4(filters=4)"
    assert encoder.head["head.weight"].shape == (3, 4)
    assert encoder.rates == {}
    assert encoder.strip_report is not None
    assert encoder.strip_report.constructions_agree
    tensors = read_checkpoint(files["boil"]).tensors
    assert all(torch.equal(p, tensors[n]) for n, p in encoder.params.items())
    assert all(torch.equal(t, tensors[f"body.{n}"]) for n, t in encoder.body.state_dict().items())


def test_learned_rates_come_along(files: dict[str, Path]) -> None:
    encoder = load_encoder(files["meta-sgd"])
    assert encoder.rates.keys() == encoder.params.keys() | encoder.head.keys()
    assert all(
        r.shape == (encoder.params | encoder.head)[n].shape for n, r in encoder.rates.items()
    )


def test_joint_learnings_head_has_a_row_for_each_training_class(files: dict[str, Path]) -> None:
    assert load_encoder(files["nal"]).head["head.weight"].shape == (9, 4)


def rewritten(path: Path, out: Path, **tensors: torch.Tensor | None) -> Path:
    old, words = decode(path.read_bytes(), str(path))
    new = {**old, **{n.replace("__", "."): t for n, t in tensors.items()}}
    out.write_bytes(encode({n: t for n, t in new.items() if t is not None}, words))
    return out


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({"rates__head__bias": None}, "rates"),
        ({"rates__head__bias": torch.zeros(4)}, "rates"),
        ({"rates__head__bias": torch.zeros(3, dtype=torch.int64)}, "rates"),
        ({"rates__neck__bias": torch.zeros(3)}, "rates"),
        ({"head__bias": None}, "head"),
        ({"head__bias": torch.zeros(4)}, "head"),
        ({"head__scale": torch.zeros(3)}, "head"),
        ({"head__weight": torch.zeros(3)}, "head"),
        ({"head__weight": torch.zeros(3, 4, dtype=torch.int64)}, "head"),
        ({"head__weight": torch.zeros(3, 5)}, "strip"),
        ({"head__weight": torch.zeros(4, 4), "head__bias": torch.zeros(4)}, "rates"),
        ({"body__block1__norm__bias": None}, "missing-tensors"),
        ({"body__block1__norm__bias": torch.zeros(5)}, "shape"),
        ({"body__block1__norm__bias": torch.zeros(4, dtype=torch.int64)}, "dtype"),
    ],
)
def test_tensors_that_do_not_belong_together_are_refused(
    files: dict[str, Path], tmp_path: Path, tensors: dict[str, torch.Tensor | None], code: str
) -> None:
    path = rewritten(files["meta-sgd"], tmp_path / "other", **tensors)
    with pytest.raises(CheckpointError) as refused:
        load_encoder(path)
    assert refused.value.code == code


def test_rates_beside_a_rule_that_learns_none_are_refused(
    files: dict[str, Path], tmp_path: Path
) -> None:
    path = rewritten(files["boil"], tmp_path / "other", rates__head__bias=torch.zeros(3))
    with pytest.raises(CheckpointError, match="holds 1 tensors of rates and rule 'sgd' needs 0"):
        load_encoder(path)


def test_digests_tell_the_body_from_what_adaptation_starts_with(
    files: dict[str, Path], tmp_path: Path
) -> None:
    """Stored embeddings at meta-init depend on the first alone."""
    old = load_encoder(files["meta-sgd"])
    head = load_encoder(rewritten(files["meta-sgd"], tmp_path / "a", head__bias=torch.ones(3)))
    rate = load_encoder(
        rewritten(files["meta-sgd"], tmp_path / "b", rates__head__bias=torch.ones(3))
    )
    mean = torch.ones(4)
    body = load_encoder(
        rewritten(files["meta-sgd"], tmp_path / "c", body__block1__norm__running_mean=mean)
    )
    assert old.weights_digest == head.weights_digest == rate.weights_digest != body.weights_digest
    assert len({old.rule_digest, head.rule_digest, rate.rule_digest}) == 3
    assert old.rule_digest == body.rule_digest


def test_the_untrained_floor_shares_the_architecture_and_nothing_else(
    files: dict[str, Path],
) -> None:
    encoder = load_encoder(files["meta-sgd"])
    floor, again, other = encoder.untrained(), encoder.untrained(), encoder.untrained(seed=1)
    assert floor.architecture == encoder.architecture
    assert floor.checkpoint is None
    assert floor.head == {}
    assert floor.rates == {}
    assert floor.rule.name == "sgd"
    assert floor.weights_digest == again.weights_digest
    assert len({floor.weights_digest, other.weights_digest, encoder.weights_digest}) == 3


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_checkpoint_loads_by_name(name: str) -> None:
    encoder = load_encoder(name)
    assert encoder.name == name
    assert encoder.load_report is not None
    assert encoder.load_report.coverage == 1
    assert encoder.checkpoint is not None
    assert Path(encoder.checkpoint.path).stat().st_size < 2**20


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_checkpoint_is_of_a_committed_recipe(name: str) -> None:
    metadata = read_checkpoint(name).metadata
    stem, _, seed = name.partition("-glyphs-s")
    recipe = read_recipe(shipped()[name].parent / "recipes" / f"{stem}.toml", seed=int(seed))
    assert Recipe.model_validate(metadata["recipe"]) == recipe
    assert (metadata["rule"]["learner"], metadata["seed"]) == (recipe.learner, recipe.seed)
