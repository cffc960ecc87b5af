"""Curves over runs: layer by layer, step by step, level by level. Estimates without a statement."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..sections.layers import MEASURES
from .evidence import Evidence
from .question import difference
from .reduction import Runs, estimated

LEARNERS: tuple[Literal["MAML", "Meta-SGD"], ...] = ("MAML", "Meta-SGD")

LAYERS = ("block1", "block2", "block3", "block4")
"""Of Conv4; the pooled features of the last block are the embedding of 28 × 28 images."""


def profiles(runs: Runs) -> dict[str, list[dict[str, Any]]]:
    """Rows of every curve, by section."""
    return {
        "layers": _rows(runs, [
            (layer, task, difference(f"adapted {layer}, {task}", f"init {layer}, {task}"))
            for layer in LAYERS for task in ("on", "off")
        ]),
        "similarity": [
            {**row, **_null(runs, row)}
            for row in _rows(runs, [
                (layer, measure, {f"{measure} {layer}": 1.0})
                for measure in MEASURES for layer in LAYERS
            ])
        ],
        "steps": _rows(runs, [
            (str(step), task, difference(f"step {step}, {task}", f"step 0, {task}"))
            for step in _numbers(runs, "step ") for task in ("on", "off")
        ]),
        "distance": [
            {**row, "distance": _distance(runs, row)}
            for row in _rows(runs, [
                (level, "off", difference(f"{level}, adapted", f"{level}, init"))
                for level in _levels(runs)
            ])
        ],
        "wandering": _rows(runs, [
            (str(n), "off", difference(f"task {n}, off", "task 0, off"))
            for n in _numbers(runs, "task ")
        ]),
    }  # fmt: skip


def _rows(runs: Runs, asked: list[tuple[str, str, dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    for learner in LEARNERS:
        for label, kind, of in asked:
            told = estimated(of, learner, runs)
            if told is not None:
                numbers = {"value": told.value, "low": told.low, "high": told.high}
                rows.append({"learner": learner, "label": label, "kind": kind, **numbers,
                             "word": told.word})  # fmt: skip
    return rows


def _null(runs: Runs, row: dict[str, Any]) -> dict[str, float | None]:
    """What rows dealt anew give on average, and the largest p of any run."""
    name = f"{row['kind']} {row['label']}"
    found = runs[row["learner"]]
    if not all(f"p {name}" in e.numbers for e in found):
        return {"dealt": None, "p": None}
    dealt = [float(np.nanmean(e.episodes[f"{name}, dealt"])) for e in found]
    return {"dealt": float(np.mean(dealt)), "p": max(e.numbers[f"p {name}"] for e in found)}


def _first(runs: Runs) -> Evidence:
    return runs["MAML"][0]


def _numbers(runs: Runs, start: str) -> list[int]:
    """How far curves go; from 1, for all is told against 0."""
    names = {
        n.partition(",")[0].removeprefix(start) for n in _first(runs).slots if n.startswith(start)
    }
    return sorted(int(n) for n in names if n != "0")


def _levels(runs: Runs) -> list[str]:
    return [
        n.removeprefix("distance, ") for n in _first(runs).episodes if n.startswith("distance, ")
    ]


def _distance(runs: Runs, row: dict[str, Any]) -> float:
    """The level's mean distance over the learner's runs."""
    found = [e.episodes[f"distance, {row['label']}"] for e in runs[row["learner"]]]
    return float(np.mean(found))
