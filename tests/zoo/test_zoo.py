"""Files of timm, torchvision and Lightning, made by those libraries: run with `make test-zoo`.

They need torchvision, which needs the full build of torch, so they live in an environment of
their own. Nothing is downloaded: every network has the random weights its library gives it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

from metaprobe.analysis.audit import audit  # noqa: E402
from metaprobe.analysis.result import Audit  # noqa: E402
from metaprobe.data.errors import CheckpointError  # noqa: E402
from metaprobe.models.encoder import load_encoder  # noqa: E402


def warmed(network: Any, side: int = 64) -> Any:
    """A network whose norms have seen images, in evaluation mode."""
    torch.manual_seed(2)
    network.train()
    with torch.no_grad():
        network(torch.rand(8, 3, side, side))
    return network.eval()


def normalised(x: Tensor, cfg: Any) -> Tensor:
    mean, std = (torch.tensor(cfg[k])[:, None, None] for k in ("mean", "std"))
    return (x - mean) / std


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet18", 512),
        ("mobilenetv3_small_100", 1024),
        ("convnext_atto", 320),
        ("resnet10t", 512),
    ],
)
def test_a_file_of_timm_gives_what_its_head_receives(name: str, width: int, tmp_path: Path) -> None:
    network = warmed(timm.create_model(name, num_classes=7))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", arch=f"timm/{name},image=64".replace(",", ":", 1))
    sample = torch.rand(2, 3, 64, 64)
    x = normalised(sample, network.pretrained_cfg)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        found = encoder.body(sample)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert encoder.embedding_dim == width == network.head_hidden_size
    assert encoder.strip_report is not None
    assert encoder.strip_report.equals_head_input
    assert encoder.load_report is not None
    assert encoder.load_report.coverage == 1


def test_a_vision_transformer_of_timm_takes_the_images_of_its_own_config(tmp_path: Path) -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=7).eval()
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    encoder = load_encoder(tmp_path / "vit.pth", arch="timm/vit_tiny_patch16_224")
    assert encoder.shape == (3, 224, 224)
    assert encoder.architecture["mean"] == list(network.pretrained_cfg["mean"])
    assert encoder.embedding_dim == 192


def test_a_headless_file_of_timm_is_read(tmp_path: Path) -> None:
    network = warmed(timm.create_model("resnet18", num_classes=0))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", arch="timm/resnet18:image=64,normalise=none")
    sample = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder.body(sample), network(sample), rtol=1e-5, atol=1e-6)


def test_a_norm_with_an_activation_inside_keeps_it(tmp_path: Path) -> None:
    network = warmed(timm.create_model("mobilenetv3_small_100", num_classes=7))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", arch="timm/mobilenetv3_small_100:image=64")
    assert encoder.norm == "running"
    with pytest.raises(CheckpointError, match="does more than normalise"):
        audit(encoder, norm="batch", episodes=2, query=2, steps=1, resize=True)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "net.pth")
    with pytest.raises(CheckpointError):
        load_encoder(tmp_path / "net.pth", arch="timm/convnext_atto")
    with pytest.raises(CheckpointError, match="cannot build"):
        load_encoder(tmp_path / "net.pth", arch="timm/no_such_network")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_a_file_of_torchvision_gives_what_its_head_receives(name: str, tmp_path: Path) -> None:
    network = warmed(torchvision.models.get_model(name, weights=None, num_classes=7))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    arch = f"torchvision/{name}:image=64,normalise=none"
    encoder = load_encoder(tmp_path / "net.pth", arch=arch)
    caught: list[Tensor] = []
    last = [layer for layer in network.modules() if type(layer) is nn.Linear][-1]
    last.register_forward_pre_hook(lambda layer, args: caught.append(args[0]))
    sample = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        network(sample)
        torch.testing.assert_close(encoder.body(sample), caught[0], rtol=1e-5, atol=1e-6)
    assert encoder.head["head.weight"].shape[0] == 7


def test_torchvisions_resnet18_is_recognised_without_torchvision(tmp_path: Path) -> None:
    network = warmed(torchvision.models.resnet18(weights=None))
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    built_in = load_encoder(tmp_path / "resnet18.pth")
    assert built_in.architecture["name"] == "resnet18"
    assert built_in.shape == (3, 224, 224)
    theirs = load_encoder(tmp_path / "resnet18.pth", arch="torchvision/resnet18:normalise=imagenet")
    sample = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(built_in.body(sample), theirs.body(sample), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arch",
    [
        "timm/eva02_enormous_patch14_clip_224",
        "timm/resnet18",
        "torchvision/regnet_y_128gf",
        "torchvision/vit_h_14",
    ],
)
def test_a_small_file_that_is_said_to_be_a_large_network_is_refused(
    arch: str, tmp_path: Path
) -> None:
    torch.save({"fc.weight": torch.rand(5, 8)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="values and the file holds 40") as refused:
        load_encoder(tmp_path / "net.pth", arch=arch)
    assert refused.value.code == "shape"


def test_a_network_that_reckons_while_it_is_built_is_counted_too(tmp_path: Path) -> None:
    network = warmed(torchvision.models.regnet_y_400mf(weights=None, num_classes=7))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", arch="torchvision/regnet_y_400mf:image=64")
    assert encoder.load_report is not None
    assert encoder.load_report.coverage == 1


def test_a_checkpoint_of_lightning_is_audited(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Lit(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.net = torchvision.models.resnet18(weights=None, num_classes=4)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    rows = torch.utils.data.TensorDataset(torch.rand(8, 3, 32, 32), torch.arange(8) % 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            accelerator="cpu", default_root_dir=tmp_path, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Lit(), torch.utils.data.DataLoader(rows, batch_size=4))
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    encoder = load_encoder(tmp_path / "last.ckpt", arch="resnet18:image=32")
    assert encoder.load_report is not None
    assert encoder.load_report.prefix == "net."
    assert encoder.head["head.weight"].shape == (4, 512)
    found = audit(encoder, data="digits", episodes=3, query=2, steps=1, resize=True)
    assert isinstance(found, Audit)
    assert found.checkpoint.load_report["coverage"] == 1


@pytest.mark.parametrize("arch", ["torchvision/resnet18:image=32", "resnet18:image=32"])
def test_a_file_of_torchvision_is_audited(arch: str, tmp_path: Path) -> None:
    network = warmed(torchvision.models.resnet18(weights=None, num_classes=7))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", arch=arch)
    found = audit(encoder, data="digits", episodes=3, query=2, steps=1, resize=True)
    assert isinstance(found, Audit)
    assert found.checkpoint.architecture.startswith(arch.partition("/")[0].partition(":")[0])
    assert found.checkpoint.load_report["coverage"] == 1


def test_an_encoder_of_timm_is_audited_end_to_end(tmp_path: Path) -> None:
    network = warmed(timm.create_model("resnet10t", num_classes=7), 32)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    encoder = load_encoder(tmp_path / "net.pth", arch="timm/resnet10t:image=32")
    found = audit(encoder, data="digits", episodes=4, query=3, steps=1, resize=True)
    assert isinstance(found, Audit)
    assert found.checkpoint.architecture.startswith("timm(model=resnet10t")
    assert "channel repeated" in found.preprocessing


def saved_by_timm(network: Any, folder: Path, **words: Any) -> Path:
    """A folder as timm writes one for others; ``words`` change its config afterwards."""
    timm.models.save_for_hf(network, folder, safe_serialization=True)
    place = folder / "config.json"
    config = json.loads(place.read_text())
    place.write_text(json.dumps({k: v for k, v in (config | words).items() if v is not None}))
    return folder


@pytest.mark.parametrize(
    ("name", "made_with"),
    [
        ("resnet10t", {"global_pool": "max"}),
        ("resnet10t", {"global_pool": "catavgmax"}),
        ("resnet10t", {"act_layer": "silu", "in_chans": 1}),
        ("vit_tiny_patch16_224", {"img_size": 64, "global_pool": "avg", "reg_tokens": 4}),
        ("dpn48b", {}),
        ("convnext_atto", {}),
    ],
)
def test_a_folder_of_timm_is_built_as_it_was_made(
    name: str, made_with: dict[str, Any], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = timm.create_model(name, num_classes=7, **made_with).eval()
        folder = saved_by_timm(network, tmp_path)
    encoder = load_encoder(folder)
    cfg = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    assert list(encoder.shape) == cfg["input_size"]
    sample = torch.rand(2, *encoder.shape)
    x = normalised(sample, cfg)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        torch.testing.assert_close(encoder.body(sample), expected.flatten(1), rtol=1e-4, atol=1e-5)


def test_a_folder_of_timm_is_audited(tmp_path: Path) -> None:
    network = warmed(timm.create_model("resnet10t", num_classes=7, global_pool="max"))
    encoder = load_encoder(saved_by_timm(network, tmp_path), arch=None)
    found = audit(encoder, data="digits", episodes=3, query=2, steps=1, resize=True)
    assert isinstance(found, Audit)
    assert found.checkpoint.load_report["coverage"] == 1
    assert "global_pool" in found.checkpoint.architecture


def test_how_an_older_folder_of_timm_pools_is_read_beside_its_arguments(tmp_path: Path) -> None:
    network = warmed(timm.create_model("resnet10t", num_classes=7, global_pool="max"))
    folder = saved_by_timm(network, tmp_path, model_args=None)
    encoder = load_encoder(folder)
    sample = torch.rand(2, 3, 64, 64)
    x = normalised(sample, network.pretrained_cfg)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        torch.testing.assert_close(encoder.body(sample), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"checkpoint_path": "other.pth"}, "weights that lie elsewhere"),
        ({"features_only": True}, "not an embedding"),
        ({"img_size": 10**9}, "at most 65536"),
        ({"no_such_word": 1}, "cannot build"),
        ([1], "names and values are needed"),
    ],
)
def test_what_a_folder_of_timm_may_not_ask_for_is_refused(
    args: Any, sentence: str, tmp_path: Path
) -> None:
    network = timm.create_model("resnet10t", num_classes=7)
    folder = saved_by_timm(network, tmp_path, model_args=args)
    with pytest.raises(CheckpointError, match=sentence):
        load_encoder(folder)


def test_where_timms_weights_came_from_is_not_followed(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", num_classes=7)
    args = {"pretrained": True, "pretrained_cfg": {"file": "/no/such/file"}}
    encoder = load_encoder(saved_by_timm(network, tmp_path, model_args=args))
    assert "args" not in encoder.architecture


def test_a_caller_says_how_a_bare_file_of_timm_was_made(tmp_path: Path) -> None:
    made = {"img_size": 64, "global_pool": "avg"}
    network = timm.create_model("vit_tiny_patch16_224", num_classes=7, **made).eval()
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    arch = "timm/vit_tiny_patch16_224:img_size=64,global_pool=avg"
    encoder = load_encoder(tmp_path / "vit.pth", arch=arch)
    assert encoder.shape == (3, 64, 64)
    assert encoder.load_report is not None
    assert "made with img_size=64, global_pool=avg" in encoder.load_report.evidence
    with pytest.raises(CheckpointError, match=r"cannot build .*imge"):
        load_encoder(tmp_path / "vit.pth", arch="timm/vit_tiny_patch16_224:imge=64")


def test_a_network_with_two_classifiers_is_refused_by_their_names(tmp_path: Path) -> None:
    network = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=7)
    torch.save(network.state_dict(), tmp_path / "deit.pth")
    with pytest.raises(CheckpointError, match="2 classifiers \\('head', 'head_dist'\\)"):
        load_encoder(tmp_path / "deit.pth", arch="timm/deit_tiny_distilled_patch16_224")
