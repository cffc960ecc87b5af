"""Keys: equal parts give equal names, any other part gives another, and nothing is guessed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprobe.data.errors import StoreError
from metaprobe.data.keys import canonical_json, key_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.dictionaries(TEXT, VALUES, max_size=5)

KEY: dict[str, Any] = {
    "weights": "9f2c",
    "architecture": {"name": "conv4", "width": 32},
    "layer": "body.3",
    "norm": "batch",
    "preprocessing": {"resize": 28, "mean": [0.5, 0.25], "mode": "bilinear"},
    "data": {"name": "glyphs", "fingerprint": "ab12", "split": "test"},
    "episodes": None,
    "dtype": "float32",
    "version": 1,
}


def same(one: object, other: object) -> bool:
    """Equality as JSON has it, with 1, 1.0 and True kept apart."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@given(VALUES)
def test_canonical_json_reads_back_as_the_same_value(value: object) -> None:
    assert same(json.loads(canonical_json(value)), value)


@given(VALUES, VALUES)
def test_two_values_share_their_bytes_exactly_when_they_are_the_same(
    one: object, other: object
) -> None:
    assert (canonical_json(one) == canonical_json(other)) is same(one, other)


@given(KEYS, st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_matter(key: dict[str, Any], random: Any) -> None:
    parts = list(key.items())
    random.shuffle(parts)
    assert key_hash(dict(parts)) == key_hash(key)


def test_one_one_and_a_half_and_true_are_three_keys() -> None:
    assert len({key_hash({"steps": value}) for value in (1, 1.0, True, "1")}) == 4


def test_the_hash_is_sha256_of_the_tag_and_the_json() -> None:
    expected = sha256(b'metaprobe-key-v1\x00{"a":[1,2.5],"\xc3\xa9":null}').hexdigest()
    assert key_hash({"é": None, "a": (1, 2.5)}) == expected


def test_another_process_with_another_hash_seed_gives_the_same_name() -> None:
    code = "import sys, json; from metaprobe.data.keys import key_hash; "
    code += "print(key_hash(json.loads(sys.argv[1])))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(KEY)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == key_hash(KEY)


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda key: key.update(weights="9f2d"),
    lambda key: key["architecture"].update(width=33),
    lambda key: key.update(layer="body.2"),
    lambda key: key.update(norm="running"),
    lambda key: key["preprocessing"].update(resize=32),
    lambda key: key["preprocessing"]["mean"].__setitem__(1, 0.2500000000000001),
    lambda key: key["preprocessing"]["mean"].reverse(),
    lambda key: key["preprocessing"].update(mode="bicubic"),
    lambda key: key["data"].update(fingerprint="ab13"),
    lambda key: key["data"].update(split="train"),
    lambda key: key.update(episodes="77aa"),
    lambda key: key.update(dtype="float16"),
    lambda key: key.update(version=2),
    lambda key: key.pop("episodes"),
    lambda key: key.update(extra=None),
]


def test_every_change_of_one_part_gives_a_new_name() -> None:
    names = [key_hash(KEY)]
    for change in CHANGES:
        key = deepcopy(KEY)
        change(key)
        names.append(key_hash(key))
    assert len(set(names)) == len(CHANGES) + 1


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (np.int64(3), "int64"),
        (np.float32(0.5), "float32"),
        (np.zeros(2), "ndarray"),
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        (object(), "object"),
        (len, "builtin_function_or_method"),
        ({1: "one"}, "name 1"),
        ("\ud800", "not valid Unicode"),
        (nested(1000), "nested"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_named(part: object, said: str) -> None:
    with pytest.raises(StoreError, match=said) as refused:
        key_hash({"outer": {"part": part}})
    assert refused.value.code == "key"
    assert "outer" in str(refused.value)


def test_numpy_floats_that_are_python_floats_hash_like_them() -> None:
    assert key_hash({"rate": np.float64(0.1)}) == key_hash({"rate": 0.1})
