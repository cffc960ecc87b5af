"""What stands beside the weights of a file, as JSON values that nobody acts on.

Settings, logs and states of optimisers come from strangers: they are bounded in number and in
length, tensors are only described, and words that ask for code or addresses are pointed out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...data.pickle_policy import Global, Opaque
from .views import Storage, View

INSTRUCTIONS = frozenset(
    {"_target_", "_instantiator", "auto_map", "class_path", "url", "trust_remote_code"}
)
MOST_WORDS = 50_000
MOST_LETTERS = 4 * 2**20
LONGEST_WORD = 2000


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
            if isinstance(value, Storage):
                return "storage"
            item = getattr(value, "tolist", None)  # NumPy: a scalar or an array
            if item is None:
                return type(value).__name__
            if getattr(value, "ndim", 0):
                return f"array {value.dtype} {value.shape}"
            return self.plain(item(), path, depth + 1)
        finally:
            self.inside.discard(id(value))
