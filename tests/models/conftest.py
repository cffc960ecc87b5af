"""Small tensors lose by sharing them out among threads, most of all on a busy machine."""

from collections.abc import Iterator

import pytest

from metaprobe.models.threads import one_thread


@pytest.fixture(scope="session", autouse=True)
def on_one_thread() -> Iterator[None]:
    with one_thread():
        yield
