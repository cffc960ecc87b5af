"""The stack machine that a pickle is a program for, with every call taken out of it.

Python's own machine imports and calls what the program names; here a call goes to the
`Policy`, which answers with plain data or refuses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .errors import DataError
from .pickle_policy import LONGEST_NAME, Global, Opaque, Policy, is_plain_key, modern_name

_WRAPPERS = frozenset({"copyreg._reconstructor", "copyreg.__newobj__", "builtins.object"})
"""How protocols 0 and 1 make an object of a class, which is their first argument."""

_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT",
})  # fmt: skip


class Machine:
    """The stack, the memo, and what an instruction does to them."""

    def __init__(self, policy: Policy, where: str) -> None:
        self.policy = policy
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.opaque: set[str] = set()
        self.made = 0

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
        if len(full) > LONGEST_NAME:
            raise ValueError(f"a global's name of {len(full)} letters")
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
            found = function(*args)
        except DataError as error:  # raised where the file's name is not known
            raise DataError(f"{self.where!r} holds {error}", code=error.code) from error
        self.made += _weight(args[0] if found is None else found)  # state is set in place
        if self.made > self.policy.most_bytes:
            raise DataError(
                f"{self.where!r} is a pickle whose arrays are many times its own size; that is "
                "refused",
                code="too-large",
            )
        return found

    def _binpersid(self, _: Any) -> None:
        reference = self.pop()
        if self.policy.persistent is None:
            raise DataError(
                f"{self.where!r} is a pickle that refers to something outside itself; "
                "it is refused",
                code="pickle-instruction",
            )
        self.stack.append(self.policy.persistent(reference))


def _weight(value: Any) -> int:
    """Bytes that a call made, about: of an array those of its values."""
    held = getattr(value, "value", value)
    if hasattr(held, "nbytes"):
        return int(held.nbytes)
    return (
        len(held) * (1 if isinstance(held, bytes | str) else 8) if hasattr(held, "__len__") else 0
    )
