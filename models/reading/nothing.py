"""Why a file that can be read holds no state dict, in a sentence that helps whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...data.errors import CheckpointError
from .views import View

NOT_WEIGHTS = ("optim", "sched", "scaler", "callbacks", "loops", "rng", "exp_avg")


def beside(key: Any) -> bool:
    """Whether a key is of an optimiser or the like, not of weights."""
    return isinstance(key, str) and any(word in key.lower() for word in NOT_WEIGHTS)


def refuse_nothing(value: Any, found: Mapping[tuple[str, ...], Any], where: str) -> None:
    """Stop where no state dict was found.

    Args:
        value: Nested plain data with views.
        found: The dictionaries that might be the state dict.
        where: What to call the file in an error.

    Raises:
        CheckpointError: If there is none.
    """
    if found:
        return
    if isinstance(value, View):
        raise CheckpointError(
            f"{where!r} holds one tensor of shape {value.shape} without a name; a state dict is "
            "needed",
            code="no-tensors",
        )
    if isinstance(value, dict) and any(
        isinstance(v, View) and not isinstance(k, str) for k, v in value.items()
    ):
        raise CheckpointError(
            f"{where!r} holds tensors whose names are not text; a state dict is needed",
            code="keys",
        )
    arrays = _arrays(value)
    if arrays:
        raise CheckpointError(
            f"{where!r} holds NumPy arrays, not tensors, such as {ascii(arrays)[:60]}; save it again "
            "with `torch.save({n: torch.from_numpy(a) for n, a in arrays.items()}, ...)`",
            code="no-tensors",
        )
    if _somewhere(value):
        raise CheckpointError(
            f"{where!r} holds tensors in a list or under keys that are not text; save the state "
            "dict alone, with `torch.save(model.state_dict(), ...)`",
            code="no-tensors",
        )
    has = ""
    if isinstance(value, dict):
        has = ", ".join(ascii(k)[:40] for k in list(value)[:6])
    raise CheckpointError(
        f"{where!r} holds no weights ({f'only {has}' if has else 'nothing with a name'}); a state "
        "dict with at least one tensor is needed",
        code="no-tensors",
    )


def _somewhere(value: Any) -> bool:
    """Whether tensors lie anywhere but under an optimiser's names."""
    stack = [value]
    seen: set[int] = set()
    while stack:
        one = stack.pop()
        if isinstance(one, View):
            return True
        if not isinstance(one, dict | list | tuple) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            stack += [v for k, v in one.items() if not beside(k)]
        else:
            stack += one
    return False


def _arrays(value: Any) -> str:
    """The name of an array in nested dictionaries; empty where there is none."""
    stack = [value]
    seen: set[int] = set()
    while stack:
        one = stack.pop()
        if not isinstance(one, dict) or id(one) in seen:
            continue
        seen.add(id(one))
        for key, inner in one.items():
            sizes = getattr(inner, "shape", ())
            if isinstance(key, str) and sizes != () and not isinstance(inner, View):
                return key
        stack += list(one.values())
    return ""
