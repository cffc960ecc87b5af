"""Pickles read without an unpickler: the program is followed, nothing it names is called.

A pickle is a program for a small stack machine, and Python's own machine imports
and calls what the program names. This one does not. A name becomes a `Global`,
which is a word and nothing else; a call has an effect only where the `Policy`
maps that word to a function of ours, which looks at its arguments and gives back
plain data. Every other name is refused or, in families known to be harmless
settings, kept as an `Opaque` value that nobody interprets.

Steps, memo, nesting and dictionary keys are bounded, so that a short file cannot
ask for long work. `pickle` is not imported; `pickletools` only spells out the
instructions.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from .errors import DataError, MetaprobeError

Call = Callable[[tuple[Any, ...]], Any]
"""What stands for a call: the arguments as parsed, to plain data."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that a pickle refers to: a word, never the thing."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False, slots=True)
class Opaque:
    """An object that was not built: what the pickle says of it, uninterpreted.

    Args:
        name: Its class or factory.
        args: Arguments of the call.
        state: What would have become its attributes.
        items: What would have been put or appended into it.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Policy:
    """Which names in a pickle have a meaning, and how much it may ask for.

    Args:
        purpose: What such a file is, in a sentence: "… which no ``purpose`` needs".
        calls: Full name to what stands for its call.
        names: Names that may be mentioned but not called.
        opaque: Whether a name belongs to a family of settings kept as `Opaque`.
        builds: How an object of a type takes its state.
        persistent: What stands for a reference outside the pickle; None refuses it.
        refusal: The error for a name without meaning; None for the ordinary one.
        cycles: Whether a container may hold itself.
        most_steps: Instructions.
        most_depth: Containers within containers.
    """

    purpose: str
    calls: Mapping[str, Call]
    names: frozenset[str] = frozenset()
    opaque: Callable[[str], bool] = lambda name: False
    builds: Mapping[type, Callable[[Any, Any], None]] = field(default_factory=dict)
    persistent: Callable[[Any], Any] | None = None
    refusal: Callable[[str], Exception] | None = None
    cycles: bool = False
    most_steps: int = 16_000_000
    most_depth: int = 200


@dataclass(frozen=True, slots=True)
class Unpickled:
    """What a pickle describes.

    Args:
        value: Plain data, with `Global` and `Opaque` where the policy lets them stand.
        opaque: Names of the objects that were not built.
        cyclic: Whether a container holds itself.
    """

    value: Any
    opaque: frozenset[str]
    cyclic: bool


def read_pickle(source: bytes | IO[bytes], policy: Policy, where: str) -> Unpickled:
    """Follow one pickle without calling anything it names.

    Args:
        source: The pickle, or a binary stream at its start; the stream is left behind its end.
        policy: What has a meaning.
        where: What to call it in an error.

    Raises:
        DataError: If it is damaged, too large, or names something without meaning.

    >>> import pickle, os
    >>> plain = Policy("list", calls={})
    >>> read_pickle(pickle.dumps([1, ("a", None)]), plain, "it").value
    [1, ('a', None)]
    >>> read_pickle(pickle.dumps(os.getcwd), plain, "it")
    Traceback (most recent call last):
        ...
    metaprobe.data.errors.DataError: 'it' is a pickle that names 'posix.getcwd', which no list needs; nothing was run and it is refused
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    machine = _Machine(policy, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in text
            for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if step >= policy.most_steps:
                    raise DataError(
                        f"{where!r} is a pickle of more than {policy.most_steps:,} instructions; "
                        "that is refused",
                        code="too-large",
                    )
                machine.step(opcode.name, argument)
        value = machine.pop()
    except MetaprobeError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        reason = str(error).strip() or type(error).__name__
        raise DataError(
            f"{where!r} holds a damaged pickle ({reason[:120]})", code="damaged"
        ) from error
    height, cyclic = nesting(value)
    if height > policy.most_depth:
        raise DataError(
            f"{where!r} nests containers {height:,} deep; {policy.most_depth} are allowed",
            code="too-deep",
        )
    if cyclic and not policy.cycles:
        raise DataError(f"{where!r} holds a container that contains itself", code="cycle")
    return Unpickled(value, frozenset(machine.opaque), cyclic)


def nesting(value: Any) -> tuple[int, bool]:
    """How deep containers lie within each other, and whether one contains itself.

    Every container is visited once, without recursion.

    >>> nesting([1, {"a": ()}])
    (3, False)
    """
    heights: dict[int, int] = {}
    open_: set[int] = set()
    cyclic = False
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        one, done = stack.pop()
        mark = id(one)
        if done:
            heights[mark] = 1 + max((heights.get(id(c), 0) for c in _children(one)), default=0)
            open_.discard(mark)
        elif mark in open_:
            cyclic = True
        elif mark not in heights and isinstance(one, _CONTAINERS):
            open_.add(mark)
            stack.append((one, True))
            stack += [(child, False) for child in _children(one)]
    return heights.get(id(value), 0), cyclic


def _children(one: Any) -> Iterable[Any]:
    if isinstance(one, dict):
        return one.values()
    if isinstance(one, Opaque):
        return (one.args, one.state, one.items)
    return one if isinstance(one, list | tuple) else ()


_CONTAINERS = (list, tuple, dict, Opaque)
_SCALARS = (str, bytes, float, bool, type(None), Global)
_OLD_HOMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_WRAPPERS = frozenset({"copyreg._reconstructor", "copyreg.__newobj__", "builtins.object"})
"""How protocols 0 and 1 make an object of a class, which is their first argument."""

_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT",
})  # fmt: skip


def modern_name(module: str, name: str) -> str:
    """A global's name as the newest libraries spell it.

    >>> modern_name("numpy.core.multiarray", "scalar")
    'numpy._core.multiarray.scalar'
    """
    module = _OLD_HOMES.get(module, module)
    if module == "numpy.core" or module.startswith("numpy.core."):
        module = "numpy._core" + module.removeprefix("numpy.core")
    return f"{module}.{name}"


def is_plain_key(key: Any) -> bool:
    """Whether a value hashes at once; integers of many bits can be made to collide.

    >>> is_plain_key("a"), is_plain_key(2**80), is_plain_key(())
    (True, False, False)
    """
    if type(key) is int:
        return key.bit_length() <= 63
    return isinstance(key, _SCALARS) or type(key).__module__ == "numpy"


class _Machine:
    """The stack, the memo, and what an instruction does to them."""

    def __init__(self, policy: Policy, where: str) -> None:
        self.policy = policy
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.opaque: set[str] = set()

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _CONSTANT:
            self.stack.append(_CONSTANT[name])
        else:
            act = getattr(self, f"_{name.lower()}", None)
            if act is None:
                raise DataError(
                    f"{self.where!r} is a pickle with instruction {name}, which no "
                    f"{self.policy.purpose} needs; it is refused",
                    code="pickle-instruction",
                )
            act(argument)

    def pop(self) -> Any:
        """The top of the stack, which may not lie under a mark."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("the stack is empty above a mark")
        return self.stack.pop()

    def _proto(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"protocol {version}")

    def _frame(self, _: Any) -> None: ...

    def _stop(self, _: Any) -> None: ...

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _pop(self, _: Any) -> None:
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def _list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, _: Any) -> None:
        self.stack.append((self.pop(),))

    def _tuple2(self, _: Any) -> None:
        last = self.pop()
        self.stack.append((self.pop(), last))

    def _tuple3(self, _: Any) -> None:
        last, middle = self.pop(), self.pop()
        self.stack.append((self.pop(), middle, last))

    def _dict(self, _: Any) -> None:
        found: dict[Any, Any] = {}
        self._put(found, self._since_mark())
        self.stack.append(found)

    def _frozenset(self, _: Any) -> None:
        self.stack.append(frozenset(self._key(one) for one in self._since_mark()))

    def _append(self, _: Any) -> None:
        self._extend([self.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _setitem(self, _: Any) -> None:
        value = self.pop()
        key = self.pop()
        self._put(self.stack[-1], [key, value])

    def _setitems(self, _: Any) -> None:
        found = self._since_mark()
        self._put(self.stack[-1], found)

    def _additems(self, _: Any) -> None:
        found = self._since_mark()
        if type(self.stack[-1]) is not set:
            raise ValueError("items are added to something that is no set")
        self.stack[-1].update(self._key(one) for one in found)

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is Opaque:
            target.items.extend(values)
        else:
            raise ValueError("values are appended to something that is no list")

    def _put(self, target: Any, flat: list[Any]) -> None:
        if len(flat) % 2:
            raise ValueError("a key without a value")
        pairs = zip(flat[::2], flat[1::2], strict=True)
        if type(target) in (dict, OrderedDict):
            for key, value in pairs:
                target[self._key(key)] = value
        elif type(target) is Opaque:
            target.items.extend(pairs)
        else:
            raise ValueError("keys are set on something that is no dictionary")

    def _key(self, key: Any) -> Any:
        """A key that hashes at once: no deep tuples."""
        parts = key if type(key) is tuple and len(key) <= 16 else (key,)
        if not all(map(is_plain_key, parts)):
            raise ValueError(f"a key is a {type(key).__name__} that is not plain")
        return key

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self._named(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("a global is not named by text")
        self.stack.append(self._named(module, name))

    def _named(self, module: str, name: str) -> Global:
        full = modern_name(module, name)
        policy = self.policy
        known = full in policy.calls or full in policy.names or full in _WRAPPERS
        if not (known or policy.opaque(full)):
            if policy.refusal is not None:
                raise policy.refusal(full)
            raise DataError(
                f"{self.where!r} is a pickle that names {full!r}, which no {policy.purpose} needs; "
                "nothing was run and it is refused",
                code="pickle-global",
            )
        return Global(full)

    def _reduce(self, _: Any) -> None:
        args = self.pop()
        self.stack.append(self._call(self.pop(), args))

    def _newobj(self, _: Any) -> None:
        self._reduce(None)

    def _newobj_ex(self, _: Any) -> None:
        named = self.pop()
        args = self.pop()
        if type(named) is not dict or type(args) is not tuple:
            raise ValueError("arguments are not a tuple and a dictionary")
        self.stack.append(self._call(self.pop(), (*args, named) if named else args))

    def _obj(self, _: Any) -> None:
        found = self._since_mark()
        self.stack.append(self._call(found[0], tuple(found[1:])))

    def _inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self._call(self._named(module, name), tuple(self._since_mark())))

    def _call(self, target: Any, args: Any) -> Any:
        if type(target) is not Global or type(args) is not tuple:
            raise DataError(
                f"{self.where!r} is a pickle that calls something it made itself; nothing was run "
                "and it is refused",
                code="pickle-call",
            )
        if target.name in _WRAPPERS:
            if not args or type(args[0]) is not Global:
                raise ValueError("an object of no class")
            target, args = args[0], ()
        if self.policy.opaque(target.name):
            self.opaque.add(target.name)
            return Opaque(target.name, args)
        if target.name not in self.policy.calls:
            raise DataError(
                f"{self.where!r} is a pickle that calls {target.name!r}, which no "
                f"{self.policy.purpose} needs; nothing was run and it is refused",
                code="pickle-call",
            )
        return self._ours(self.policy.calls[target.name], args)

    def _build(self, _: Any) -> None:
        state = self.pop()
        target = self.stack[-1]
        if type(target) is Opaque:
            target.state = state
            return
        build = self.policy.builds.get(type(target))
        if build is None:
            raise ValueError(f"state is set on a {type(target).__name__}")
        self._ours(build, target, state)

    def _ours(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except DataError as error:  # raised where the file's name is not known
            raise DataError(f"{self.where!r} holds {error}", code=error.code) from error

    def _binpersid(self, _: Any) -> None:
        reference = self.pop()
        if self.policy.persistent is None:
            raise DataError(
                f"{self.where!r} is a pickle that refers to something outside itself; "
                "it is refused",
                code="pickle-instruction",
            )
        self.stack.append(self.policy.persistent(reference))
