"""Paths into an audit, as a gate writes them: known before anything is measured.

The audit's own schema says which paths there are, so a misspelt one is refused at
once, with the nearest that exist. Only what is named by the data (layers, probes,
rates) must wait for the result. `load.coverage` and the like are short names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from ..models.load_body import LoadReport
from ..models.strip import StripReport
from .expressions import ExpressionError, Named, Path, Scalar, path_text
from .result import Audit

SHORT: Mapping[str, Path] = {
    "load": ("checkpoint", "load_report"),
    "strip": ("checkpoint", "strip_report"),
    "on": ("effects", "on"),
    "off": ("effects", "off"),
    "interaction": ("effects", "interaction"),
    "meta_init": ("phases", "meta_init"),
    "on_task": ("phases", "on_task"),
    "off_task": ("phases", "off_task"),
}
"""First step of a path, and what it stands for."""

REPORTS: Mapping[str, type[LoadReport] | type[StripReport]] = {
    "load_report": LoadReport,
    "strip_report": StripReport,
}

BASELINE = "baseline"


def resolved(path: Path) -> tuple[bool, Path]:
    """Whether a path is the baseline's, and its steps with short names written out.

    >>> resolved(("baseline", "load", "coverage"))
    (True, ('checkpoint', 'load_report', 'coverage'))
    """
    old = path[:1] == (BASELINE,)
    steps = path[1:] if old else path
    head = steps[0] if steps else ""
    return old, (*SHORT[head], *steps[1:]) if isinstance(head, str) and head in SHORT else steps


def check_path(named: Named) -> None:
    """Refuse a path that no audit has.

    Raises:
        ExpressionError: Naming what is near.
    """
    _, steps = resolved(named.path)
    kind: Any = Audit
    for place, step in enumerate(steps):
        kind = _plain(kind)
        if _is_model(kind):
            if not isinstance(step, str) or step not in _fields(kind):
                raise _unknown(named)
            kind = _fields(kind)[step]
            if step in REPORTS:
                _check_report(named, steps[place + 1 :], step)
                return
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif get_origin(kind) is tuple:
            item = _plain(get_args(kind)[0])
            if not isinstance(step, int) and not (_is_model(item) and "name" in _fields(item)):
                raise _unknown(named)
            kind = item
        elif _is_open(kind):
            return
        else:
            raise _unknown(named)
    kind = _plain(kind)
    if not steps or _is_model(kind) or get_origin(kind) in (dict, tuple):
        inner = ", ".join(list(_fields(kind))[:5]) if _is_model(kind) else "its parts"
        raise ExpressionError(
            f"{path_text(named.path)!r} is a group; choose one of {inner}", named.at, code="path"
        )


def value_at(audit: Audit, named: Named) -> Scalar:
    """What an audit holds at a path; null where a part on the way is null.

    Raises:
        ExpressionError: If a name of the data (a layer, a probe) is not there, or the end is no
            single value.
    """
    here: Any = audit
    for step in resolved(named.path)[1]:
        if here is None:
            return None
        keys = _keys(here)
        if isinstance(step, int) and isinstance(here, tuple | list):
            found = here[step] if step < len(here) else _MISSING
        else:
            found = keys.get(str(step), _MISSING)
        if found is _MISSING:
            near = difflib.get_close_matches(str(step), keys, 3, 0.3) or list(keys)[:5]
            raise ExpressionError(
                f"{path_text(named.path)!r} is not in this audit: there is no {step!r} among "
                f"{', '.join(map(repr, near)) or 'nothing'}",
                named.at,
                code="path",
            )
        here = found
    if here is None or isinstance(here, str | bool):
        return here
    if isinstance(here, int | float):
        return float(here)
    raise ExpressionError(
        f"{path_text(named.path)!r} is no single value; choose a part of it", named.at, code="path"
    )


_MISSING = object()


def _keys(here: Any) -> dict[str, Any]:
    """What can be named in a value: fields, keys, or items by their name."""
    if isinstance(here, BaseModel):
        return {name: getattr(here, name) for name in type(here).model_fields}
    if isinstance(here, dict):
        return here
    if isinstance(here, tuple | list):
        return {str(item.name): item for item in here if hasattr(item, "name")}
    return {}


def _check_report(named: Named, steps: Path, report: str) -> None:
    known = [field.name for field in fields(REPORTS[report])]
    if len(steps) != 1 or steps[0] not in known:
        raise _unknown(named)


def _unknown(named: Named) -> ExpressionError:
    text = path_text(named.path)
    plain = path_text(resolved(named.path)[1])
    every = list(known_paths())
    near = difflib.get_close_matches(text, every, 3, 0.5)
    near += [p for p in difflib.get_close_matches(plain, every, 3, 0.5) if p not in near]
    return ExpressionError(
        f"no audit has {text!r}; near it are {', '.join(near[:3])}"
        if near
        else f"no audit has {text!r}; there are such as effects.off.ci_low, load.coverage",
        named.at,
        code="path",
    )


def known_paths() -> Iterator[str]:
    """Paths of single values that every audit may have, short names first."""
    for name, steps in SHORT.items():
        if steps[-1] in REPORTS:
            yield from (f"{name}.{field.name}" for field in fields(REPORTS[str(steps[-1])]))
    for path in _leaves(Audit, ()):
        for name, steps in SHORT.items():
            if path[: len(steps)] == steps:
                yield path_text((name, *path[len(steps) :]))
        yield path_text(path)


def _leaves(kind: Any, above: Path) -> Iterator[Path]:
    kind = _plain(kind)
    if _is_model(kind):
        for name, inner in _fields(kind).items():
            yield from _leaves(inner, (*above, name))
    elif get_origin(kind) not in (dict, tuple, list):
        yield above


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_open(kind: Any) -> bool:
    """Whether anything may lie under it."""
    return (
        kind is not bool
        and not (isinstance(kind, type) and issubclass(kind, int | float | str))
        and (get_origin(kind) is not Literal)
    )


def _fields(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: field.annotation for name, field in kind.model_fields.items()}


def _plain(kind: Any) -> Any:
    """A type without its annotations and without None."""
    while True:
        if hasattr(kind, "__metadata__"):
            kind = get_args(kind)[0]
            continue
        others = [one for one in get_args(kind) if one is not NoneType]
        if len(others) == 1 and NoneType in get_args(kind):
            kind = others[0]
            continue
        return kind
