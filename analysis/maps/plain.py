"""A map as plain values that a result can keep, and the map again, without its features.

What `Map.to_json` writes, with a small picture of every image: enough to draw it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.errors import DataError
from .distortion import Distortion
from .layout import LAYOUTS, LayoutName, LayoutSettings
from .pictures import pictures, pixels_of
from .points import Points
from .result import SCHEMA, Layout, Map, Moved


def as_plain(drawn: Map, most: int = 400_000) -> dict[str, Any]:
    """The map as JSON has it.

    Args:
        drawn: The map.
        most: Characters that its pictures may take.

    Returns:
        Its facts, a record for each row, and ``pictures``, which records name by position.
    """
    which, first = _unlike(drawn.rows)
    records = drawn.table().to_dict(orient="records")
    for record, at in zip(records, which.tolist(), strict=True):
        record["picture"] = at
    facts = {name: fact for name, fact in drawn.facts().items() if name != "computed"}
    shown = pictures([drawn.rows.images[i] for i in first], most)
    return {**facts, "points": records, "pictures": shown}


def from_plain(plain: Mapping[str, Any]) -> Map:
    """`as_plain` undone. Features are not kept: the rows have none, and pictures are small.

    Raises:
        DataError: ``map-schema``, if this is no map; or as `pixels_of`.
    """
    if plain.get("schema") != SCHEMA:
        raise DataError(
            f"{str(plain.get('schema'))[:40]!r} is not {SCHEMA!r}; draw the map again",
            code="map-schema",
        )
    try:
        return _map(plain)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"a map is damaged ({type(error).__name__}: {str(error)[:80]}); draw it again",
            code="map-schema",
        ) from error


def _unlike(rows: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(N,)`` which picture each row shows, and ``(P,)`` a row that shows it."""
    keys = {key: i for i, key in enumerate(dict.fromkeys(zip(rows.ids, rows.labels, strict=True)))}
    which = np.array([keys[key] for key in zip(rows.ids, rows.labels, strict=True)], np.int64)
    return which, np.unique(which, return_index=True)[1]


def _map(plain: Mapping[str, Any]) -> Map:
    records: list[dict[str, Any]] = plain["points"]
    named = sorted({(int(r["label"]), str(r["class"]), str(r["group"])) for r in records})
    place = {label: i for i, (label, _, _) in enumerate(named)}
    shown = [pixels_of(uri) for uri in plain["pictures"]]
    twins = [int(r.get("twin", -1)) for r in records]
    pairs = [(i, t) for i, t in enumerate(twins) if t >= 0 and records[i]["moment"] == "init"]
    rows = Points(
        features=np.empty((len(records), 0), np.float32),
        ids=np.array([r["id"] for r in records], np.str_),
        labels=np.array([place[int(r["label"])] for r in records], np.int64),
        classes=tuple(name for _, name, _ in named),
        groups=tuple(group for _, _, group in named),
        images=np.stack([shown[r["picture"]] for r in records]),
        moment=np.array([r.get("moment", "") for r in records], np.str_),
        task=np.array([r.get("task", "") for r in records], np.str_),
        role=np.array([r.get("role", "") for r in records], np.str_),
        episode=np.array([r.get("episode", -1) for r in records], np.int64),
        pairs=np.array(pairs, np.int64).reshape(-1, 2),
        whole=int(plain["images"]),
    )
    return Map(
        checkpoint=str(plain["checkpoint"]),
        data=str(plain["data"]),
        split=str(plain["split"]),
        norm=str(plain["norm"]),
        rows=rows,
        layouts={
            n: _layout(n, plain["layouts"][n], records) for n in LAYOUTS if n in plain["layouts"]
        },
        moved={task: Moved(**told) for task, told in plain["moved"].items()},
        computed=0,
    )


def _layout(name: LayoutName, told: Mapping[str, Any], records: list[dict[str, Any]]) -> Layout:
    points = np.array([(r[f"{name}_x"], r[f"{name}_y"]) for r in records], np.float64)
    how = LayoutSettings(name, told["metric"], told["neighbours"], told["seed"])
    parts = ("trustworthiness", "continuity", "kept", "chance", "k")
    first, second = told["explained"] or (None, None)
    return Layout(
        how,
        points,
        Distortion(**{part: told[part] for part in parts}),
        None if first is None or second is None else (first, second),
        told["arrows"],
    )
