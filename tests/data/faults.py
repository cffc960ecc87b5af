"""Faults to let happen at a system call, and what a store must hold whatever happens."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metaprobe.data.store import Store
from metaprobe.data.store_format import join
from metaprobe.data.store_prune import prune

from .stored import NoSync, rows, same

OLD, NEW, LONG, HURT = ({"entry": name} for name in ("old", "new", "long", "hurt"))


BLOCKS = [rows(10, n=6), rows(11, n=6), rows(12, n=6)]
TRUTH = {"old": rows(1), "new": rows(2), "hurt": rows(3), "long": join(BLOCKS)}


def held(store: Store, key: dict[str, str]) -> bool:
    """Whether the entry is there; if it is, it must be right."""
    got = store.get(key)
    assert got is None or same(got, TRUTH[key["entry"]])
    return got is not None


class Killed(BaseException):
    """The process is gone: nobody may catch this, and no call comes after it."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at a system call that ``touches``, and whether it then stays so."""

    name: str
    touches: Callable[..., bool]
    happen: Callable[..., Any]
    lasts: bool = False


@dataclass
class Faulty(NoSync):
    """Lets ``fault`` happen at the ``n``-th system call it touches."""

    fault: Fault
    n: int
    dead: bool = False

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        if not self.fault.touches(function, *args):
            return super().call(function, *args, **kwargs)
        self.n -= 1
        if self.n == 0 or (self.n < 0 and self.fault.lasts):
            return self.fault.happen(self, function, *args)
        return super().call(function, *args, **kwargs)

    @property
    def met(self) -> bool:
        return self.n <= 0


def die(files: Faulty, *_: Any) -> None:
    files.dead = True
    raise Killed


def tear(files: Faulty, function: Callable[..., Any], file: int, data: memoryview) -> None:
    os.write(file, data[: len(data) // 2])
    die(files)


def write_a_third(files: Faulty, function: Callable[..., Any], file: int, data: memoryview) -> int:
    return os.write(file, data[: len(data) // 3 + 1])


def refuse(number: int) -> Callable[..., None]:
    def happen(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return happen


def creates(function: Callable[..., Any], *args: Any) -> bool:
    return function is os.open and bool(args[1] & os.O_CREAT)


def grows(function: Callable[..., Any], *args: Any) -> bool:
    named = (os.write, os.mkdir, os.link, os.replace, os.rename, os.fsync)
    return function in named or creates(function, *args)


def changes(function: Callable[..., Any], *args: Any) -> bool:
    named = (os.mkdir, os.link, os.replace, os.rename, os.unlink, os.rmdir, os.utime)
    return function in named or creates(function, *args)


def anything(function: Callable[..., Any], *args: Any) -> bool:
    return True


def only(wanted: Callable[..., Any]) -> Callable[..., bool]:
    return lambda function, *_: function is wanted


KILL = Fault("kill", anything, die)
TORN = Fault("torn write", only(os.write), tear)
FULL = Fault("disk full", grows, refuse(errno.ENOSPC), lasts=True)
READ_ONLY = Fault("read-only", changes, refuse(errno.EROFS), lasts=True)
BAD_SECTOR = Fault("bad sector", anything, refuse(errno.EIO))
SHORT = Fault("short write", only(os.write), write_a_third)
NO_LINKS = Fault("no hard links", only(os.link), refuse(errno.EPERM), lasts=True)
FAULTS = [KILL, TORN, FULL, READ_ONLY, BAD_SECTOR, SHORT, NO_LINKS]


def put_new(store: Store) -> None:
    store.put(NEW, TRUTH["new"])


def write_long(store: Store) -> None:
    with store.writer(LONG, rows=18) as writer:
        for block in BLOCKS[writer.done // 6 :]:
            writer.append(block)


def replace_hurt(store: Store) -> None:
    held(store, HURT)
    store.put(HURT, TRUTH["hurt"])


def read_old(store: Store) -> None:
    held(store, OLD)


def prune_all(store: Store) -> None:
    prune(store, max_bytes=0, dry_run=False)


OPERATIONS: dict[Callable[[Store], None], dict[str, str]] = {
    put_new: NEW,
    write_long: LONG,
    replace_hurt: HURT,
    read_old: OLD,
    prune_all: OLD,
}
