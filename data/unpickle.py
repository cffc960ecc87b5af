"""Pickles read without an unpickler: the program is followed, nothing it names is called.

A pickle is a program for a small stack machine, and Python's own machine imports
and calls what the program names. Ours (`pickle_machine`) asks a `Policy` instead.
Steps, memo, nesting and dictionary keys are bounded, so that a short file cannot
ask for long work. `pickle` is not imported; `pickletools` only spells out the
instructions.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

from .errors import DataError, MetaprobeError
from .pickle_machine import Machine
from .pickle_policy import Opaque, Policy


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
    machine = Machine(policy, where)
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
