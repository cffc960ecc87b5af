"""A map as a value: where each image lies, what the layout cost, what moved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...probes.rows import Floats
from .distortion import Distortion
from .layout import LayoutName, LayoutSettings
from .points import Points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SCHEMA = "metaprobe.map/1"


@dataclass(frozen=True, eq=False)
class Layout:
    """One picture of the rows.

    Args:
        settings: How it was made.
        points: ``(N, 2)``.
        distortion: How far it may be believed.
        explained: Share of variance of each axis; None where axes mean nothing.
        arrows: Rank correlation over pairs between how far an image moved on the map and in
            the features; None without pairs, or where nothing moved.
    """

    settings: LayoutSettings
    points: Floats
    distortion: Distortion
    explained: tuple[float, float] | None
    arrows: float | None


@dataclass(frozen=True)
class Moved:
    """How far the features of one task moved.

    Args:
        images: Pairs looked at.
        cosine: Median cosine of an image's features before and after.
        kept: Share of its `k` nearest among the task's images, before, that are so after.
        chance: What unrelated features would keep.
        k: Neighbours.
    """

    images: int
    cosine: float
    kept: float
    chance: float
    k: int

    def sentence(self) -> str:
        """For a figure."""
        angle = float(np.degrees(np.arccos(np.clip(self.cosine, -1, 1))))
        return (
            f"turned by {angle:.1f}° (median); {100 * self.kept:.0f} % of {self.k} neighbours "
            f"kept (chance {100 * self.chance:.0f} %)"
        )


@dataclass(frozen=True, eq=False)
class Map:
    """The rows of an encoder, laid out.

    Args:
        checkpoint: Name of the encoder.
        data: Name of the dataset.
        split: Its split.
        norm: The norm mode the features were computed in.
        rows: The rows.
        layouts: By name.
        moved: By task; empty for a map of a dataset.
        computed: Store entries that had to be computed; 0 for a repeat.
    """

    checkpoint: str
    data: str
    split: str
    norm: str
    rows: Points
    layouts: Mapping[LayoutName, Layout]
    moved: Mapping[str, Moved]
    computed: int

    @property
    def episodes(self) -> tuple[int, ...]:
        """The episodes drawn, in order; none in a map of a dataset."""
        return tuple(int(e) for e in np.unique(self.rows.episode) if e >= 0)

    def facts(self) -> dict[str, Any]:
        """All but the points."""
        return {
            "schema": SCHEMA,
            "checkpoint": self.checkpoint,
            "data": self.data,
            "split": self.split,
            "norm": self.norm,
            "rows": len(self.rows),
            "images": self.rows.whole,
            "dim": int(self.rows.features.shape[1]),
            "episodes": list(self.episodes),
            "layouts": {
                name: {
                    **asdict(one.settings),
                    "explained": None if one.explained is None else list(one.explained),
                    "arrows": one.arrows,
                    **asdict(one.distortion),
                }
                for name, one in self.layouts.items()
            },
            "moved": {task: asdict(one) for task, one in self.moved.items()},
            "computed": self.computed,
        }

    def to_json(self) -> str:
        """Everything but features and pixels: facts, and a record for each row."""
        records = self.table().to_dict(orient="records")
        text = json.dumps(
            {**self.facts(), "points": records}, ensure_ascii=False, allow_nan=False, indent=1
        )
        return text + "\n"

    def table(self) -> pd.DataFrame:
        """One row for each point: id, class, group, what it is, and where each layout has it."""
        import pandas as pd

        rows = self.rows
        columns: dict[str, Any] = {
            "id": rows.ids.astype(str),
            "label": rows.labels,
            "class": [rows.classes[c] for c in rows.labels],
            "group": [rows.groups[c] for c in rows.labels],
        }
        if len(rows.pairs):
            columns |= {
                "task": rows.task.astype(str),
                "role": rows.role.astype(str),
                "moment": rows.moment.astype(str),
                "episode": rows.episode,
                "twin": self.twins(),
            }
        for name, layout in self.layouts.items():
            columns |= {f"{name}_x": layout.points[:, 0], f"{name}_y": layout.points[:, 1]}
        return pd.DataFrame(columns)

    def twins(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """``(N,)`` the row of the same image at the other moment; -1 where there is none."""
        twin = np.full(len(self.rows), -1, dtype=np.int64)
        before, after = self.rows.pairs.T
        twin[before], twin[after] = after, before
        return twin

    def plot(self, layout: LayoutName | None = None) -> Figure:
        """The figure: all layouts, or one."""
        from .figures import draw

        return draw(self, [layout] if layout else list(self.layouts))

    def sentences(self) -> list[str]:
        """What to read before looking."""
        said = []
        for task, one in self.moved.items():
            said.append(f"{task}: features {one.sentence()}")
        for name, layout in self.layouts.items():
            arrows = (
                ""
                if layout.arrows is None
                else f"; arrows follow the features, ρ = {layout.arrows:.2f}"
            )
            said.append(f"{name}: {layout.distortion.sentence()}{arrows}")
        return said

    def _repr_html_(self) -> str:
        from ..fragments import fragment

        title = f"{self.checkpoint} on {self.data}/{self.split}"
        return fragment(title, self.sentences(), self.plot())
