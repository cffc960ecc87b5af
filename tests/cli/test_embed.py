"""`metaprobe embed`: a whole dataset at its embedding, or at a layer before it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metaprobe.data.datasets import open_dataset
from metaprobe.models.encoder import load_encoder
from metaprobe.models.layers import parse_tap
from metaprobe.probes.embed_layers import embed_layers

from .conftest import Command

DIGITS = ("maml-glyphs-s0", "--data", "digits", "--split", "test")


def test_a_layer_is_written_as_the_body_computes_it(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "layer.npz"
    done = command("embed", *DIGITS, "--layer", "block2", "--out", str(out), "--json")
    assert done.status == 0, done.err
    said = json.loads(done.out)
    images = open_dataset("digits", "test")
    tap = parse_tap("block2")
    rows = embed_layers(load_encoder("maml-glyphs-s0"), images, [tap], None)[0][tap.name]
    with np.load(out) as written:
        assert np.array_equal(written["features"], rows.features)
        assert np.array_equal(written["ids"], images.ids)
        assert np.array_equal(written["labels"], images.labels)
    assert (said["layer"], said["rows"], said["dim"]) == ("block2", len(images), rows.dim)


def test_without_a_layer_it_is_the_embedding(command: Command, tmp_path: Path) -> None:
    whole, last = tmp_path / "whole.npz", tmp_path / "last.npz"
    for out, asked in ((whole, ()), (last, ("--layer", "embedding"))):
        done = command("embed", *DIGITS, *asked, "--out", str(out), "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["layer"] == "embedding"
    with np.load(whole) as one, np.load(last) as other:
        np.testing.assert_allclose(one["features"], other["features"], rtol=1e-5, atol=1e-6)


def test_an_unknown_layer_is_refused_by_name(command: Command) -> None:
    done = command("embed", *DIGITS, "--layer", "blok2")
    assert done.status == 2
    assert "blok2" in done.err
    assert "block2" in done.err
