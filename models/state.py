"""A half-trained encoder on disk: everything training needs to go on.

One safetensors file beside the result, replaced whole at each look. It carries
a mark of what it was made from, and goes on with nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..data.errors import CheckpointError
from ..data.files import write_whole
from .container import decode, encode
from .forward import Params


@dataclass(frozen=True, eq=False)
class State:
    """Everything training needs to go on.

    Args:
        step: Outer steps done.
        params: Meta-parameters, ``body.…`` and ``head.…``.
        rates: What the rule learned.
        moments: Adam's first and second moments by parameter, ``first.…`` and ``second.…``.
        best: Best validation accuracy so far, a share; -1 before the first look.
        best_step: When it was reached.
        kept: The parameters and rates of that moment, ``params.…`` and ``rates.…``.
        history: ``(step, training loss, validation accuracy)`` at every look.
    """

    step: int
    params: Params
    rates: Params
    moments: Params
    best: float
    best_step: int
    kept: Params
    history: tuple[tuple[int, float, float], ...]


Progress = Callable[[State], None]


def learned(params: Params, rates: Params) -> Params:
    """Parameters and rates side by side, ``params.…`` and ``rates.…``."""
    return {f"params.{n}": p for n, p in params.items()} | {
        f"rates.{n}": r for n, r in rates.items()
    }


def under(prefix: str, tensors: Params) -> Params:
    """The tensors whose names begin so, without that beginning.

    >>> under("rates.", {"rates.a": 1, "params.a": 2})
    {'a': 1}
    """
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def save_state(path: Path, state: State, mark: Mapping[str, str]) -> None:
    """Write the state whole or not at all.

    Args:
        path: Where to.
        state: The state.
        mark: What it was made from; `load_state` asks for the same.

    Raises:
        MetaprobeError: If it cannot be written.
    """
    tensors = {
        **{f"now.{n}": p for n, p in learned(state.params, state.rates).items()},
        **{f"moments.{n}": p for n, p in state.moments.items()},
        **{f"kept.{n}": p for n, p in state.kept.items()},
    }
    words = {
        **mark,
        "step": state.step,
        "best": state.best,
        "best_step": state.best_step,
        "history": state.history,
    }
    write_whole(path, encode(tensors, {"state": json.dumps(words)}))


def load_state(path: Path, mark: Mapping[str, str]) -> State:
    """Read a state back.

    Args:
        path: The file.
        mark: What training is made from now.

    Raises:
        CheckpointError: If it is damaged, or was made from something else.
    """
    try:
        tensors, found = decode(path.read_bytes(), str(path))
        words = json.loads(found["state"])
        state = State(
            int(words["step"]),
            under("now.params.", tensors),
            under("now.rates.", tensors),
            under("moments.", tensors),
            float(words["best"]),
            int(words["best_step"]),
            under("kept.", tensors),
            tuple((int(s), float(a), float(b)) for s, a, b in words["history"]),
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{str(path)!r} cannot be read as a half-trained encoder ({error}); "
            "delete it to begin again",
            code="damaged",
        ) from error
    for part, now in mark.items():
        if words.get(part, now) != now:
            raise CheckpointError(
                f"{str(path)!r} holds a half-trained encoder of another recipe, dataset or "
                "version; delete it, or choose another --out",
                code="other-recipe",
            )
    return state
