"""What a pickle of data may mean: Python's plain values and NumPy's arrays.

`DATASETS` is the policy for dataset caches such as those of mini-ImageNet: arrays,
dtypes, scalars, lists, dictionaries, sets, text, bytes and numbers, and nothing else.
Each NumPy function that a pickle names is stood for by one of ours, which checks
that the bytes it is given are as many as the shape it is given needs. NumPy is
imported when the first array is met.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import DataError
from .pickle_policy import Call, Global, Opaque, Policy, described, is_plain_key
from .unpickle import read_pickle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = "biufcSU"
"""Kinds of NumPy values that are plain: numbers, bytes and text; not objects, not records."""


class Dtype:
    """A NumPy dtype as a pickle gives it: a letter code first, its byte order in a second step."""

    __slots__ = ("order", "spelt")

    def __init__(self, spelt: str) -> None:
        self.spelt = spelt
        self.order = "|"

    def real(self) -> np.dtype[Any]:
        """The dtype.

        Raises:
            DataError: If it is not of plain values.
        """
        import numpy as np

        code = self.spelt.lstrip("<>=|")
        if code[:1] not in KINDS or not code[1:].isdecimal() or not 0 < int(code[1:]) < 2**24:
            raise DataError(
                f"an array of dtype {self.spelt!r}; numbers, bytes and text are read",
                code="dtype",
            )
        return np.dtype(self.order + code if self.order in "<>" else code)


def _dtype(args: tuple[Any, ...]) -> Dtype:
    spelt = args[0]
    if isinstance(spelt, Global):  # numpy.dtype(bool) and the like
        spelt = {"builtins.bool": "b1", "builtins.int": "i8", "builtins.float": "f8"}.get(
            spelt.name, spelt.name
        )
    return Dtype(_text(spelt))


def _dtype_state(dtype: Dtype, state: Any) -> None:
    _, order, subarray, names, fields, *_ = state
    if subarray is not None or names is not None or fields is not None:
        raise DataError("an array of records; plain arrays are read", code="dtype")
    dtype.order = _text(order)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value[:200].decode("latin-1")
    return described(value)


def _raw(value: Any) -> bytes:
    """Bytes; Python 2 pickled them as text of one character a byte."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if not isinstance(value, bytes | bytearray):
        raise DataError("an array of Python objects; plain arrays are read", code="dtype")
    return bytes(value)


def _shape(value: Any) -> tuple[int, ...]:
    if (
        not isinstance(value, tuple)
        or len(value) > 32
        or not all(type(n) is int and 0 <= n < 2**48 for n in value)
    ):
        raise ValueError("an array has no shape")
    return value


def _filled(dtype: Any, shape: Any, raw: Any, order: str) -> NDArray[Any]:
    import numpy as np

    if not isinstance(dtype, Dtype):
        raise ValueError("an array has no dtype")
    real, shape, raw = dtype.real(), _shape(shape), _raw(raw)
    if math.prod(shape) * real.itemsize != len(raw):
        raise DataError(
            f"an array of shape {shape} and dtype {real} that comes with {len(raw)} bytes",
            code="size",
        )
    flat = np.frombuffer(raw, real)
    native = flat.astype(real.newbyteorder("="))  # a copy: writable, in this machine's order
    return native.reshape(shape, order="F" if order == "F" else "C")


class Array:
    """A NumPy array before its state has come; ``value`` afterwards."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None


def _array(args: tuple[Any, ...]) -> Array:
    if len(args) != 3 or args[0] != Global("numpy.ndarray"):
        raise ValueError("an array of an unknown class")
    return Array()


def _array_state(array: Array, state: Any) -> None:
    _, shape, dtype, fortran, raw = state
    array.value = _filled(dtype, shape, raw, "F" if fortran else "C")


def _from_buffer(args: tuple[Any, ...]) -> Array:
    raw, dtype, shape, order = args[:4]
    array = Array()
    array.value = _filled(dtype, shape, raw, _text(order))
    return array


def _scalar(args: tuple[Any, ...]) -> Any:
    dtype, raw = args
    return _filled(dtype, (), raw, "C")[()]


def _encoded(args: tuple[Any, ...]) -> bytes:
    """``_codecs.encode``: how protocol 2 spells bytes."""
    text, how = args
    if how not in ("latin1", "latin-1") or not isinstance(text, str):
        raise ValueError("bytes in an unknown spelling")
    return text.encode("latin-1")


def _bytes(args: tuple[Any, ...]) -> bytes:
    if not args:
        return b""
    if len(args) == 2:  # bytearray(text, "latin-1"), from protocol 2
        return _encoded(args)
    if not isinstance(args[0], bytes | bytearray):  # a number would ask for that many bytes
        raise DataError("a request for bytes by their count, which is refused", code="size")
    return bytes(args[0])


def _items(args: tuple[Any, ...]) -> list[Any]:
    if not args:
        return []
    if not isinstance(args[0], list | tuple | set | frozenset):
        raise ValueError("a collection is made of something that is none")
    return list(args[0])


def _set(args: tuple[Any, ...]) -> set[Any]:
    found = _items(args)
    if not all(is_plain_key(one) for one in found):
        raise ValueError("a set of values that are not plain")
    return set(found)


def _pairs(args: tuple[Any, ...]) -> OrderedDict[Any, Any]:
    found: OrderedDict[Any, Any] = OrderedDict()
    for key, value in _items(args):
        if not is_plain_key(key):
            raise ValueError("a key that is not plain")
        found[key] = value
    return found


def _counts(args: tuple[Any, ...]) -> dict[Any, Any]:
    """A counter: schedulers with milestones keep one in their state."""
    found = args[0] if args else {}
    if not isinstance(found, dict):
        raise ValueError("a counter is made of something that is no dictionary")
    return dict(found)


def _complex(args: tuple[Any, ...]) -> complex:
    real, imaginary = args
    return complex(float(real), float(imaginary))


def _numbers(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_items(args))


PLAIN_CALLS: Mapping[str, Call] = {
    "_codecs.encode": _encoded,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "builtins.list": _items,
    "builtins.tuple": _numbers,
    "builtins.complex": _complex,
    "collections.OrderedDict": _pairs,
    "collections.defaultdict": lambda args: OrderedDict(),
    "collections.Counter": _counts,
    "collections.deque": _items,
    "numpy.dtype": _dtype,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _from_buffer,
}
"""Names that mean plain data, and what stands for their calls."""

PLAIN_NAMES = frozenset(
    {"numpy.ndarray"}
    | {f"builtins.{n}" for n in ("bool", "int", "float", "str", "dict", "object", "type")}
)
"""Names that are only mentioned: a class of an array, the default of a dictionary."""


def ordered_state(target: OrderedDict[Any, Any], state: Any) -> None:
    """Attributes of a dictionary (PyTorch keeps module versions there) are left out."""


PLAIN_BUILDS: Mapping[type, Callable[[Any, Any], None]] = {
    Dtype: _dtype_state,
    Array: _array_state,
    OrderedDict: ordered_state,
}

DATASETS = Policy(
    purpose="dataset",
    calls=PLAIN_CALLS,
    names=PLAIN_NAMES,
    builds=PLAIN_BUILDS,
    most_depth=64,
)
"""The policy for pickled datasets: plain values and arrays, nothing else."""


def read_plain_pickle(raw: bytes, where: str) -> Any:
    """The plain values and NumPy arrays of a pickled dataset.

    Args:
        raw: The file's bytes.
        where: What to call it in an error.

    Returns:
        Lists, tuples, dictionaries, sets, text, bytes, numbers and arrays. A part that the
        pickle refers to twice is one object twice.

    Raises:
        DataError: If it names anything else, is damaged, or asks for too much.

    >>> import pickle, numpy as np
    >>> read_plain_pickle(pickle.dumps({"labels": np.arange(3)}, 2), "it")
    {'labels': array([0, 1, 2])}
    """
    return filled_arrays(read_pickle(raw, DATASETS, where).value)


def filled_arrays(value: Any) -> Any:
    """The same value with each `Array` replaced by what it holds; containers stay who they are."""
    done: dict[int, tuple[Any, Any]] = {}  # the old value is kept, so that its id stays its own

    def swap(one: Any) -> Any:
        if isinstance(one, Array):
            if one.value is None:
                raise DataError("an array without content", code="damaged")
            return one.value
        if not isinstance(one, list | dict | tuple | Opaque):
            return one
        if id(one) in done:
            return done[id(one)][1]
        if isinstance(one, tuple):
            found = tuple(swap(part) for part in one)
            done[id(one)] = (one, found)
            return found
        done[id(one)] = (one, one)
        if isinstance(one, list):
            one[:] = [swap(part) for part in one]
        elif isinstance(one, dict):
            for key, part in one.items():
                one[key] = swap(part)
        else:
            one.args, one.state, one.items = swap(one.args), swap(one.state), swap(one.items)
        return one

    return swap(value)
