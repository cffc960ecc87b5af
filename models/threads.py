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

_lock = threading.Lock()
_before: list[int] = []
"""Thread counts found on entering, by those inside now; the first is the one to restore."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread.

    The setting is the process's; it comes back when the last of those inside leaves.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    with _lock:
        _before.append(torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            before = _before.pop()
            if not _before:
                torch.set_num_threads(before)
