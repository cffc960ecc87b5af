"""Studies run on one thread: their matrices are tiny, and sharing them out costs more than it gains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ...models.threads import one_thread


@contextmanager
def small_work() -> Iterator[None]:
    """Torch and linear algebra on one thread while it lasts; also a decorator.

    >>> import torch
    >>> with small_work():
    ...     torch.get_num_threads()
    1
    """
    with one_thread(), threadpool_limits(limits=1, user_api="blas"):
        yield
