"""Maps to point at: whole, safe, the same each time, and drawn anew from what a result keeps."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from metaprobe.analysis.audit import audit
from metaprobe.analysis.maps.files import save_map
from metaprobe.analysis.maps.interactive import MISSING, live
from metaprobe.analysis.maps.marks import COLOURS
from metaprobe.analysis.maps.page import live_maps, map_page
from metaprobe.analysis.maps.pictures import SIDES, pictures, pixels_of
from metaprobe.analysis.maps.plain import as_plain, from_plain
from metaprobe.analysis.maps.result import Map
from metaprobe.analysis.report import report_html
from metaprobe.analysis.result import Audit
from metaprobe.data.errors import DataError

from .planted import planted_map, rows

EVIL = "</script><script>alert(1)</script><!--"


@pytest.fixture(scope="module")
def drawn() -> Map:
    return planted_map(rows(phases=True), "pca", "umap")


def columns(plain: dict[str, Any], name: str) -> dict[str, Any]:
    """What BokehJS is given for the rows of one map."""
    found: list[dict[str, Any]] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("name") == "ColumnDataSource":
                attributes = node["attributes"]
                if attributes.get("name") == name:
                    found.append(dict(attributes["data"]["entries"]))
            for one in node.values():
                walk(one)
        elif isinstance(node, list):
            for one in node:
                walk(one)

    walk(plain["docs"])
    [only] = found
    return only


@given(st.integers(1, SIDES[-1]), st.integers(1, SIDES[-1]), st.integers(0, 2**32 - 1))
def test_a_small_grey_image_keeps_every_value(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (1, height, width)).astype(np.uint8)
    image[0, 0, 0] = 255
    assume(np.median(image) >= 128)  # ink dark on light; others are turned over
    [uri] = pictures([image])
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(pixels_of(uri), np.repeat(image, 3, axis=0))


def test_colours_survive_and_large_images_are_made_small() -> None:
    image = np.zeros((3, 200, 100), np.uint8)
    image[0] = 200
    [uri] = pictures([image])
    back = pixels_of(uri)
    assert back.shape == (3, 64, 32)
    assert np.allclose(back.mean(axis=(1, 2)), [200, 0, 0], atol=4)
    noise = [
        np.random.default_rng(i).integers(0, 256, (3, 90, 90)).astype(np.uint8) for i in range(20)
    ]
    many = pictures(noise, most=40_000)
    assert sum(map(len, many)) <= 40_000 < sum(map(len, pictures(noise)))
    assert len(many) == 20


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "javascript:alert(1)",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,!!",
        "data:image/png;base64,AAAA",
    ],
)
def test_what_is_no_picture_is_refused(uri: str) -> None:
    with pytest.raises(DataError) as refusal:
        pixels_of(uri)
    assert refusal.value.code == "picture"


def test_a_map_is_drawn_anew_from_what_a_result_keeps(drawn: Map) -> None:
    plain = json.loads(json.dumps(as_plain(drawn), allow_nan=False))
    again = from_plain(plain)
    assert again.table().equals(drawn.table())
    assert again.sentences() == drawn.sentences()
    assert np.array_equal(again.rows.pairs, drawn.rows.pairs)
    for name, layout in drawn.layouts.items():
        assert np.array_equal(again.layouts[name].points, layout.points)
        assert again.layouts[name].settings == layout.settings
        assert again.layouts[name].explained == layout.explained
    twice = as_plain(again)
    assert {**twice, "dim": 16} == plain
    assert len(plain["pictures"]) == len(drawn.rows) // 2  # one an image, not one a row


def test_a_damaged_map_is_one_sentence(drawn: Map) -> None:
    plain = as_plain(drawn)
    worse = [{**plain, "schema": "x"}, {**plain, "layouts": {"pca": {}}}, {**plain, "pictures": []}]
    for damaged in worse:
        with pytest.raises(DataError) as refusal:
            from_plain(damaged)
        assert refusal.value.code == "map-schema"


def test_a_page_carries_every_row_once_and_says_where_it_lies(drawn: Map) -> None:
    _, plain = live([("m", drawn)])
    told, table = columns(plain, "m"), drawn.table()
    assert told["pca_x"] == table["pca_x"].tolist()
    assert told["umap_y"] == table["umap_y"].tolist()
    assert told["name"] == table["class"].tolist()
    assert told["twin"] == table["twin"].tolist()
    assert told["what"][0] == "T, support, before adaptation"
    assert [f == 0 for f in told["fill"]] == (table["moment"] == "init").tolist()
    shown = [plain["pictures"][at] for at in told["picture"]]
    assert [np.array_equal(pixels_of(uri)[0], pixels_of(shown[0])[0]) for uri in shown[:2]] == [
        True, False,
    ]  # fmt: skip
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]
    _, two = live([("m", drawn), ("n", drawn)])
    assert two["pictures"] == plain["pictures"]  # of the same images, so no picture twice
    assert columns(two, "n")["picture"] == told["picture"]


def test_the_same_map_gives_the_same_page(drawn: Map) -> None:
    first = map_page(drawn)
    live([("between", drawn)])
    assert map_page(drawn) == first


def test_a_page_runs_only_the_scripts_its_policy_names_and_needs_no_network(drawn: Map) -> None:
    page = map_page(drawn)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src "
    )
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    named = [
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    ]
    assert len(scripts) == 2
    assert policy.split("script-src ")[1].split(" ") == named
    assert "unsafe-eval" not in policy
    assert not re.findall(r'<[^>]+(?:src|href)="(?!#|data:)', page.replace(scripts[0], ""))
    panels = re.findall(r'class="map-plot" id="([^"]+)"', page)
    _, code = live_maps([("map", drawn)])
    assert panels == list(json.loads(code.data)["items"][0]["roots"].values())
    assert len(panels) == 4


@pytest.mark.parametrize("phases", [False, True])
def test_no_name_of_a_dataset_becomes_markup(phases: bool) -> None:
    hostile = planted_map(
        rows(phases=phases, names=(EVIL, "<img src=x onerror=y>", "\x1b[2J", "d"))
    )
    page = map_page(hostile)
    assert "alert(1)</script>" not in page
    assert "<img src=x" not in page
    assert "\x1b" not in page
    assert page.count("<script") == 3
    _, code = live_maps([("map", hostile)])
    assert "<" not in code.data
    assert EVIL in columns(json.loads(code.data), "map")["name"]


def test_every_mark_stands_out_from_a_light_and_from_a_dark_page() -> None:
    def luminance(colour: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    [shown], _ = live([("m", planted_map(rows(classes=10, phases=True)))])
    assert [colour for _, colour, _, _ in shown.legend] == list(COLOURS)
    for _, _, edge, _ in shown.legend:
        for page in ("#ffffff", "#1a1e24"):
            light, dark = sorted((luminance(edge), luminance(page)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, edge


def test_without_bokeh_everything_else_is_written(
    drawn: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"map.png", "map.svg", "map.pdf", "map.json"}
    assert {p.name for p in save_map(drawn, tmp_path / "with")} == {*others, "map.html"}
    monkeypatch.setattr("metaprobe.analysis.maps.interactive.find_spec", lambda _: None)
    assert {p.name for p in save_map(drawn, tmp_path / "without")} == others


@pytest.mark.slow
def test_without_bokeh_a_report_shows_the_still_map_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = audit("maml-glyphs-s0", episodes=4, query=2, sections=("map",))
    assert isinstance(found, Audit)
    assert report_html(found).count("<script") == 3
    monkeypatch.setattr("metaprobe.analysis.maps.interactive.find_spec", lambda _: None)
    page = report_html(found)
    assert "<script" not in page
    assert "script-src" not in page
    assert MISSING.replace("'", "&#39;") in page
    assert 'id="figure-why-map-1"' in page
