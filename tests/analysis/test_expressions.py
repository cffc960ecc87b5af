"""The language of gates: it decides as arithmetic does, and whatever comes, only it answers."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.analysis.expression_parser import DEEPEST, LONGEST, parse
from metaprobe.analysis.expressions import (
    ExpressionError,
    Named,
    Node,
    Scalar,
    decide,
    names,
    path_text,
)

VALUES: Mapping[str, Scalar] = {
    "a": 1.0, "b.c": -2.5, "zero": 0.0, "none": None, "word": "LOWERED", "yes": True,
    'layers["x.y"].z': 4.0, "list[3]": 7.0,
}  # fmt: skip


def holds(text: str) -> bool:
    def lookup(named: Named) -> Scalar:
        return VALUES[path_text(named.path)]

    return decide(parse(text), lookup)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < 2", True),
        ("a <= 1 and a >= 1", True),
        ("a > 1 or b.c == -2.5", True),
        ("not a > 1 and a == 1", True),
        ("not (a < 2 or a > 5)", False),
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3 == 9", True),
        ("8 / 4 / 2 == 1 and 8 - 4 - 2 == 2", True),
        ("-a * 2 == -2 and - - a == 1", True),
        ("abs(b.c) > abs(-2) + .4", True),
        ("abs(b.c) > 2.5", False),
        ("b.c < −2", True),
        ("1e-3 < 0.01", True),
        ("word == 'LOWERED' and word != \"RAISED\"", True),
        ("yes == true and yes != false", True),
        ("none == null and a != null", True),
        ("none != null and none < 3", False),
        ("none == null or none < 3", True),
        ('layers["x.y"].z == 4 and list[3] == 7', True),
        ("a < 2 and a < 3 and a < 0 or a == 1", True),
    ],
)
def test_conditions_mean_what_they_say(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 1, "the end comes"),
        ("a", 1, "a comparison"),
        ("a <", 4, "the end comes"),
        ("a < 1 < 2", 7, "second comparison"),
        ("a < 1 b", 7, "'b' comes"),
        ("a = 1", 3, "'=' has no meaning"),
        ("a < 1; b", 6, "';'"),
        ("(a < 1", 7, "bracket of character 1"),
        ("a and b < 1", 1, "a comparison"),
        ("(a < 1) + 2 > 1", 4, "a value is needed"),
        ("'x' < 1 + 'y'", 11, "a number is needed"),
        ("open('x') == 1", 1, "cannot be called"),
        ("a.__class__.mro() == 1", 1, "cannot be called"),
        ("__import__('os') == 1", 1, "cannot be called"),
        ("a.(b) < 1", 3, "a name after"),
        ("a[b] < 1", 3, "quoted name"),
        ("a['b' < 1", 7, "']'"),
        ("1e999 < a", 1, "too large"),
        ("a < 'x", 5, "has no meaning"),
        ("λ < 1", 1, "has no meaning"),
        ("a < 1_000", 5, "has no meaning"),
        ("a in b", 3, "'in' comes"),
    ],
)
def test_what_is_no_condition_says_where(text: str, at: int, words: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse(text)
    assert error.value.at == at
    assert words in str(error.value)
    assert str(error.value).startswith(f"at character {at}, ")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 / zero > 0", "division"),
        ("a / (a - 1) > 0", "division"),
        ("none < 1", "null"),
        ("none + 1 == 1", "null"),
        ("-none == 1", "null"),
        ("word < 1", "kinds"),
        ("word == 1", "kinds"),
        ("yes == 1", "kinds"),
        ("yes + 1 == 2", "kinds"),
        ("1e300 * 1e300 > 1", "overflow"),
    ],
)
def test_what_cannot_be_decided_is_an_error_and_never_a_guess(text: str, code: str) -> None:
    with pytest.raises(ExpressionError) as error:
        holds(text)
    assert error.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        "a < 1 or " * 400 + "a < 1",
        "(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1) + " < 1",
        "-" * (DEEPEST + 1) + "a < 1",
        "not " * (DEEPEST + 1) + "a < 1",
        "abs(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1) + " < 1",
        "a" + ".b" * (DEEPEST + 1) + " < 1",
        "1" + "+1" * 300 + " < 1",
        "a < 1" + " " * LONGEST,
    ],
)
def test_length_nesting_and_size_are_bounded(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_depth_is_given_back_when_a_bracket_closes() -> None:
    assert holds(" and ".join(["((abs((a))) < 2)"] * 30))


WORDS = st.sampled_from(
    ["and", "or", "not", "abs", "(", ")", "<", "<=", "==", "!=", "+", "-", "*", "/", ".", "[", "]",
     "a", "b.c", "none", "word", "zero", "1", "2.5", "'x'", "null", "true", " ", "−", "__class__"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=25).map(" ".join),
                 st.text(string.printable, max_size=60)))  # fmt: skip
def test_any_text_is_a_condition_or_a_typed_error(text: str) -> None:
    at = 1
    try:
        node = parse(text)
        list(names(node))
        assert isinstance(decide(node, lambda named: VALUES.get(path_text(named.path))), bool)
    except ExpressionError as error:
        at = error.at
    assert 1 <= at <= len(text) + 1


NUMBERS = st.floats(0, 1e6, allow_nan=False).map(lambda x: round(x, 3))
SUMS = st.recursive(
    NUMBERS.map(repr),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=12,
)


@given(left=SUMS, sign=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), right=SUMS)
def test_arithmetic_agrees_with_python(left: str, sign: str, right: str) -> None:
    text = f"{left} {sign} {right}"
    try:
        expected = eval(text, {"__builtins__": {}})
        finite = math.isfinite(eval(left)) and math.isfinite(eval(right))
    except ZeroDivisionError:
        with pytest.raises(ExpressionError):
            holds(text)
        return
    except OverflowError:
        return
    if finite:
        assert holds(text) is expected


@given(st.lists(st.one_of(st.text("ab._-'\" ", min_size=1, max_size=5).filter(lambda t: '"' not in t),
                          st.integers(0, 99)), min_size=1, max_size=4))  # fmt: skip
def test_a_path_that_is_spelt_is_read_back(steps: list[str | int]) -> None:
    path = ("p", *steps)
    node: Node = parse(f"{path_text(path)} < 1")
    assert next(names(node)).path == path
