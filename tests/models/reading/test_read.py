"""What people saved comes back bit for bit, under its own names, with what was noticed."""

from __future__ import annotations

import argparse
import hashlib
import socket
import sys
import time
from collections import Counter, OrderedDict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from metaprobe.data.errors import CheckpointError
from metaprobe.models.checkpoint import shipped
from metaprobe.models.reading.child import parse
from metaprobe.models.reading.health import Health, examine
from metaprobe.models.reading.raw import RawCheckpoint
from metaprobe.models.reading.read import read_file


def weights(seed: int = 0) -> OrderedDict[str, Tensor]:
    """A real state dict: convolution, norm with its counter, linear head."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), head=nn.Linear(4, 5))
    )
    return OrderedDict(network.state_dict())


def saved(folder: Path, value: Any, name: str = "it.pt", **how: Any) -> Path:
    torch.save(value, folder / name, **how)
    return folder / name


def same(found: RawCheckpoint, wanted: dict[str, Tensor]) -> bool:
    tensors = found.repaired
    return list(tensors) == list(wanted) and all(
        torch.equal(tensors[n], t) and tensors[n].dtype == t.dtype for n, t in wanted.items()
    )


def codes(found: RawCheckpoint) -> set[str]:
    return {flag.code for flag in found.flags}


def test_r14_a_state_dict_comes_back_bit_for_bit_from_each_container(tmp_path: Path) -> None:
    state = weights()
    save_file(state, tmp_path / "it.safetensors")
    paths = {
        "torch-zip": saved(tmp_path, state),
        "torch-legacy": saved(tmp_path, state, "it.pth", _use_new_zipfile_serialization=False),
        "safetensors": tmp_path / "it.safetensors",
    }
    for form, path in paths.items():
        found = read_file(path)
        assert found.format == form
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert found.chosen == ""
        assert set(found.tensors) == set(state)
        assert all(torch.equal(found.tensors[n], t) for n, t in state.items())


def test_r14_every_type_and_layout_of_tensor_comes_back(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    state: dict[str, Tensor] = {
        "transposed": base.permute(2, 0, 1),
        "every-other": base[:, ::2],
        "part": base[1],
        "scalar": torch.tensor(3),
        "nothing": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.ones(2, 2)),
        "half": torch.ones(3, dtype=torch.float16) / 3,
        "brain": torch.ones(3, dtype=torch.bfloat16) / 3,
        "double": torch.ones(3, dtype=torch.float64) / 3,
        "bools": torch.tensor([True, False]),
        "bytes": torch.arange(3, dtype=torch.uint8),
        "shorts": torch.arange(3).to(torch.uint16),
        "eights": torch.ones(3).to(torch.float8_e4m3fn),
    }
    found = read_file(saved(tmp_path, state))
    assert list(found.tensors) == list(state)
    for name, tensor in state.items():
        got = found.tensors[name]
        assert (got.dtype, got.shape) == (tensor.dtype, tensor.shape), name
        if name == "eights":  # no comparison is written for it
            got, tensor = got.view(torch.uint8), tensor.view(torch.uint8)
        assert torch.equal(got, tensor), name
    legacy = {n: t for n, t in state.items() if n != "eights"}
    again = read_file(saved(tmp_path, legacy, _use_new_zipfile_serialization=False))
    assert all(torch.equal(again.tensors[n], t) for n, t in legacy.items())


def test_our_own_checkpoint_is_a_checkpoint_like_another() -> None:
    found = read_file(shipped()["meta-sgd-glyphs-s0"])
    assert found.metadata["metaprobe.format"] == "metaprobe.checkpoint/1"
    assert {name.partition(".")[0] for name in found.tensors} == {"body", "head", "rates"}
    assert found.flags == ()


@pytest.mark.parametrize(
    ("prefix", "wrap"),
    [
        ("module.", lambda s: s),
        ("_orig_mod.", lambda s: {"model_state_dict": s, "epoch": 3}),
        ("module._orig_mod.model.", lambda s: {"state_dict": s}),
        ("backbone.", lambda s: {"params": s, "optimizer": {"state": {0: {"m": torch.ones(2)}}}}),
    ],
)
def test_r14_wrappers_prefixes_are_taken_off_and_shown(
    tmp_path: Path, prefix: str, wrap: Any
) -> None:
    state = weights()
    found = read_file(saved(tmp_path, wrap({prefix + n: t for n, t in state.items()})))
    assert found.repair.prefix == prefix
    assert same(found, state)
    assert all(name.startswith(prefix) for name in found.tensors)


def test_r14_a_prefix_that_not_all_names_share_is_left(tmp_path: Path) -> None:
    state = {"module.a": torch.ones(2), "b": torch.ones(2)}
    assert read_file(saved(tmp_path, state)).repair.prefix == ""
    rates = {"module.a": torch.ones(2), "lrs.0": torch.ones(2)}
    assert list(read_file(saved(tmp_path, rates)).repaired) == ["a", "lrs.0"]
    both = {"module.lrs.0": torch.ones(2), "lrs.0": torch.ones(2)}
    with pytest.raises(CheckpointError, match=r"both 'module.lrs.0' and 'lrs.0'"):
        _ = read_file(saved(tmp_path, both)).repaired


def test_r18_settings_beside_the_weights_are_words_and_are_flagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*args: Any, **named: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", closed)
    value = {
        "state_dict": weights(),
        "args": argparse.Namespace(lr=0.1, out=Path("a/b")),
        "best": np.float64(0.5),
        "hyper_parameters": {"_target_": "antigravity.fly", "url": "http://127.0.0.1:9/x"},
        "epoch": 7,
    }
    found = read_file(saved(tmp_path, value))
    assert codes(found) == {"opaque-settings", "numpy-values", "instructions"}
    assert found.metadata["epoch"] == 7
    assert found.metadata["best"] == 0.5
    assert found.metadata["args"]["class"] == "argparse.Namespace"
    assert found.metadata["args"]["state"]["lr"] == 0.1
    assert found.metadata["hyper_parameters"] == value["hyper_parameters"]
    assert "antigravity" not in sys.modules
    assert "state_dict" not in found.metadata


def test_r18_the_parser_itself_imports_and_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ModuleType("omegaconf")
    known.DictConfig = type("DictConfig", (), {"__module__": "omegaconf"})  # type: ignore[attr-defined]
    value = {
        "state_dict": weights(),
        "config": known.DictConfig(),
        "hyper_parameters": {"_target_": "antigravity.fly", "_instantiator": "this.run"},
    }
    with monkeypatch.context() as here:
        here.setitem(sys.modules, "omegaconf", known)
        raw = saved(tmp_path, value).read_bytes()
    (tmp_path / "omegaconf.py").write_text("raise AssertionError('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)

    def closed(*args: Any, **named: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", closed)
    answer, _ = parse(raw, "torch-zip", None, "it")  # here, not in the child
    assert "omegaconf.DictConfig" in answer["flags"]["opaque-settings"]
    assert not {"omegaconf", "antigravity", "this"} & set(sys.modules)
    with pytest.raises(AssertionError, match="it was imported"):  # the control
        import_module("omegaconf")


def test_of_two_networks_one_is_read_and_the_other_named(tmp_path: Path) -> None:
    state, other = weights(0), weights(1)
    path = saved(tmp_path, {"state_dict": state, "state_dict_ema": other})
    found = read_file(path)
    assert (found.chosen, found.candidates) == ("state_dict", ("state_dict", "state_dict_ema"))
    assert "state_dict_ema" in next(f.sentence for f in found.flags if f.code == "choice")
    assert same(read_file(path, state_key="state_dict_ema"), other)
    with pytest.raises(CheckpointError, match="it has state_dict, state_dict_ema"):
        read_file(path, state_key="model")
    pair = {
        f"{w}.{n}": t for w, s in (("student", state), ("teacher", other)) for n, t in s.items()
    }
    flat = saved(tmp_path, pair, "pair.pt")
    assert read_file(flat).chosen == "teacher"
    assert same(read_file(flat), other)
    assert same(read_file(flat, state_key="student"), state)
    odd = saved(tmp_path, {"a": state, "b": other}, "odd.pt")
    with pytest.raises(CheckpointError, match=r"2 state dicts \(a, b\)"):
        read_file(odd)


def test_tensors_that_were_one_are_named_together(tmp_path: Path) -> None:
    tied = torch.ones(3, 2)
    found = read_file(saved(tmp_path, {"in.weight": tied, "out.weight": tied, "b": torch.ones(2)}))
    assert found.shared == (("in.weight", "out.weight"),)


def test_a_file_that_is_not_the_expected_one_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, weights())
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_file(path, expect_sha256=right.upper()).sha256 == right
    with pytest.raises(CheckpointError) as refused:
        read_file(path, expect_sha256="0" * 64)
    assert refused.value.code == "sha256"
    assert right in str(refused.value)


@pytest.mark.parametrize(
    ("code", "name", "change"),
    [
        ("not-finite", "conv.weight", lambda t: t / 0),
        ("negative-variance", "norm.running_var", lambda t: t - 2),
        ("all-zero", "head.weight", lambda t: t * 0),
        ("float16", "conv.weight", lambda t: t.half()),
        ("bfloat16", "conv.weight", lambda t: t.bfloat16()),
        ("float64", "conv.weight", lambda t: t.double()),
    ],
)
def test_r17_a_suspicious_value_is_flagged_by_the_tensors_name(
    tmp_path: Path, code: str, name: str, change: Any
) -> None:
    state = weights()
    assert codes(read_file(saved(tmp_path, state))) == set()
    found = read_file(saved(tmp_path, {**state, name: change(state[name])}))
    told = {flag.code: flag.sentence for flag in found.flags}
    assert told.keys() == {code}
    assert name in told[code]


def test_health_counts_by_tensor() -> None:
    found = {h.name: h for h in examine({"a": torch.tensor([1.0, torch.nan, torch.inf]), "b": torch.zeros(2), "c.running_var": torch.tensor([1.0, -1.0]).half(), "d": torch.tensor(3)})}  # fmt: skip
    assert (found["a"].not_finite, found["b"].all_zero, found["c.running_var"].negative) == (
        2,
        True,
        1,
    )
    assert found["d"] == Health("d", 0, 0, False)


@pytest.mark.parametrize("inside", [False, True])
def test_a_state_dict_of_numpy_arrays_is_told_how_to_become_one_of_tensors(
    tmp_path: Path, inside: bool
) -> None:
    arrays = {name: tensor.numpy() for name, tensor in weights().items()}
    path = saved(tmp_path, {"model": arrays, "lr": np.float64(0.1)} if inside else arrays)
    with pytest.raises(CheckpointError, match=r"NumPy arrays.*'conv\.weight'.*torch\.from_numpy"):
        read_file(path)


def test_a_scheduler_with_milestones_does_not_keep_a_checkpoint_from_being_read(
    tmp_path: Path,
) -> None:
    scheduler = {"milestones": Counter([3, 5]), "gamma": 0.1}
    generator = np.random.default_rng(0)
    value = {
        "state_dict": weights(),
        "scheduler": scheduler,
        "generator": generator,
        "cut": range(3),
    }
    found = read_file(saved(tmp_path, value))
    assert same(found, weights())
    assert found.metadata["scheduler"]["milestones"] == {"3": 1, "5": 1}


def test_two_networks_under_one_wrapper_are_told_apart(tmp_path: Path) -> None:
    for pair in (("encoder_q", "encoder_k"), ("model", "ema"), ("backbone", "momentum_backbone")):
        state = {f"module.{w}.{n}": t for i, w in enumerate(pair) for n, t in weights(i).items()}
        found = read_file(saved(tmp_path, {"state_dict": state | {"module.queue": torch.ones(3)}}))
        assert same(found, weights(0)), pair
        assert found.chosen == f"state_dict.{pair[0]}"
        assert "choice" in codes(found)


def test_a_square_matrix_and_its_transpose_are_not_one_parameter(tmp_path: Path) -> None:
    square = torch.arange(16.0).reshape(4, 4)
    found = read_file(saved(tmp_path, {"a": square, "b": square.T, "c": square}))
    assert found.shared == (("a", "c"),)


def test_floats_of_eight_bits_are_flagged(tmp_path: Path) -> None:
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        found = read_file(saved(tmp_path, {"w": torch.ones(2, 2).to(dtype)}))
        assert str(dtype).removeprefix("torch.") in codes(found)


def test_what_stands_beside_the_weights_is_bounded(tmp_path: Path) -> None:
    often = ["x" * 1999] * 49_000
    found = read_file(
        saved(tmp_path, {"model": weights(), "log": often, "wide": list(range(10**6))})
    )
    assert len(str(found.metadata)) < 6 * 2**20


def test_a_file_of_no_known_format_is_not_copied_first(tmp_path: Path) -> None:
    with open(tmp_path / "zeros.pt", "wb") as file:
        file.truncate(6 * 2**30)  # a hole, which takes no room
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="no known format"):
        read_file(tmp_path / "zeros.pt")
    assert time.monotonic() - start < 2
