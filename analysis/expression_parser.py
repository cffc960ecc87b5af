"""Text to a condition: a small language, parsed by hand.

    condition  = clause {"or" clause}           clause = denial {"and" denial}
    denial     = "not" denial | comparison      comparison = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum        = product {("+" | "-") product}  product = signed {("*" | "/") signed}
    signed     = "-" signed | atom
    atom       = number | 'text' | true | false | null | abs(sum) | path | (condition)
    path       = name {.name | ["name"] | [number]}

Whatever the text, the outcome is a `Node` or an `ExpressionError` that says where.
Length, nesting and size are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .expressions import (
    TRUTHS,
    Applied,
    ExpressionError,
    Literally,
    Named,
    Node,
    Operator,
    Scalar,
    Step,
    path_text,
)

LONGEST = 1000
"""Characters of an expression."""
DEEPEST = 40
"""Brackets, signs and denials within each other."""
MOST_NODES = 200

TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<text>\"[^\"\\]*\"|'[^'\\]*')"
    r"|(?P<mark><=|>=|==|!=|[-−+*/()<>.\[\]]))",
    re.ASCII,
)


HINTS: Mapping[str, str] = {
    "%": "; a percentage point is written 0.01",
    "=": "; '==' compares",
    "&": "; write 'and'",
    "|": "; write 'or'",
    "!": "; write 'not' or '!='",
    **dict.fromkeys("“”„«»`", "; text goes in straight quotes"),
    **dict.fromkeys("–—", "; a minus is written -"),
}  # fmt: skip


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """A condition.

    Raises:
        ExpressionError: If it is none.

    >>> parse("a.b < 1")
    Applied(name='<', parts=(Named(path=('a', 'b'), at=1), Literally(value=1.0, at=7)), at=5)
    """
    if len(text) > LONGEST:
        raise ExpressionError(
            f"an expression of {len(text):,} characters; {LONGEST:,} are allowed", LONGEST + 1
        )
    parser = _Parser([*_tokens(text), _Token("end", "", len(text) + 1)])
    node = parser.condition()
    parser.expect("end", "", "an operator or the end")
    _truth(node)
    return node


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            hint = HINTS.get(text[start], "")
            raise ExpressionError(f"{text[start]!r} has no meaning here{hint}", start + 1)
        kind = found.lastgroup
        content = found[kind]
        yield _Token(kind, "-" if content == "−" else content, found.start(kind) + 1)
        at = found.end()


class _Parser:
    """Recursive descent; every step down is counted."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.depth = 0
        self.nodes = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self, *texts: str) -> _Token | None:
        """The next token if it is one of these marks or words."""
        token = self.next
        if token.kind in ("mark", "name") and token.text in texts:
            self.place += 1
            return token
        return None

    def expect(self, kind: str, text: str, said: str) -> _Token:
        token = self.next
        if token.kind != kind or (text and token.text != text):
            came = repr(token.text) if token.text else "the end"
            raise ExpressionError(f"{said} is expected and {came} comes", token.at)
        self.place += 1
        return token

    def made(self, name: Operator, parts: tuple[Node, ...], at: int) -> Applied:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise ExpressionError(f"more than {MOST_NODES} operators", at)
        return Applied(name, parts, at)

    def down(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"brackets nested more than {DEEPEST} deep", self.next.at)

    def condition(self) -> Node:
        node = self.clause()
        while token := self.take("or"):
            node = self.made("or", (_truth(node), _truth(self.clause())), token.at)
        return node

    def clause(self) -> Node:
        node = self.denial()
        while token := self.take("and"):
            node = self.made("and", (_truth(node), _truth(self.denial())), token.at)
        return node

    def denial(self) -> Node:
        token = self.take("not")
        if token is None:
            return self.comparison()
        self.down()
        node = self.made("not", (_truth(self.denial()),), token.at)
        self.depth -= 1
        return node

    def comparison(self) -> Node:
        left = self.sum()
        token = self.take("<", "<=", ">", ">=", "==", "!=")
        if token is None:
            return left
        right = self.sum()
        if another := self.take("<", "<=", ">", ">=", "==", "!="):
            raise ExpressionError(
                f"a second comparison {another.text!r}; join two with 'and'", another.at
            )
        name: Operator = token.text  # type: ignore[assignment]
        plain = name in ("==", "!=")
        return self.made(name, (_side(left, plain), _side(right, plain)), token.at)

    def sum(self) -> Node:
        node = self.product()
        while token := self.take("+", "-"):
            name: Operator = token.text  # type: ignore[assignment]
            node = self.made(name, (_side(node), _side(self.product())), token.at)
        return node

    def product(self) -> Node:
        node = self.signed()
        while token := self.take("*", "/"):
            name: Operator = token.text  # type: ignore[assignment]
            node = self.made(name, (_side(node), _side(self.signed())), token.at)
        return node

    def signed(self) -> Node:
        token = self.take("-")
        if token is None:
            return self.atom()
        self.down()
        inner = self.signed()
        self.depth -= 1
        if isinstance(inner, Literally) and type(inner.value) is float:
            return Literally(-inner.value, token.at)
        return self.made("-", (_side(inner),), token.at)

    def atom(self) -> Node:
        token = self.next
        if token.kind == "number":
            self.place += 1
            value = float(token.text)
            if not math.isfinite(value):
                raise ExpressionError(f"{token.text} is too large a number", token.at)
            return Literally(value, token.at)
        if token.kind == "text":
            self.place += 1
            return Literally(token.text[1:-1], token.at)
        if opened := self.take("("):
            self.down()
            node = self.condition()
            self.expect("mark", ")", f"')' for the bracket of character {opened.at}")
            self.depth -= 1
            return node
        if token.kind != "name" or token.text in ("and", "or", "not"):
            came = repr(token.text) if token.text else "the end"
            raise ExpressionError(f"a number, text or path is expected and {came} comes", token.at)
        self.place += 1
        if token.text in _WORDS:
            return Literally(_WORDS[token.text], token.at)
        if token.text == "abs" and self.take("("):
            self.down()
            inner = self.sum()
            self.expect("mark", ")", "')' for the bracket of 'abs'")
            self.depth -= 1
            return self.made("abs", (_side(inner),), token.at)
        return self.path(token)

    def path(self, first: _Token) -> Node:
        steps: list[Step] = [first.text]
        while True:
            if self.take("."):
                steps.append(self.expect("name", "", "a name after '.'").text)
            elif self.take("["):
                token = self.next
                if token.kind == "text":
                    steps.append(token.text[1:-1])
                elif token.kind == "number" and token.text.isdecimal() and len(token.text) < 8:
                    steps.append(int(token.text))
                else:
                    raise ExpressionError("a quoted name or a number is expected in [ ]", token.at)
                self.place += 1
                self.expect("mark", "]", "']'")
            else:
                break
            if len(steps) > DEEPEST:
                raise ExpressionError(f"a path of more than {DEEPEST} steps", first.at)
        if self.next.kind == "mark" and self.next.text == "(":
            raise ExpressionError(
                f"{path_text(tuple(steps))!r} cannot be called; abs( ) is the only function",
                first.at,
            )
        return Named(tuple(steps), first.at)


_WORDS: Mapping[str, Scalar] = {"true": True, "false": False, "null": None}


def _truth(node: Node) -> Node:
    """A part that must be a condition."""
    if isinstance(node, Applied) and node.name in TRUTHS:
        return node
    raise ExpressionError("a comparison such as 'effects.off.ci_low < -0.01' is needed", node.at)


def _side(node: Node, plain: bool = False) -> Node:
    """A part that must be a number; with `plain` any value will do."""
    if isinstance(node, Applied) and node.name in TRUTHS:
        raise ExpressionError("a value is needed here and this is a condition", node.at)
    if not plain and isinstance(node, Literally) and not isinstance(node.value, float):
        raise ExpressionError("a number is needed here", node.at, code="kinds")
    return node
