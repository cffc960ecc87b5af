"""What a pickle may mention, and what a name in it may mean.

A name becomes a `Global`, which is a word and nothing else; a call has an effect
only where the `Policy` maps that word to a function of ours, which looks at its
arguments and gives back plain data. Every other name is refused or, in families
known to be harmless settings, kept as an `Opaque` value that nobody interprets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
        most_bytes: Bytes that calls may make altogether; a pickle may hand one text to a thousand
            of them.
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
    most_bytes: int = 2**63
    most_depth: int = 200


_SCALARS = (str, bytes, float, bool, type(None), Global)
LONGEST_NAME = 300
"""Letters of a global's name; a longer one is no name of anything."""

_OLD_HOMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def modern_name(module: str, name: str) -> str:
    """A global's name as the newest libraries spell it.

    >>> modern_name("numpy.core.multiarray", "scalar")
    'numpy._core.multiarray.scalar'
    """
    module = _OLD_HOMES.get(module, module)
    if module == "numpy.core" or module.startswith("numpy.core."):
        module = "numpy._core" + module.removeprefix("numpy.core")
    return f"{module}.{name}"


def described(value: Any) -> str:
    """A few letters for a value: of a container its kind, for its text can be endless.

    >>> described("cuda"), described([["a"]]), described(10**50)
    ('cuda', 'a list', 'an integer of 167 bits')
    """
    if isinstance(value, int) and value.bit_length() > 63:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, _SCALARS):
        return str(value)[:200]
    return f"a {type(value).__name__}"


def is_plain_key(key: Any) -> bool:
    """Whether a value hashes at once; integers of many bits can be made to collide.

    >>> is_plain_key("a"), is_plain_key(2**80), is_plain_key(())
    (True, False, False)
    """
    if type(key) is int:
        return key.bit_length() <= 63
    return isinstance(key, _SCALARS) or type(key).__module__ == "numpy"
