"""Files that lack whole layers: each missing tensor is named, and the others stand where they stood."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from metaprobe.data.errors import CheckpointError
from metaprobe.models.encoder import Encoder, load_encoder
from metaprobe.models.inspect import inspect

from . import learners as of
from .test_order import Flat

State = dict[str, Tensor]


def without(state: State, pattern: str) -> State:
    return {n: t for n, t in state.items() if not re.search(pattern, n)}


def ours(encoder: Encoder) -> State:
    """The body's tensors, without counters."""
    state = encoder.body.state_dict()
    return {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}


def same_places(whole: Encoder, part: Encoder, lost: State) -> None:
    """What the part has lies where it lies in the whole; what it lacks is what was taken out."""
    load = part.load_report
    assert load is not None
    assert whole.load_report is not None
    theirs = whole.load_report.names
    gone = {ours for ours, file in theirs.items() if file in lost and "tracked" not in ours}
    assert set(load.missing) == gone
    assert load.missing_bytes == sum(t.nbytes for n, t in lost.items() if "tracked" not in n)
    assert load.missing_parameters == load.missing_bytes // 4
    assert 0 < load.coverage < 1
    assert load.unexpected == ()
    for name, tensor in ours(whole).items():
        if name not in gone:
            assert torch.equal(ours(part)[name], tensor), name


CASES = [
    (of.LibFewShot, r"layer3\.0\.", None),
    (of.LibFewShot, r"layer3\.0\.weight", None),
    (of.LibFewShot, r"layer3\.1\.", None),
    (of.LibFewShot, r"layer3\.", "conv4"),
    (of.LibFewShot, r"layer4\.", "conv4"),
    (of.LibFewShot, r"layer[23]\.", "conv4"),
    (of.LibFewShot, r"layer1\.", "conv4:channels=3"),
    (of.LibFewShot, r"layer1\.0", "conv4:channels=3"),
    (of.L2LCNN4, r"features\.2\.conv", None),
    (of.L2LCNN4, r"features\.0\.normalize", None),
    (of.Torchmeta, r"layer2\.norm\.bias", None),
    (of.BOIL, r"features\.1\.0", None),
    (of.Knagg, r"conv2\.1", None),
    (Flat, r"^8\.", "conv4:strided=false"),
    (Flat, r"^(8|9)\.", "conv4:strided=false"),
    (Flat, r"^(12|13)\.", "conv4:strided=false"),
    (of.ResNet12, r"layer3\.0\.conv2", None),
    (of.ResNet12, r"layer2\.0\.downsample\.0", None),
    (of.ResNet12, r"layer3\.0\.bn3", None),
    (of.ResNet12, r"layer3\.", "resnet12"),
    (of.ResNet12, r"layer4\.", "resnet12"),
    (of.ResNet18, r"layer3\.1\.conv2", None),
    (of.ResNet18, r"layer1\.0\.bn1", None),
    (of.ResNet18, r"^bn1", None),
    (of.ResNet18, r"layer3\.1\.", "resnet18"),
    (of.ResNet18, r"layer[34]\.1\.", "resnet18"),
    (of.ResNet18, r"^(conv1|bn1)\.", "resnet18:channels=3,wide_stem=false"),
    (of.ResNet18, r"bn|downsample\.1", "resnet18"),
]


@pytest.mark.parametrize(
    ("build", "lost", "arch", "form"),
    [(*case, "pt") for case in CASES] + [(*case, "safetensors") for case in CASES[::5]],
)
def test_what_is_left_of_a_network_stands_where_it_stood(
    tmp_path: Path, build: Any, lost: str, arch: str | None, form: str
) -> None:
    state = dict(of.seeded(build).state_dict())
    less = without(state, lost)
    path, plain = tmp_path / f"part.{form}", tmp_path / "whole.pt"
    if form == "pt":
        torch.save(less, path)
    else:
        save_file({n: t.clone().contiguous() for n, t in less.items()}, path)
    torch.save(state, plain)
    if build is Flat:
        plain_arch: str | None = arch
    else:
        plain_arch = arch.partition(":")[0] if arch else None
    whole = load_encoder(plain, arch=plain_arch)
    taken = {n: t for n, t in state.items() if n not in less}
    same_places(whole, load_encoder(path, arch=arch, allow_partial=True), taken)
    with pytest.raises(CheckpointError) as refused:
        load_encoder(path, arch=arch)
    assert refused.value.code == "missing-tensors"
    assert "--allow-partial" in str(refused.value)
    assert "% of its values are there" in str(refused.value)


def test_a_layer_that_is_saved_twice_is_missing_only_where_both_are(tmp_path: Path) -> None:
    state = dict(of.seeded(of.CloserLook).state_dict())
    torch.save(without(state, r"trunk\.2\.(C|trunk\.0)\."), tmp_path / "part.pt")
    encoder = load_encoder(tmp_path / "part.pt", allow_partial=True)
    assert encoder.load_report is not None
    assert encoder.load_report.missing == ("block3.conv.weight", "block3.conv.bias")
    twice = dict(of.seeded(of.L2LOmniglot).state_dict())
    torch.save(without(twice, r"\.2\.normalize"), tmp_path / "part.pt")
    report = load_encoder(tmp_path / "part.pt", allow_partial=True).load_report
    assert report is not None
    assert {name.rpartition(".")[0] for name in report.missing} == {"block3.norm"}


def test_one_sentence_names_what_is_missing_and_counts_the_rest(tmp_path: Path) -> None:
    state = dict(of.seeded(of.ResNet18).state_dict())
    torch.save(without(state, r"layer3\.1\.conv2"), tmp_path / "one.pt")
    with pytest.raises(CheckpointError) as one:
        load_encoder(tmp_path / "one.pt")
    assert str(one.value).startswith("1 tensor ('stage3.block2.conv2.weight') of the body is not")
    torch.save(without(state, r"layer3\.0\."), tmp_path / "many.pt")
    with pytest.raises(CheckpointError) as many:
        load_encoder(tmp_path / "many.pt", arch="resnet18")
    said = str(many.value)
    assert said.startswith("15 tensors ('stage3.block1.conv1.weight', 'stage3.block1.norm1.weight'")
    assert "and 7 more) of the body are not in the file" in said
    assert "\n" not in said


def test_whole_blocks_are_thought_missing_only_of_a_network_that_was_named(tmp_path: Path) -> None:
    state = dict(of.seeded(of.LibFewShot).state_dict())
    torch.save(without(state, r"layer3\."), tmp_path / "part.pt")
    with pytest.raises(CheckpointError, match="say which: --arch conv4") as refused:
        load_encoder(tmp_path / "part.pt", allow_partial=True)
    assert refused.value.code == "unknown-architecture"


def test_sizes_that_left_no_trace_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "part.pt"
    torch.save(without(dict(of.seeded(of.LibFewShot).state_dict()), r"layer1\."), path)
    with pytest.raises(CheckpointError, match=r"channels of an image.*conv4:channels=1 or"):
        load_encoder(path, arch="conv4", allow_partial=True)
    torch.save(without(dict(of.seeded(of.ResNet18).state_dict()), r"^(conv1|bn1)\."), path)
    with pytest.raises(CheckpointError, match="wide_stem=true for 7x7"):
        load_encoder(path, arch="resnet18:channels=3", allow_partial=True)
    torch.save(without(dict(of.seeded(of.ResNet12).state_dict()), r"layer[34]\."), path)
    with pytest.raises(CheckpointError, match=r"width of a stage: 8, 20 are left of four"):
        load_encoder(path, arch="resnet12", allow_partial=True)


def test_what_the_caller_says_of_a_convolution_that_is_there_must_be_so(tmp_path: Path) -> None:
    torch.save(of.seeded(of.LibFewShot).state_dict(), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="is not channels=1"):
        load_encoder(tmp_path / "net.pt", arch="conv4:channels=1")


def test_names_that_do_not_say_which_layer_is_missing_are_refused(tmp_path: Path) -> None:
    """Three alike convolutions of four, without a number: any of two might be the lost one."""
    state = dict(of.seeded(of.LibFewShot).state_dict())
    words = {"1": "alpha", "2": "beta", "3": "gamma", "4": "omega"}
    turned = {
        re.sub(r"layer(\d)\.([01])", lambda m: f"{('conv', 'norm')[int(m[2])]}_{words[m[1]]}", n): t
        for n, t in state.items()
    }
    torch.save(without(turned, "conv_beta"), tmp_path / "part.pt")
    with pytest.raises(CheckpointError, match="its names do not say which") as refused:
        load_encoder(tmp_path / "part.pt", arch="conv4", allow_partial=True)
    assert refused.value.code == "ambiguous-architecture"


def test_inspect_shows_what_there_is_of_a_network_and_what_is_missing(tmp_path: Path) -> None:
    state = dict(of.seeded(of.LibFewShot).state_dict())
    torch.save(without(state, r"layer3\.0\."), tmp_path / "part.pt")
    found = inspect(tmp_path / "part.pt")
    assert found.refusal is not None
    assert "--allow-partial" in found.refusal
    assert found.missing == ("block3.conv.weight", "block3.conv.bias")
    assert found.coverage is not None
    assert 0.6 < found.coverage < 0.7
    assert found.architecture is not None
    assert {row.part for row in found.tensors} == {"body", "head"}


def test_one_of_our_own_files_that_lacks_a_tensor_is_loaded_on_request(tmp_path: Path) -> None:
    from metaprobe.models.checkpoint import read_checkpoint, write_checkpoint

    whole = read_checkpoint("maml-glyphs-s0")
    less = {n: t for n, t in whole.tensors.items() if n != "body.block2.conv.weight"}
    path = tmp_path / "part.safetensors"
    write_checkpoint(path, less, whole.metadata)
    with pytest.raises(CheckpointError, match=r"'block2\.conv\.weight'"):
        load_encoder(path)
    report = load_encoder(path, allow_partial=True).load_report
    assert report is not None
    assert (report.missing, report.missing_bytes) == (("block2.conv.weight",), 4 * 9216)


STYLES = {
    "in pairs": ("conv{0}", "bn{0}", 1),
    "a list of each": ("convs.{0}", "norms.{0}", 1),
    "norms in steps of their own": ("c.{0}", "n.{1}", 0),
    "backwards": ("conv{2}", "bn{2}", 1),
}


@pytest.mark.parametrize("style", STYLES)
def test_no_loss_of_a_layer_or_two_puts_another_in_its_place(tmp_path: Path, style: str) -> None:
    conv, norm, first = STYLES[style]
    flat = list(of.seeded(Flat).state_dict().items())
    state = {}
    for name, tensor in flat:
        number, leaf = name.split(".")
        at, kind = divmod(int(number), 4)
        frame = norm if kind else conv
        state[f"{frame.format(at + first, 2 * at, 4 - at)}.{leaf}"] = tensor
    layers = list(dict.fromkeys(n.rpartition(".")[0] for n in state))
    truth = dict(zip(state, (f"{int(n.split('.')[0]) // 4 + 1}" for n, _ in flat), strict=True))
    loaded = 0
    for lost in combinations(layers, 1 if style == "in pairs" else 2):
        left = {n: t for n, t in state.items() if n.rpartition(".")[0] not in lost}
        torch.save(left, tmp_path / "left.pt")
        try:
            part = load_encoder(
                tmp_path / "left.pt", arch="conv4:channels=1,strided=false", allow_partial=True
            )
        except CheckpointError:
            continue
        loaded += 1
        assert part.load_report is not None
        for place, name in part.load_report.names.items():
            assert f"block{truth[name]}." in place, (lost, name, place)
    assert loaded or style == "backwards"  # what is always refused is never wrong
