"""The thread count comes back, whoever leaves last."""

from __future__ import annotations

import threading

import pytest
import torch

from metaprobe.models.threads import one_thread, wait_for_others


def test_the_count_is_one_inside_and_comes_back_when_the_last_leaves() -> None:
    before = torch.get_num_threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            leave.wait(10)

    worker = threading.Thread(target=other)
    with one_thread():
        worker.start()
        inside.wait(10)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 1  # the other is still at work
    leave.set()
    worker.join()
    assert torch.get_num_threads() == before


def test_an_error_inside_brings_it_back_too() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), one_thread():
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_one_can_wait_until_the_others_have_left() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            leave.wait(10)

    worker = threading.Thread(target=other)
    worker.start()
    inside.wait(10)
    with one_thread():  # being inside oneself is no reason to wait
        assert not wait_for_others(0.01)
        leave.set()
        assert wait_for_others(10)
    worker.join()
