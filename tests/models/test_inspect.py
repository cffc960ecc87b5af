"""Inspecting shows what a file holds, whether or not it can be measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from metaprobe.analysis.audit import audit
from metaprobe.analysis.result import Audit
from metaprobe.models.inspect import inspect
from metaprobe.models.reading.raw import RawCheckpoint
from metaprobe.models.reading.read import read_file

from .foreign import learners as of
from .runs import trained


def test_a_learners_file_is_shown_with_head_rates_and_evidence(tmp_path: Path) -> None:
    whole = of.L2LMetaSGD(of.seeded(of.L2LCNN4), lr=0.01)
    torch.save(whole.state_dict(), tmp_path / "metasgd.pt")
    found = inspect(tmp_path / "metasgd.pt")
    assert found.refusal is None
    assert found.architecture is not None
    assert found.architecture.startswith("conv4(")
    assert "names are those of learn2learn CNN4" in found.evidence
    assert found.head is not None
    assert found.head.startswith("classifier: linear, 800 to 5")
    assert found.rates == "lrs.0 to lrs.17, as of meta-sgd"
    assert found.prefix == "module."
    assert found.unhealthy == ()  # rates are all alike before training, and may be
    parts = {row.name: row.part for row in found.tensors}
    assert parts["lrs.3"] == "rates"
    assert parts["module.classifier.weight"] == "head"
    assert parts["module.features.0.conv.weight"] == "body"
    assert set(parts.values()) == {"body", "head", "rates"}


def test_an_unknown_architecture_is_shown_with_why_it_would_be_refused(tmp_path: Path) -> None:
    torch.save({"lstm.weight_ih": torch.rand(4, 3), "out.weight": torch.rand(2, 4)}, tmp_path / "a")
    found = inspect(tmp_path / "a")
    assert found.architecture is None
    assert found.refusal is not None
    assert "fits no built-in architecture" in found.refusal
    assert found.head == "perhaps 'out', 4 to 2; the last linear layer"
    assert [row.name for row in found.tensors] == ["lstm.weight_ih", "out.weight"]


def test_what_is_wrong_with_a_tensor_is_said_beside_it(tmp_path: Path) -> None:
    state = of.seeded(of.LibFewShot).state_dict()
    state["emb_func.layer1.0.weight"][:2] = 0
    state["emb_func.layer2.0.weight"][5] = state["emb_func.layer2.0.weight"][3]
    state["emb_func.layer3.1.running_var"][4] = 0
    state["emb_func.layer4.0.bias"][0] = torch.inf
    torch.save(state, tmp_path / "ill.pt")
    found = inspect(tmp_path / "ill.pt")
    assert {row.name: row.notes for row in found.unhealthy} == {
        "emb_func.layer1.0.weight": ("2 of 64 rows are zero: dead filters",),
        "emb_func.layer2.0.weight": ("1 of 64 rows repeat another",),
        "emb_func.layer3.1.running_var": ("1 of 64 channels never vary",),
        "emb_func.layer4.0.bias": ("1 values NaN or infinite",),
    }
    assert found.refusal is not None


def test_a_row_of_a_norm_for_each_step_is_no_filter(tmp_path: Path) -> None:
    torch.save(of.seeded(of.MAMLpp, per_step=True).state_dict(), tmp_path / "mamlpp.pt")
    assert inspect(tmp_path / "mamlpp.pt").unhealthy == ()


def test_a_sound_file_has_nothing_wrong_and_its_json_is_whole(tmp_path: Path) -> None:
    found = inspect("maml-glyphs-s0")
    assert found.unhealthy == ()
    told = json.loads(found.to_json())
    assert told["coverage"] == 1
    assert len(told["tensors"]) == 30
    assert sum(row["values"] for row in told["tensors"]) == 28_745


def test_what_train_writes_is_inspected_and_audited(tmp_path: Path) -> None:
    path = trained(tmp_path, "meta-sgd")
    seen = inspect(path)
    assert (seen.refusal, seen.coverage) == (None, 1)
    assert seen.rates == "18 tensors under rates., as of meta-sgd"
    found = audit(path, data="glyphs", way=3, query=4, episodes=6, resize=True)
    assert isinstance(found, Audit)
    assert found.checkpoint.sha256 == seen.sha256
    assert found.checkpoint.load_report["coverage"] == 1
    assert found.rates is not None


def test_a_file_of_eight_bit_floats_is_shown(tmp_path: Path) -> None:
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        torch.save({"bn.running_var": torch.ones(3).to(dtype), "bn.running_mean": torch.ones(3).to(dtype)}, tmp_path / "a")  # fmt: skip
        assert {row.dtype for row in inspect(tmp_path / "a").tensors} == {str(dtype)[6:]}


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = of.seeded(of.L2LCNN4).state_dict()
    whole = set(state)
    del state["features.0.conv.bias"]  # looked at again as far as it goes
    torch.save(state, tmp_path / "it.pt")
    reads: list[Path] = []

    def counted(path: Path, **named: Any) -> RawCheckpoint:
        reads.append(path)
        return read_file(path, **named)

    monkeypatch.setattr("metaprobe.models.foreign.load.read_file", counted)
    found = inspect(tmp_path / "it.pt")
    assert {row.name for row in found.tensors} == whole - {"features.0.conv.bias"}
    assert reads == [tmp_path / "it.pt"]
