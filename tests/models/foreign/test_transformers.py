"""Folders that transformers itself writes: the features are those its own head receives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import load_encoder
from metaprobe.models.foreign.hub import quiet_transformers

transformers = pytest.importorskip("transformers")

SMALL: dict[str, dict[str, Any]] = {
    "vit": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 48, "image_size": 28, "patch_size": 7, "num_channels": 1,
    },
    "dinov2": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2,
        "image_size": 28, "patch_size": 7, "num_channels": 1,
    },
    "resnet": {
        "num_channels": 1, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1],
        "layer_type": "basic",
    },
    "convnext": {
        "num_channels": 1, "patch_size": 4, "hidden_sizes": [8, 16], "depths": [1, 1],
        "num_stages": 2,
    },
    "swin": {
        "image_size": 28, "patch_size": 2, "num_channels": 1, "embed_dim": 8, "depths": [1, 1],
        "num_heads": [2, 2], "window_size": 7,
    },
}  # fmt: skip


def made(kind: str, folder: Path, *, classes: int = 0, shard: str = "1GB") -> Any:
    """A small model with random weights, saved by its own library."""
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = transformers.AutoConfig.for_model(kind, **SMALL[kind], num_labels=classes or 2)
        auto = transformers.AutoModelForImageClassification if classes else transformers.AutoModel
        model = auto.from_config(config, attn_implementation="eager").eval()
        for parameter in model.parameters():  # a scale of 1e-6 would hide what a layer does
            parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
        model.save_pretrained(folder, max_shard_size=shard)
    return model


def sample(channels: int = 1) -> torch.Tensor:
    return torch.rand(3, channels, 28, 28, generator=torch.Generator().manual_seed(0))


def arch_of(kind: str) -> str | None:
    return "transformers:image=28" if kind in ("resnet", "convnext") else None


@pytest.mark.parametrize("kind", list(SMALL))
def test_a_classifiers_folder_gives_what_its_head_receives(kind: str, tmp_path: Path) -> None:
    model = made(kind, tmp_path / kind, classes=7)
    encoder = load_encoder(tmp_path / kind, arch=arch_of(kind))
    report, load = encoder.strip_report, encoder.load_report
    assert report is not None
    assert load is not None
    assert (report.outputs, report.equals_head_input, report.constructions_agree) == (7, True, True)
    assert load.coverage == 1
    assert load.unexpected == ()
    with torch.no_grad():
        logits = model(sample()).logits
        ours = encoder.body(sample()) @ encoder.head["head.weight"].T + encoder.head["head.bias"]
    torch.testing.assert_close(ours, logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "convnext"])
def test_a_headless_folder_gives_its_class_token_or_its_own_pooling(
    kind: str, tmp_path: Path
) -> None:
    model = made(kind, tmp_path / kind)
    encoder = load_encoder(tmp_path / kind, arch=arch_of(kind))
    with torch.no_grad():
        out = model(sample())
        expected = out.last_hidden_state[:, 0] if kind != "convnext" else out.pooler_output
        torch.testing.assert_close(encoder.body(sample()), expected, rtol=1e-5, atol=1e-6)
    assert encoder.load_report is not None
    assert any("say --arch transformers:pool=" in said for said in encoder.load_report.assumed)


def test_shards_give_the_same_encoder_as_one_file(tmp_path: Path) -> None:
    made("vit", tmp_path / "one", classes=3)
    made("vit", tmp_path / "many", classes=3, shard="30KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    one, many = load_encoder(tmp_path / "one"), load_encoder(tmp_path / "many")
    assert one.weights_digest == many.weights_digest


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_computed_with_in_float32(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = made(kind, tmp_path / "wide").to(dtype)
    model.save_pretrained(tmp_path / "other")
    assert str(dtype).removeprefix("torch.") in (tmp_path / "other" / "config.json").read_text()
    encoder = load_encoder(tmp_path / "other", arch=arch_of(kind))
    assert {p.dtype for p in encoder.params.values()} == {torch.float32}
    assert encoder.load_report is not None
    assert encoder.load_report.cast == sum(t.dtype == dtype for t in model.state_dict().values())
    whole = model.float()
    with torch.no_grad():
        out = whole(sample())
        expected = out.last_hidden_state[:, 0] if kind in ("vit", "dinov2") else out.pooler_output
        torch.testing.assert_close(encoder.body(sample()), expected.flatten(1), rtol=0, atol=1e-5)


def test_pooling_can_be_asked_for(tmp_path: Path) -> None:
    model = made("vit", tmp_path / "vit")
    encoder = load_encoder(tmp_path / "vit", arch="transformers:pool=avg")
    with torch.no_grad():
        expected = model(sample()).last_hidden_state.mean(dim=1)
        torch.testing.assert_close(encoder.body(sample()), expected, rtol=1e-5, atol=1e-6)


def test_the_processors_mean_and_spread_are_taken_off_and_are_in_the_architecture(
    tmp_path: Path,
) -> None:
    model = made("vit", tmp_path / "vit", classes=3)
    words = {"do_normalize": True, "image_mean": [0.25], "image_std": [0.5], "size": {"height": 28}}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(words))
    encoder = load_encoder(tmp_path / "vit")
    assert (encoder.architecture["mean"], encoder.architecture["std"]) == ([0.25], [0.5])
    with torch.no_grad():
        expected = model.vit((sample() - 0.25) / 0.5).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder.body(sample()), expected, rtol=1e-5, atol=1e-6)
    plain = load_encoder(tmp_path / "vit", arch="transformers:normalise=none")
    assert "mean" not in plain.architecture


def test_a_pooler_trained_for_another_task_is_no_part_of_the_body(tmp_path: Path) -> None:
    """It is random in what a classifier's file gives, which users have been warned of for years."""
    made("vit", tmp_path / "vit")
    encoder = load_encoder(tmp_path / "vit")
    assert encoder.load_report is not None
    assert sorted(encoder.load_report.unexpected) == ["pooler.dense.bias", "pooler.dense.weight"]
    assert not any("pooler" in name for name in encoder.params)


def test_what_the_embedding_does_not_depend_on_never_moves(tmp_path: Path) -> None:
    made("dinov2", tmp_path / "dinov2")
    encoder = load_encoder(tmp_path / "dinov2")
    assert encoder.still == ("body.embeddings.mask_token",)
    assert not encoder.rule.moves("body.embeddings.mask_token")


def test_a_tensor_missing_from_the_folder_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made("vit", tmp_path / "vit")
    path = tmp_path / "vit" / "model.safetensors"
    tensors = {n: t.clone() for n, t in load_file(path).items()}
    del tensors["embeddings.cls_token"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"1 tensor \('embeddings\.cls_token'\)") as refused:
        load_encoder(tmp_path / "vit")
    assert refused.value.code == "missing-tensors"


def test_a_model_type_of_code_beside_the_weights_is_refused(tmp_path: Path) -> None:
    made("vit", tmp_path / "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}}
    (tmp_path / "vit" / "config.json").write_text(json.dumps(config))
    (tmp_path / "vit" / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CheckpointError, match="never run"):
        load_encoder(tmp_path / "vit")


def test_a_missing_library_is_said_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from metaprobe.models.foreign import hub

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(hub, "import_module", absent)
    with pytest.raises(CheckpointError, match=r"pip install 'metaprobe\[transformers\]'"):
        hub.library("transformers")


def change(folder: Path, **words: Any) -> Path:
    """Other words in a folder's config."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | words))
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to reach the network, each of which fails."""
    import socket

    tried: list[Any] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        tried.append(args)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    return tried


def test_a_config_chooses_no_code_for_attention(tmp_path: Path, no_network: list[Any]) -> None:
    made("vit", tmp_path / "vit", classes=3)
    plain = load_encoder(tmp_path / "vit").body(sample())
    evil = "somebody/kernel"
    change(
        tmp_path / "vit", attn_implementation=evil, _attn_implementation=evil,
        _attn_implementation_internal=evil, auto_map={"AutoConfig": "evil.Config"},
    )  # fmt: skip
    assert torch.equal(load_encoder(tmp_path / "vit").body(sample()), plain)
    assert no_network == []


@pytest.mark.parametrize(
    "words",
    [
        {"model_type": "detr", "use_pretrained_backbone": True, "backbone": "somebody/resnet"},
        {"model_type": "detr"},
        {"inner": {"backbone": "somebody/resnet"}},
        {"backbone_config": {"model_type": "resnet"}},
        {"use_timm_backbone": True},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
    ],
)
def test_a_config_that_asks_for_other_networks_or_code_is_refused(
    words: dict[str, Any], tmp_path: Path, no_network: list[Any]
) -> None:
    made("vit", tmp_path / "vit", classes=3)
    with pytest.raises(CheckpointError) as refused:
        load_encoder(change(tmp_path / "vit", **words))
    assert refused.value.code == "config"
    assert no_network == []


def test_a_place_to_fetch_from_is_no_timm_name(tmp_path: Path, no_network: list[Any]) -> None:
    made("vit", tmp_path / "vit")
    (tmp_path / "vit" / "config.json").write_text('{"architecture": "hf-hub:somebody/model"}')
    with pytest.raises(CheckpointError, match="nothing is fetched"):
        load_encoder(tmp_path / "vit")
    assert no_network == []


def test_libraries_are_offline_whatever_was_set_before(no_network: list[Any]) -> None:
    import huggingface_hub

    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
    with quiet_transformers():
        assert huggingface_hub.constants.HF_HUB_OFFLINE is True
        with pytest.raises(Exception, match="offline mode"):
            huggingface_hub.hf_hub_download("somebody/model", "config.json", force_download=True)
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
    assert no_network == []


@pytest.mark.parametrize(
    "words", [{"image_size": 56}, {"hidden_size": 64}, {"num_attention_heads": 3}]
)
def test_a_config_that_does_not_fit_its_weights_names_a_tensor(
    words: dict[str, int], tmp_path: Path
) -> None:
    made("vit", tmp_path / "vit", classes=3)
    with pytest.raises(CheckpointError, match=r"has shape \(.*\) in the file and \(.*\) in the"):
        load_encoder(change(tmp_path / "vit", **words))


def test_a_size_that_is_no_number_is_refused_in_a_sentence(tmp_path: Path) -> None:
    made("vit", tmp_path / "vit")
    with pytest.raises(CheckpointError, match=r"does not take this config\.json: .*hidden_size"):
        load_encoder(change(tmp_path / "vit", hidden_size="a"))


def test_a_missing_weight_stays_random_where_that_is_allowed(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made("vit", tmp_path / "vit", classes=3)
    path = tmp_path / "vit" / "model.safetensors"
    tensors = {n: t.clone() for n, t in load_file(path).items()}
    del tensors[next(n for n in tensors if "layer.1" in n and n.endswith("query.weight"))]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="not in the file"):
        load_encoder(tmp_path / "vit")
    encoder = load_encoder(tmp_path / "vit", allow_partial=True)
    assert encoder.load_report is not None
    assert encoder.strip_report is not None
    assert len(encoder.load_report.missing) == 1
    assert encoder.strip_report.equals_head_input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"hidden_size": 20_000}, "the file holds"),
        ({"intermediate_size": 60_000, "num_hidden_layers": 900}, "the file holds"),
        ({"num_hidden_layers": 3_000_000}, "at most 1000"),
        ({"hidden_size": 2_000_000}, "at most 65536"),
        ({"image_size": 4096, "patch_size": 4}, "the file holds"),
    ],
)
def test_sizes_in_a_config_take_no_memory(
    words: dict[str, int], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metaprobe.models.foreign import hub

    made("vit", tmp_path / "vit", classes=3)
    taken: list[int] = []
    build = hub.BUILDERS["transformers"]

    def measured(architecture: dict[str, Any]) -> Any:
        network = build(architecture)
        taken.append(sum(p.numel() for p in network.parameters() if not p.is_meta))
        return network

    monkeypatch.setitem(hub.BUILDERS, "transformers", measured)
    with pytest.raises(CheckpointError, match=said):
        load_encoder(change(tmp_path / "vit", **words))
    assert taken == ([0] if said == "the file holds" else [])


def test_a_longer_image_than_an_encoder_takes_is_refused(tmp_path: Path) -> None:
    made("resnet", tmp_path / "resnet", classes=3)
    with pytest.raises(CheckpointError, match="4096 x 4096"):
        load_encoder(change(tmp_path / "resnet", image_size=4096))
