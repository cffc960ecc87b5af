"""Conditions on numbers, as a tree that is decided here and never handed to Python.

`expression_parser.py` makes the tree from text. What a path means is the caller's
business; what cannot be decided is an `ExpressionError` that says where, and never a guess.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ..data.errors import MetaprobeError

Scalar = float | str | bool | None
Step = str | int
Path = tuple[Step, ...]

Operator = Literal["or", "and", "not", "abs", "<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/"]


class ExpressionError(MetaprobeError):
    """A condition that cannot be parsed or decided; ``at`` is the character, from 1."""

    def __init__(self, message: str, at: int, *, code: str = "expression") -> None:
        super().__init__(f"at character {at}, {message}", code=code)
        self.at = at


@dataclass(frozen=True)
class Literally:
    """A value as written."""

    value: Scalar
    at: int


@dataclass(frozen=True)
class Named:
    """A path, as steps."""

    path: Path
    at: int


@dataclass(frozen=True)
class Applied:
    """An operator and what it is applied to."""

    name: Operator
    parts: tuple[Node, ...]
    at: int


Node = Literally | Named | Applied

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
TRUTHS = frozenset({"or", "and", "not", "==", "!=", *COMPARE})


def names(node: Node) -> Iterator[Named]:
    """Every path in a condition, in order."""
    if isinstance(node, Named):
        yield node
    elif isinstance(node, Applied):
        for part in node.parts:
            yield from names(part)


def applications(node: Node) -> Iterator[Applied]:
    """Every operator in a condition, outer ones first."""
    if isinstance(node, Applied):
        yield node
        for part in node.parts:
            yield from applications(part)


def decide(node: Node, lookup: Callable[[Named], Scalar]) -> bool:
    """Whether a condition holds; ``and`` and ``or`` stop where the outcome is known.

    Raises:
        ExpressionError: If a value is null where a number is needed, two kinds are compared, or a
            number is divided by zero.
    """
    if not isinstance(node, Applied) or node.name not in TRUTHS:
        raise ExpressionError("this is a value and no condition", node.at)
    if node.name == "or":
        return any(decide(part, lookup) for part in node.parts)
    if node.name == "and":
        return all(decide(part, lookup) for part in node.parts)
    if node.name == "not":
        return not decide(node.parts[0], lookup)
    left, right = (value_of(part, lookup) for part in node.parts)
    if node.name in ("==", "!="):
        if left is not None and right is not None and _kind(left) != _kind(right):
            raise ExpressionError(
                f"{_kind(left)} is compared with {_kind(right)}", node.at, code="kinds"
            )
        return (left == right) == (node.name == "==")
    return COMPARE[node.name](_number(left, node.parts[0]), _number(right, node.parts[1]))


def value_of(node: Node, lookup: Callable[[Named], Scalar]) -> Scalar:
    """The value of a part that is no condition.

    Raises:
        ExpressionError: If it has none.
    """
    if isinstance(node, Literally):
        return node.value
    if isinstance(node, Named):
        return lookup(node)
    parts = [_number(value_of(part, lookup), part) for part in node.parts]
    if node.name == "/" and parts[1] == 0:
        raise ExpressionError("a division by zero", node.at, code="division")
    if node.name == "abs":
        found = abs(parts[0])
    elif len(parts) == 1:
        found = -parts[0]
    else:
        found = _ARITHMETIC[node.name](*parts)
    if not math.isfinite(found):
        raise ExpressionError("a number too large to hold", node.at, code="overflow")
    return found


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip


def _number(value: Scalar, node: Node) -> float:
    if value is None:
        raise ExpressionError(
            f"{spelt(node)} is null, so this cannot be decided; guard it with '!= null and'",
            node.at,
            code="null",
        )
    if isinstance(value, str | bool):
        raise ExpressionError(
            f"{spelt(node)} is {_kind(value)} where a number is needed", node.at, code="kinds"
        )
    if not math.isfinite(value):  # it would be neither below nor above anything
        raise ExpressionError(f"{spelt(node)} is {value}, which is no number", node.at, code="nan")
    return float(value)


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number"


def spelt(node: Node) -> str:
    """A path as it is written; anything else as what it is."""
    if isinstance(node, Named):
        return path_text(node.path)
    return "null" if isinstance(node, Literally) and node.value is None else "this"


def path_text(path: Path) -> str:
    """Steps as text.

    >>> path_text(("layers", "block1.conv", "effects"))
    'layers["block1.conv"].effects'
    """
    out = ""
    for step in path:
        plain = isinstance(step, str) and re.fullmatch(r"[A-Za-z_]\w*", step, re.ASCII)
        if plain:
            out += f".{step}" if out else str(step)
        else:
            out += f'["{step}"]' if isinstance(step, str) else f"[{step}]"
    return out
