"""Paths into an audit, as a gate writes them: known before anything is measured.

The audit's own schema says which paths there are, so a misspelt one is refused at
once, with the nearest that exist. Only what is named by the data (layers, probes,
rates) must wait for the result. `load.coverage` and the like are short names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from ..models.load_body import LoadReport
from ..models.strip import StripReport
from .expressions import ExpressionError, Named, Path, Scalar, path_text
from .result import Audit
from .verdicts import Verdict

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

HIDDEN = (("gates",), ("bits",))
"""What no condition is about: the outcomes of gates themselves, and what only programs read."""


def resolved(path: Path) -> tuple[bool, Path]:
    """Whether a path is the baseline's, and its steps with short names written out.

    >>> resolved(("baseline", "load", "coverage"))
    (True, ('checkpoint', 'load_report', 'coverage'))
    """
    old = path[:1] == (BASELINE,)
    steps = path[1:] if old else path
    head = steps[0] if steps else ""
    return old, (*SHORT[head], *steps[1:]) if isinstance(head, str) and head in SHORT else steps


@dataclass(frozen=True)
class Kind:
    """What an audit holds at a path, as far as its schema tells.

    Args:
        what: ``a number``, ``text``, ``true or false``, ``null``, or ``any`` where data decides.
        words: All that it may be, where those are words.
    """

    what: str
    words: tuple[str, ...] = ()


def check_path(named: Named) -> Kind:
    """Refuse a path that no audit has.

    Raises:
        ExpressionError: Naming what is near.
    """
    _, steps = resolved(named.path)
    if steps[:1] in HIDDEN:
        raise _unknown(named)
    kind: Any = Audit
    for place, step in enumerate(steps):
        kind = _plain(kind)
        if _is_model(kind):
            if not isinstance(step, str) or step not in _fields(kind):
                raise _unknown(named)
            kind = _fields(kind)[step]
            if step in REPORTS:
                kind = _report(named, steps[place + 1 :], step)
                break
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif get_origin(kind) is tuple:
            item = _plain(get_args(kind)[0])
            if not isinstance(step, int) and not (_is_model(item) and "name" in _fields(item)):
                raise _unknown(named)
            kind = item
        elif _is_open(kind):
            return Kind("any")
        else:
            raise _unknown(named)
    found = _scalar(_plain(kind))
    if not steps or found is None:
        plain = _plain(kind)
        inner = ", ".join(list(_fields(plain))[:5]) if _is_model(plain) else "its parts"
        raise ExpressionError(
            f"{path_text(named.path)!r} is a group; choose one of {inner}"
            if _is_model(plain) or get_origin(plain) in (dict, tuple, list)
            else f"{path_text(named.path)!r} is no number and no text",
            named.at,
            code="path",
        )
    return found


def _scalar(kind: Any) -> Kind | None:
    """What a type is to a condition; None where it is no single value."""
    if get_origin(kind) is Literal:
        words = get_args(kind)
        text = all(isinstance(word, str) for word in words)
        return Kind("text", words) if text else Kind("any")
    if kind is bool:
        return Kind("true or false")
    if isinstance(kind, type) and issubclass(kind, int | float):
        return Kind("a number")
    if isinstance(kind, type) and issubclass(kind, str):
        return Kind("text")
    if kind is Any or (
        get_origin(kind) in (Union, UnionType) and all(map(_scalar, get_args(kind)))
    ):
        return Kind("any")
    return None


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
        known = type(here).model_fields.items()
        return {field.alias or name: getattr(here, name) for name, field in known}
    if isinstance(here, dict):
        return here
    if isinstance(here, tuple | list):
        return {str(item.name): item for item in here if hasattr(item, "name")}
    return {}


def _report(named: Named, steps: Path, report: str) -> Any:
    """The type of a field of a report, which is no model."""
    known = get_type_hints(REPORTS[report])
    if len(steps) != 1 or steps[0] not in known:
        raise _unknown(named)
    return known[str(steps[0])]


def _unknown(named: Named) -> ExpressionError:
    text = path_text(named.path)
    if text in get_args(Verdict):
        return ExpressionError(f"text goes in quotes: '{text}'", named.at, code="path")
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
            hints = get_type_hints(REPORTS[str(steps[-1])])
            yield from (f"{name}.{field}" for field, kind in hints.items() if _scalar(_plain(kind)))
    for path in _leaves(Audit, ()):
        if path[:1] in HIDDEN:
            continue
        for name, steps in SHORT.items():
            if path[: len(steps)] == steps:
                yield path_text((name, *path[len(steps) :]))
        yield path_text(path)


def _leaves(kind: Any, above: Path) -> Iterator[Path]:
    kind = _plain(kind)
    if _is_model(kind):
        for name, inner in _fields(kind).items():
            yield from _leaves(inner, (*above, name))
    elif _scalar(kind) is not None:
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
    return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}


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
