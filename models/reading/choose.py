"""Which of the dictionaries in a file is the state dict, and what the rest says.

A key given by the caller wins; else a single candidate; else a stated preference, flagged.
A model and its moving average, or a student and its teacher, are two networks: one is read,
and the flag names the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...data.errors import CheckpointError
from .nothing import beside, refuse_nothing
from .prefix import repair
from .views import View
from .words import inert

Path = tuple[str, ...]

PREFERRED = (
    "state_dict", "model_state_dict", "model_state", "model", "params", "network", "net",
    "encoder", "backbone", "teacher", "encoder_q", "online_encoder", "online_network", "student",
    "module", "weights", "",
)  # fmt: skip
"""Names of the dictionary that is read where there are several, the first found wins."""

TWINS = (
    ("teacher", "student"), ("encoder_q", "encoder_k"), ("online_encoder", "target_encoder"),
    ("online_network", "target_network"), ("model", "model_ema"), ("model", "ema_model"),
    ("model", "ema"), ("net", "net_ema"), ("backbone", "momentum_backbone"),
)  # fmt: skip
"""Two networks whose tensors lie in one dictionary under these prefixes."""


@dataclass(frozen=True)
class Choice:
    """The state dict that is read.

    Args:
        tensors: Its views, by name.
        candidates: Every dictionary that might have been it, as dotted paths.
        chosen: The path of this one; empty for the file's top.
        why: In a few words.
        metadata: What the rest of the file says, as JSON values.
        flags: Sentences by code, to be read after the file's name.
    """

    tensors: Mapping[str, View]
    candidates: tuple[str, ...]
    chosen: str
    why: str
    metadata: Any
    flags: Mapping[str, str]


def choose(value: Any, state_key: str | None, where: str) -> Choice:
    """The state dict of a file.

    Args:
        value: Nested plain data with views.
        state_key: A dotted path, ``"."`` for all tensors of the file, or None to find it.
        where: What to call the file in an error.

    Raises:
        CheckpointError: If there is none, or several and no preference among them.
    """
    found = dict(_candidates(value))
    if state_key != ".":
        refuse_nothing(value, found, where)
    names = tuple(".".join(path) for path in found)
    flags: dict[str, str] = {}
    if state_key is not None:
        path, tensors = _asked(value, found, state_key, where)
        why = "it was asked for"
    elif len(found) == 1:
        [(path, tensors)] = found.items()
        why = "it is the only one"
        if len(path) > 1:
            under = ".".join(path)[:200]
            flags["nested"] = f"keeps its tensors {len(path)} levels down, under {under}"
    else:
        path = _preferred(found, names, where)
        tensors = found[path]
        why = "of several it is the usual one"
        others = _listed([n or "(top)" for n in names if n != ".".join(path)])
        flags["choice"] = (
            f"holds {len(found)} state dicts; {'.'.join(path)[:200] or '(top)'} is read, not {others}; "
            "choose with the state key"
        )
    metadata, instructions = inert(value, skip={id(value) if not path else id(_at(value, path))})
    if instructions:
        flags["instructions"] = instructions
    _refuse_no_text(tensors, where)
    odd = [n for n in tensors if not n.isprintable() or len(n) > 200]
    if odd:
        flags["odd-name"] = f"has tensor names with unprintable signs, such as {odd[0][:60]!a}"
    return Choice(tensors, names, ".".join(path), why, metadata, flags)


def _refuse_no_text(names: Iterable[str], where: str) -> None:
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CheckpointError(
                f"{where!r} has a tensor named {name[:60]!a}, which is no text", code="keys"
            ) from error


def _candidates(value: Any) -> Iterator[tuple[Path, dict[str, View]]]:
    """Dictionaries from names to tensors, except those of optimisers and the like."""
    seen: set[int] = set()
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, one = stack.pop()
        if not isinstance(one, dict) or id(one) in seen:
            continue
        seen.add(id(one))
        named = {k: v for k, v in one.items() if isinstance(k, str) and isinstance(v, View)}
        if any(view.shape for view in named.values()):
            yield from _twins(path, named)
        stack += [
            ((*path, key), inner)
            for key, inner in reversed(one.items())
            if isinstance(key, str) and not beside(key)
        ]


def _twins(path: Path, named: dict[str, View]) -> Iterator[tuple[Path, dict[str, View]]]:
    wrapped = repair(named, "").prefix if len(named) > 1 else ""
    firsts = {name.removeprefix(wrapped).partition(".")[0] for name in named}
    for twins in TWINS:
        if firsts >= set(twins):
            for one in twins:
                start = f"{wrapped}{one}."
                inner = {n.removeprefix(start): v for n, v in named.items() if n.startswith(start)}
                yield (*path, one), inner
            return
    yield path, named


def _preferred(found: Mapping[Path, Any], names: tuple[str, ...], where: str) -> Path:
    for word in PREFERRED:
        hits = [path for path in found if (path[-1] if path else "") == word]
        if len(hits) == 1:
            return hits[0]
        if hits:
            break
    listed = _listed([n or "." for n in names])
    raise CheckpointError(
        f"{where!r} holds {len(found)} state dicts ({listed}); say which with the state key, or "
        "'.' for every tensor of the file",
        code="ambiguous-state",
    )


def _listed(names: list[str]) -> str:
    """A few names, and how many more there are."""
    return ", ".join(n[:80] for n in names[:8]) + (
        f" and {len(names) - 8} more" if names[8:] else ""
    )


def _asked(
    value: Any, found: Mapping[Path, dict[str, View]], key: str, where: str
) -> tuple[Path, dict[str, View]]:
    path = () if key == "." else tuple(key.split("."))
    for one in found:
        if ".".join(one) == key:
            return one, found[one]
    flat = _flat(_at(value, path))
    if not flat:
        listed = _listed([".".join(one) or "." for one in found])
        raise CheckpointError(
            f"{where!r} has no state dict {key!r}; it has {listed}", code="unknown-state"
        )
    return path, flat


def _at(value: Any, path: Path) -> Any:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _flat(value: Any) -> dict[str, View]:
    """Tensors of nested dictionaries, their keys joined by dots."""
    out: dict[str, View] = {}
    seen: set[int] = set()
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, one = stack.pop()
        if isinstance(one, View):
            out[".".join(path)] = one
        elif isinstance(one, dict) and id(one) not in seen:
            seen.add(id(one))
            stack += [((*path, k), v) for k, v in reversed(one.items()) if isinstance(k, str)]
    return out
