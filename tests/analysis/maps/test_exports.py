"""Exports, read back by what they are for, or as its format says."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metaprobe.analysis.maps.export import EXPORTS, exporter
from metaprobe.analysis.maps.export.cells import csv_text, safe_text, tsv_text
from metaprobe.analysis.maps.files import save_map
from metaprobe.analysis.maps.result import Map
from metaprobe.data.errors import MetaprobeError

from .planted import planted_map, rows

NAMES = ("=SUM(A1)", "tab\there", 'quo"te,comma', "line\nbreak")


@pytest.fixture(scope="module")
def drawn() -> Map:
    return planted_map(rows(phases=True, names=NAMES))


def test_tensorboard_reads_the_projectors_files(drawn: Map, tmp_path: Path) -> None:
    exporter("projector")(drawn, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of versions
        from google.protobuf import text_format
        from tensorboard.plugins.projector import (
            metadata,
            projector_config_pb2,
            projector_plugin,
        )
    text = (tmp_path / metadata.PROJECTOR_FILENAME).read_text()
    empty = projector_config_pb2.ProjectorConfig()  # pyright: ignore[reportAttributeAccessIssue]
    [embedding] = text_format.Parse(text, empty).embeddings
    tensor = projector_plugin._read_tensor_tsv_file(str(tmp_path / embedding.tensor_path))
    assert (tensor == drawn.rows.features).all()
    lines = (tmp_path / embedding.metadata_path).read_text().splitlines()
    assert len(lines) == len(drawn.rows) + 1
    assert {line.count("\t") for line in lines} == {len(drawn.table().columns) - 1}
    width, height = embedding.sprite.single_image_dim
    with Image.open(tmp_path / embedding.sprite.image_path) as sprite:
        across = sprite.width // width
        pixels = np.asarray(sprite)
    for row in (0, 7, len(drawn.rows) - 1):
        top, left = row // across * height, row % across * width
        tile = pixels[top : top + height, left : left + width]
        assert (tile == drawn.rows.images[row, 0]).all()


def test_a_sprite_too_large_for_the_projector_is_shrunk(
    drawn: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metaprobe.analysis.maps.export import projector

    monkeypatch.setattr(projector, "LARGEST", 30)
    projector.write(drawn, tmp_path)
    with Image.open(tmp_path / "sprite.png") as sprite:
        assert max(sprite.size) <= 30


def test_the_atlas_table_holds_vectors_neighbours_and_pictures(drawn: Map, tmp_path: Path) -> None:
    [path] = exporter("atlas")(drawn, tmp_path)
    table = pq.read_table(path)
    assert set(drawn.table().columns) | {"vector", "neighbors", "image"} == set(table.column_names)
    vectors = np.stack(table["vector"].to_numpy())
    assert vectors.dtype == np.float32
    assert (vectors == drawn.rows.features).all()
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    far = 1 - unit @ unit.T
    np.fill_diagonal(far, np.inf)
    for row in (0, 30):
        near = table["neighbors"][row].as_py()
        assert sorted(near["ids"]) == sorted(np.argsort(far[row])[:15].tolist())
        assert near["distances"] == pytest.approx(np.sort(far[row])[:15], abs=1e-9)
    with Image.open(io.BytesIO(table["image"][3].as_py()["bytes"])) as picture:
        assert (np.asarray(picture) == drawn.rows.images[3, 0]).all()


def test_fiftyones_table_names_a_picture_for_each_row(drawn: Map, tmp_path: Path) -> None:
    exporter("fiftyone")(drawn, tmp_path)
    with (tmp_path / "labels.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len({line["filepath"] for line in found}) == len(drawn.rows)
    assert "id" not in found[0]
    for row, line in enumerate(found):
        with Image.open(tmp_path / "data" / line["filepath"]) as picture:
            assert (np.asarray(picture) == drawn.rows.images[row, 0]).all()
        assert line["sample"] == drawn.rows.ids[row]
        assert float(line["pca_x"]) == drawn.layouts["pca"].points[row, 0]
    assert {line["class"] for line in found} == {safe_text(name) for name in NAMES}
    spotlight = pq.read_table(tmp_path / "samples.parquet")
    assert all((tmp_path / name.as_py()).is_file() for name in spotlight["image"])


def test_the_archive_opens_without_pickles(drawn: Map, tmp_path: Path) -> None:
    [path] = exporter("npz")(drawn, tmp_path)
    with np.load(path, allow_pickle=False) as found:
        assert (found["features"] == drawn.rows.features).all()
        assert (found["images"] == drawn.rows.images).all()
        assert found["id"].tolist() == drawn.rows.ids.tolist()
        assert (found["pca_y"] == drawn.layouts["pca"].points[:, 1]).all()


@given(st.text())
def test_no_cell_can_be_a_formula_or_break_a_line(text: str) -> None:
    safe = safe_text(text)
    assert not safe.lstrip(" ").startswith(("=", "+", "-", "@"))
    assert len(safe.splitlines()) <= 1
    assert "\t" not in safe
    assert safe_text(safe) == safe
    for row in csv.reader(io.StringIO(csv_text(["a", "b"], [[text, -1.5]]))):
        assert len(row) == 2
    assert len(tsv_text(["a", "b"], [[text, 1]]).split("\n")) == 3


def test_negative_numbers_stay_numbers() -> None:
    assert csv_text(["x"], [[-0.5], [np.float64(-2)], [-3]]) == "x\n-0.5\n-2.0\n-3\n"


def test_colour_images_are_exported_in_colour(tmp_path: Path) -> None:
    drawn = planted_map(rows(channels=3))
    for name in EXPORTS:
        exporter(name)(drawn, tmp_path / name)
    with Image.open(tmp_path / "fiftyone" / "data" / "000002.png") as picture:
        assert (np.asarray(picture) == drawn.rows.images[2].transpose(1, 2, 0)).all()
    with Image.open(tmp_path / "projector" / "sprite.png") as sprite:
        assert sprite.mode == "RGB"


def test_an_unknown_export_is_refused_before_anything_is_written(
    drawn: Map, tmp_path: Path
) -> None:
    with pytest.raises(MetaprobeError, match="projector, atlas, fiftyone, npz"):
        save_map(drawn, tmp_path / "out", ["excel"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(drawn: Map, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(MetaprobeError) as refusal:
        exporter("fiftyone")(drawn, tmp_path / "taken")
    assert refusal.value.code == "cannot-write"
