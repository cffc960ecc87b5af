"""One thread inside, as many as you like outside.

Small operations lose by sharing them out, and a sum shared out is added up in
another order. So training runs on one thread: the same recipe gives the same
bytes on every number of cores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_change = threading.Condition()
_inside: list[tuple[int, int]] = []
"""Who is inside, and the thread count each found; the first found the one to restore."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread.

    The setting is the process's; it comes back when the last of those inside leaves.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    me = threading.get_ident()
    with _change:
        before = _inside[0][1] if _inside else torch.get_num_threads()
        _inside.append((me, before))
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _change:
            _inside.remove((me, before))
            if not _inside:
                torch.set_num_threads(before)
            _change.notify_all()


def wait_for_others(seconds: float = 60.0) -> bool:
    """Wait until no other thread is inside; False if one still is after so long.

    Python ends whatever threads it finds when it exits, and one that is in the middle of a
    computation takes the process down with an abort in place of the exit status.
    """
    me = threading.get_ident()
    with _change:
        return _change.wait_for(lambda: all(who == me for who, _ in _inside), seconds)
