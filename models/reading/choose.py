"""Which of the dictionaries in a file is the state dict, and what the rest says.

A key given by the caller wins; else a single candidate; else a stated preference, flagged.
A model and its moving average, or a student and its teacher, are two networks: one is read,
and the flag names the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...data.errors import CheckpointError
from ...data.pickle_policy import Global, Opaque
from .prefix import repair
from .views import Storage, View

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

NOT_WEIGHTS = ("optim", "sched", "scaler", "callbacks", "loops", "rng", "exp_avg")
INSTRUCTIONS = frozenset(
    {"_target_", "_instantiator", "auto_map", "class_path", "url", "trust_remote_code"}
)
MOST_WORDS = 50_000
MOST_LETTERS = 4 * 2**20
LONGEST_WORD = 2000


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
        _refuse_nothing(value, found, where)
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
            if isinstance(key, str) and not _beside(key)
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


def _refuse_nothing(value: Any, found: Mapping[Path, Any], where: str) -> None:
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
            stack += [v for k, v in one.items() if not _beside(k)]
        else:
            stack += one
    return False


def _beside(key: Any) -> bool:
    return isinstance(key, str) and any(word in key.lower() for word in NOT_WEIGHTS)


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


def inert(value: Any, skip: set[int] | None = None) -> tuple[Any, str]:
    """Nested data as JSON values, and a sentence if they ask for code or addresses.

    Args:
        value: Nested plain data.
        skip: Identities of containers whose tensors are left out.

    >>> inert({"_target_": "os.system"})[0]
    {'_target_': 'os.system'}
    """
    words = _Words(skip or set())
    plain = words.plain(value)
    if not words.instructions:
        return plain, ""
    return plain, (
        f"names code or addresses in its settings ({', '.join(words.instructions[:3])}); they "
        "are words here, and nothing was imported or fetched"
    )


@dataclass
class _Words:
    """Nested data as JSON values: bounded, without tensors' values, each container once."""

    skip: set[int]
    count: int = 0
    letters: int = 0
    instructions: list[str] = field(default_factory=list)
    inside: set[int] = field(default_factory=set)

    def plain(self, value: Any, path: str = "", depth: int = 0) -> Any:
        self.count += 1
        if self.full or depth > 24:
            return "…"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= 63 else f"integer of {value.bit_length()} bits"
        if isinstance(value, float):
            return value if abs(value) < float("inf") else str(value)
        if isinstance(value, str):
            self.letters += min(len(value), LONGEST_WORD)
            return value if len(value) <= LONGEST_WORD else value[:LONGEST_WORD] + "…"
        if isinstance(value, View):
            return f"tensor {value.dtype} {value.shape}"
        if isinstance(value, Global):
            return value.name
        if isinstance(value, bytes):
            return f"{len(value)} bytes"
        return self._container(value, path, depth)

    @property
    def full(self) -> bool:
        """Whether no more is kept; what is left of a container is then one sign."""
        return self.count > MOST_WORDS or self.letters > MOST_LETTERS

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if id(value) in self.inside:
            return "…"
        self.inside.add(id(value))
        try:
            if isinstance(value, dict):
                out: dict[str, Any] = {}
                for key, inner in value.items():
                    if self.full:
                        out["…"] = "…"
                        break
                    word = key if isinstance(key, str) else ascii(key)
                    self.letters += min(len(word), 200)
                    below = f"{path[:200]}.{word[:200]}" if path else word[:200]
                    if word in INSTRUCTIONS:
                        self.instructions.append(below[:80])
                    if id(value) in self.skip and isinstance(inner, View):
                        continue
                    if id(inner) not in self.skip:
                        out[word[:200]] = self.plain(inner, below, depth + 1)
                return out
            if isinstance(value, list | tuple | set | frozenset):
                listed = []
                for inner in value:
                    listed.append(self.plain(inner, path, depth + 1))
                    if self.full:
                        break
                return listed
            if isinstance(value, Opaque):
                parts = {"args": value.args, "state": value.state, "items": value.items}
                told = {k: self.plain(v, path, depth + 1) for k, v in parts.items() if v}
                return {"class": value.name, **told}
            if isinstance(value, tuple | Storage):
                return "storage"
            item = getattr(value, "tolist", None)  # NumPy: a scalar or an array
            if item is None:
                return type(value).__name__
            if getattr(value, "ndim", 0):
                return f"array {value.dtype} {value.shape}"
            return self.plain(item(), path, depth + 1)
        finally:
            self.inside.discard(id(value))
