"""Pickles are followed, not obeyed: plain data comes back, names are refused."""

from __future__ import annotations

import argparse
import ast
import os
import pickle
import struct
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprobe.data import unpickle as module
from metaprobe.data.errors import DataError
from metaprobe.data.pickle_policy import Global, Opaque, Policy
from metaprobe.data.unpickle import nesting, read_pickle
from metaprobe.data.unpickle_plain import DATASETS, read_plain_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

KEYS = st.text(max_size=5) | st.integers(-(2**62), 2**62) | st.binary(max_size=5)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(st.integers(0, 9), max_size=3)
    ),
    max_leaves=12,
)


class Payload:
    """Makes a folder when it is unpickled by Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def code_of(raw: bytes, policy: Policy = DATASETS) -> str:
    with pytest.raises(DataError) as refused:
        read_pickle(raw, policy, "it")
    assert "\n" not in str(refused.value)
    return refused.value.code


@given(PLAIN, st.sampled_from(PROTOCOLS))
@settings(max_examples=150)
def test_plain_values_come_back_as_python_reads_them(value: Any, protocol: int) -> None:
    raw = pickle.dumps(value, protocol)
    assert read_plain_pickle(raw, "it") == pickle.loads(raw) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
        np.array([True, False]),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.zeros((0, 3), np.float32),
        np.array(1.5),
        np.arange(24).reshape(2, 3, 4)[:, ::2].T,
        np.float32(2.5),
        np.int64(-3),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_come_back_as_python_reads_them(array: Any, protocol: int) -> None:
    raw = pickle.dumps({"it": array, "again": [array, array]}, protocol)
    found = read_plain_pickle(raw, "it")
    assert np.array_equal(found["it"], array)
    assert found["it"].dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(found["again"][1], array)


def test_what_python_two_wrote_is_read() -> None:
    header = (
        b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\n"
    )
    array = b"K\x00\x85U\x01b\x87Rq\x03(K\x01K\x03\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x03\x01\x80\xfftbs."
    found = read_plain_pickle(header + array, "it")
    assert found["a"].tolist() == [1, 128, 255]
    assert pickle.loads(header + array, encoding="latin1")["a"].tolist() == [1, 128, 255]


def test_collections_keep_their_content() -> None:
    value = [OrderedDict(b=1, a=2), deque([1, 2]), bytearray(b"ab"), frozenset({1}), range]
    found = read_plain_pickle(pickle.dumps(value[:4]), "it")
    assert list(found[0].items()) == [("b", 1), ("a", 2)]
    assert found[1:4] == [[1, 2], b"ab", {1}]
    counts = defaultdict(list, a=[1])
    assert read_plain_pickle(pickle.dumps(counts), "it") == {"a": [1]}
    assert code_of(pickle.dumps(value)) == "pickle-global"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_r21_a_payload_is_refused_by_name_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    raw = pickle.dumps({"images": np.arange(3), "x": Payload(tmp_path / "PWNED")}, protocol)
    with pytest.raises(DataError, match=r"names 'posix.mkdir'.*nothing was run"):
        read_plain_pickle(raw, "it")
    assert not (tmp_path / "PWNED").exists()
    pickle.loads(raw)  # the control: it would have
    assert (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "damaged"),
        (b"\x80\x04", "damaged"),
        (b"\x80\x09.", "damaged"),
        (b"not a pickle", "damaged"),
        (b"cos\nsystem\n.", "pickle-global"),
        (b"(ios\nsystem\n.", "pickle-global"),
        (b"\x80\x02\x8c\x02os\x8c\x06system\x93.", "pickle-global"),
        (b"\x80\x02\x82\x01.", "pickle-instruction"),
        (b"\x80\x02N\x51.", "pickle-instruction"),
        (b"Pname\n.", "pickle-instruction"),
        (b"\x80\x05\x97.", "pickle-instruction"),
        (b"\x80\x02])R.", "pickle-call"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "pickle-call"),
        (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "size"),
        (b"\x80\x02cbuiltins\nlist\nK\x05\x85R.", "damaged"),
        (b"\x80\x02]N}b.", "damaged"),
        (b"\x80\x02]K\x01K\x02s.", "damaged"),
        (b"\x80\x02}K\x01a.", "damaged"),
        (b"\x80\x02}(K\x01u.", "damaged"),
        (b"\x80\x02}]K\x02s.", "damaged"),
        (b"\x80\x02}\x8a\x09" + b"\0" * 8 + b"\x01K\x02s.", "damaged"),
        (b"\x80\x02(u.", "damaged"),
        (b"\x80\x02r" + struct.pack("<I", 2**32 - 16) + b".", "damaged"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02]q\x00h\x00a.", "cycle"),
        (b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".", "too-deep"),
        (b"\x80\x04B\xff\xff\xff\xffabc.", "damaged"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"abc.", "damaged"),
    ],
)
def test_a_pickle_that_is_no_plain_data_is_refused(raw: bytes, code: str) -> None:
    assert code_of(raw) == code


def array_pickle(dtype: bytes, shape: bytes, raw: bytes, fields: bytes = b"NNN") -> bytes:
    kind = b"cnumpy\ndtype\nU" + bytes([len(dtype)]) + dtype + b"K\x00K\x01\x87R"
    kind += b"(K\x03U\x01<" + fields + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return start + b"(K\x01" + shape + kind + b"\x89" + raw + b"tb."


@pytest.mark.parametrize(
    ("dtype", "shape", "raw", "code"),
    [
        (b"f4", b"K\x04\x85", b"U\x04abcd", "size"),
        (b"f4", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"U\x04abcd", "size"),
        (b"f4", b"J\xff\xff\xff\xff\x85", b"U\x04abcd", "damaged"),
        (b"O8", b"K\x01\x85", b"]K\x01a", "dtype"),
        (b"V4", b"K\x01\x85", b"U\x04abcd", "dtype"),
        (b"S0", b"J\xff\xff\xff\x7f\x85", b"U\x00", "dtype"),
        (b"f9", b"K\x01\x85", b"U\x04abcd", "damaged"),
        (b"f4", b"K\x01\x85", b"K\x05", "dtype"),
    ],
)
def test_an_array_that_does_not_fit_its_bytes_is_refused(
    dtype: bytes, shape: bytes, raw: bytes, code: str
) -> None:
    assert code_of(array_pickle(dtype, shape, raw)) == code


def test_records_and_objects_are_refused() -> None:
    assert code_of(pickle.dumps(np.zeros(2, [("a", "f4")]))) == "dtype"
    assert code_of(pickle.dumps(np.array([None, "a"], object))) == "dtype"


def test_a_short_pickle_cannot_ask_for_long_work() -> None:
    raw = b"\x80\x02" + b"N0" * 1000 + b"N."
    limited = Policy("list", {}, most_steps=1000)
    assert read_pickle(raw, DATASETS, "it").value is None
    assert code_of(raw, limited) == "too-large"


def test_containers_shared_two_to_the_fortieth_times_are_walked_once() -> None:
    value: Any = []
    for _ in range(40):
        value = [value, value]
    assert nesting(value) == (41, False)
    assert nesting(read_pickle(pickle.dumps(value), DATASETS, "it").value) == (41, False)


def test_settings_are_kept_opaque_where_the_policy_lets_them() -> None:
    lenient = Policy("file", {}, opaque=lambda name: name.startswith("argparse."))
    for protocol in PROTOCOLS:
        raw = pickle.dumps(argparse.Namespace(lr=0.1), protocol)
        found = read_pickle(raw, lenient, "it")
        assert isinstance(found.value, Opaque)
        assert (found.value.name, found.value.state) == ("argparse.Namespace", {"lr": 0.1})
        assert found.opaque == {"argparse.Namespace"}
        assert code_of(raw) == "pickle-global"


def test_a_name_that_may_be_mentioned_is_a_word() -> None:
    found = read_pickle(pickle.dumps([int, np.ndarray]), DATASETS, "it").value
    assert found == [Global("builtins.int"), Global("numpy.ndarray")]


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_any_bytes_give_a_value_or_a_typed_refusal(raw: bytes) -> None:
    with suppress(DataError):
        read_plain_pickle(b"\x80\x04" + raw, "it")


def test_r21_no_unpickler_is_imported() -> None:
    ours = sorted(Path(module.__file__).parent.glob("*pickle*.py"))
    assert len(ours) == 4
    for path in ours:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {a.name.split(".")[0] for a in node.names} & {
                    "pickle",
                    "_pickle",
                    "dill",
                }
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in {"pickle", "_pickle", "dill"}
