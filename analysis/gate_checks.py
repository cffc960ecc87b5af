"""What can be found wrong with a condition before anything is measured.

A gate that can never fail is worse than none, and one that turns out undecidable after an hour of
measuring is not much better. So paths, kinds of values, words and constants are looked at first.
"""

from __future__ import annotations

from .expressions import (
    TRUTHS,
    Applied,
    ExpressionError,
    Literally,
    Named,
    Node,
    Scalar,
    applications,
    names,
    path_text,
    value_of,
)
from .gate_paths import Kind, check_path, resolved


def check_condition(node: Node, *, baseline: bool) -> None:
    """Refuse a condition that cannot be decided on any audit, or would never fail.

    Args:
        node: The condition.
        baseline: Whether there is an earlier audit.

    Raises:
        ExpressionError: If a path is none, needs an earlier audit, is compared with a word it never
            is or a value of another kind, or if a part is a constant that cannot be computed.
    """
    for named in names(node):
        if resolved(named.path)[0] and not baseline:
            raise ExpressionError(
                f"{path_text(named.path)!r} needs --baseline AUDIT.json", named.at
            )
        check_path(named)
    for one in applications(node):
        if one.name in TRUTHS - {"or", "and", "not"}:
            _check_comparison(one)
        elif one.name not in TRUTHS:
            _check_arithmetic(one)


def plain_words(node: Node) -> Node:
    """The same condition with words spelt as audits spell them: ``TRACE-`` has a minus there."""
    if isinstance(node, Literally):
        return Literally(_sign(node.value), node.at)
    if isinstance(node, Named):
        return node
    return Applied(node.name, tuple(map(plain_words, node.parts)), node.at)


def _sign(word: Scalar) -> Scalar:
    return "TRACE−" if word == "TRACE-" else word


def _check_comparison(one: Applied) -> None:
    if next(names(one), None) is None:
        raise ExpressionError(
            "this compares nothing of the audit, so it is always so or never; paths go without "
            "quotes",
            one.parts[0].at,
        )
    kinds = [_kind(part) for part in one.parts]
    if one.name not in ("==", "!="):
        for part, kind in zip(one.parts, kinds, strict=True):
            _require_number(part, kind)
        return
    for part, other in (one.parts, one.parts[::-1]):
        _check_word(part, other)
    known = {kind.what for kind in kinds if kind.what not in ("any", "null")}
    if len(known) > 1:
        raise ExpressionError(f"{' is compared with '.join(sorted(known))}", one.at, code="kinds")


def _check_word(named: Node, literal: Node) -> None:
    """Refuse to compare with a word that a path never is: it would never be so."""
    if not isinstance(named, Named) or not isinstance(literal, Literally):
        return
    words = check_path(named).words
    if words and _sign(literal.value) not in words:
        what = "verdict" if named.path[-1] == "verdict" else path_text(named.path)
        said = "null" if literal.value is None else repr(literal.value)
        raise ExpressionError(
            f"{said} is no {what}; the {what}s are {', '.join(words)}"
            if what == "verdict"
            else f"{said} is no {what}; it is one of {', '.join(words)}",
            literal.at,
            code=str(named.path[-1]),
        )


def _check_arithmetic(one: Applied) -> None:
    for part in one.parts:
        _require_number(part, _kind(part))
    constants = [part for part in (one, *one.parts) if next(names(part), None) is None]
    for part in constants:
        value = value_of(part, _no_path)
        if one.name == "/" and part is one.parts[1] and value == 0:
            raise ExpressionError("a division by zero", one.at, code="division")


def _require_number(part: Node, kind: Kind) -> None:
    if kind.what not in ("a number", "any"):
        said = path_text(part.path) if isinstance(part, Named) else "this"
        raise ExpressionError(
            f"{said} is {kind.what} where a number is needed", part.at, code="kinds"
        )


def _kind(node: Node) -> Kind:
    """What a part is, as far as it can be told."""
    if isinstance(node, Named):
        return check_path(node)
    if isinstance(node, Applied):
        return Kind("a number")
    if node.value is None:
        return Kind("null")
    if isinstance(node.value, bool):
        return Kind("true or false")
    return Kind("text" if isinstance(node.value, str) else "a number")


def _no_path(named: Named) -> Scalar:
    raise ExpressionError(f"{path_text(named.path)!r} is no constant", named.at)
